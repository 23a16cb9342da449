import type { AlertState, Comparison } from './types.ts';

/**
 * The life of an alert, as pure functions. It is pending while its rule holds but not yet for long enough, and then
 * fires. A person acknowledges it, a silence silences it. It is resolved once the value has been back, past the
 * threshold for that, for long enough; what comes later is another alert.
 */

/** Of a rule, what decides. */
export interface Terms {
  comparison: Comparison;
  threshold: number;
  /** On the good side of the threshold, or the same. */
  clearThreshold: number;
  forMs: number;
  clearForMs: number;
}

/** What is remembered of an alert. Times are milliseconds since 1970. */
export interface AlertStatus {
  state: AlertState;
  value: number | undefined;
  /** Of the newest observation. */
  seenAt: number;
  pendingSince: number;
  firedAt: number | undefined;
  clearSince: number | undefined;
  resolvedAt: number | undefined;
  reason: string | undefined;
  /** What was seen last was measured long ago. */
  late: boolean;
  /** Receivers were told that it fires. */
  told: boolean;
  acknowledged: { at: number; by: string; note: string } | undefined;
}

/** What receivers are to be told. */
export type Notice = 'firing' | 'resolved';

/** What becomes of an alert; undefined for one that was pending and is over. */
export interface Step {
  next: AlertStatus | undefined;
  notice: Notice | undefined;
}

export interface Observation {
  at: number;
  /** Undefined: what it is about is not there any more. */
  value: number | undefined;
  /** It was measured long ago: nobody is told of it as if it were now. */
  late: boolean;
  /** A silence names it now. */
  silenced: boolean;
}

/** Milliseconds without an observation after which nothing is known of the time between: a duration begins anew. */
export const gapMs = 600_000;

/** Whether what is seen now is from so long before what was seen last that the clock must have been set back. */
export const isSetBack = ({ at, late }: Pick<Observation, 'at' | 'late'>, lastAt: number): boolean =>
  !late && lastAt - at > gapMs;

const isPast = ({ comparison, threshold }: Terms, value: number): boolean =>
  comparison === 'above' ? value > threshold : value < threshold;

/** Whether the value is back where the alert ends. Between the two thresholds it neither begins nor ends. */
const isBack = ({ comparison, clearThreshold }: Terms, value: number): boolean =>
  comparison === 'above' ? value <= clearThreshold : value >= clearThreshold;

/**
 * What an observation makes of an alert, or of none. One that is not newer than the last changes nothing, unless the clock
 * was set back.
 */
export function observe(terms: Terms, status: AlertStatus | undefined, seen: Observation): Step {
  const { at, value, late, silenced } = seen;
  if (status === undefined || status.state === 'resolved') {
    if (value === undefined || !isPast(terms, value)) return { next: undefined, notice: undefined };
    return settle(terms, begun(seen, value), silenced);
  }
  const setBack = isSetBack(seen, status.seenAt);
  if (at <= status.seenAt && !setBack) return { next: status, notice: undefined };
  const known = !setBack && at - status.seenAt <= gapMs;
  if (status.state === 'pending') {
    if (value === undefined || !isPast(terms, value)) return { next: undefined, notice: undefined };
    return settle(terms, known ? { ...status, seenAt: at, late, value } : begun(seen, value), silenced);
  }
  const back = value === undefined || isBack(terms, value);
  if (!back) return settle(terms, { ...status, seenAt: at, late, value, clearSince: undefined }, silenced);
  const clearSince = known ? (status.clearSince ?? at) : at;
  const clearing = { ...status, seenAt: at, late, value, clearSince };
  if (at - clearSince < terms.clearForMs) return settle(terms, clearing, silenced);
  return end(clearing, at, value === undefined ? 'it is not there any more' : undefined);
}

/** Without another observation, time has passed, or a silence has begun or ended. */
export function look(terms: Terms, status: AlertStatus, silenced: boolean): Step {
  if (status.state === 'resolved') return { next: status, notice: undefined };
  return settle(terms, status, silenced);
}

/** It is over whatever the value is: its rule or its agent is gone. */
export function end(status: AlertStatus, at: number, reason: string | undefined): Step {
  if (status.state === 'pending') return { next: undefined, notice: undefined };
  if (status.state === 'resolved') return { next: status, notice: undefined };
  const next: AlertStatus = { ...status, state: 'resolved', resolvedAt: at, reason, clearSince: undefined };
  return { next, notice: status.told ? 'resolved' : undefined };
}

/** Undefined where it does not fire, and so nobody can take it on. */
export function acknowledge(
  status: AlertStatus,
  by: { at: number; by: string; note: string },
): AlertStatus | undefined {
  if (status.state === 'pending' || status.state === 'resolved') return undefined;
  return { ...status, state: status.state === 'silenced' ? 'silenced' : 'acknowledged', acknowledged: by };
}

const begun = ({ at, late }: Observation, value: number): AlertStatus => ({
  state: 'pending',
  value,
  late,
  seenAt: at,
  pendingSince: at,
  firedAt: undefined,
  clearSince: undefined,
  resolvedAt: undefined,
  reason: undefined,
  told: false,
  acknowledged: undefined,
});

/** Lets it fire when it is time, and says which of the states that fire it is in. */
function settle(terms: Terms, status: AlertStatus, silenced: boolean): Step {
  let next = status;
  if (next.state === 'pending') {
    if (next.seenAt - next.pendingSince < terms.forMs) return { next, notice: undefined };
    next = { ...next, state: 'firing', firedAt: next.seenAt };
  }
  const state = silenced ? 'silenced' : next.acknowledged === undefined ? 'firing' : 'acknowledged';
  if (state !== next.state) next = { ...next, state };
  if (state !== 'firing' || next.told || next.late) return { next, notice: undefined };
  // What is about to end is told of only if it does not.
  if (next.clearSince !== undefined) return { next, notice: undefined };
  return { next: { ...next, told: true }, notice: 'firing' };
}

/** Whether the two differ in more than the newest observation: that much is worth a write. */
export const differs = (a: AlertStatus, b: AlertStatus): boolean =>
  a.state !== b.state ||
  a.told !== b.told ||
  a.pendingSince !== b.pendingSince ||
  a.clearSince !== b.clearSince ||
  a.acknowledged !== b.acknowledged;
