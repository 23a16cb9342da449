import { formatDuration } from '../lib/duration.ts';
import { countUpTo, latestUpTo, occurrencesOf } from './occurrences.ts';
import type { Timing } from './types.ts';

/** What becomes of a schedule whose time has come. */
export interface DueDecision {
  do: 'run' | 'miss';
  /** The latest time that has come; all others before it were missed. */
  occurrence: number;
  /** Until when it may still be submitted. */
  until: number;
  /** What is to come after it. */
  nextAt: number | undefined;
  /** How many were missed; past a bound they are counted no further. */
  missed: number;
  /** Which ones, in words for a person. */
  note: string | undefined;
}

/** Milliseconds by which a run may be late and is not missed: a restart takes less. */
export const onTimeMs = 60_000;
/** Missed runs are counted up to here. */
const countedMissed = 1000;

/**
 * Of several times that have come, only the latest runs. It runs if it is less than a minute late; after that it
 * is missed, unless it is to be made up for and not later than that allows.
 */
export function decideDue(timing: Timing, nextAt: number, now: number): DueDecision | undefined {
  if (nextAt > now) return undefined;
  const occurrences = occurrencesOf(timing);
  const occurrence = latestUpTo(occurrences, nextAt - 1, now) ?? nextAt;
  const window = timing.missed === 'once' ? Math.max(onTimeMs, timing.catchUpWithinMs) : onTimeMs;
  const runs = now - occurrence <= window;
  const last = runs ? occurrence - 1 : occurrence;
  const missed = countUpTo(occurrences, nextAt - 1, last, countedMissed + 1);
  const first = new Date(nextAt).toISOString();
  const many = missed > countedMissed ? `more than ${countedMissed}` : `${missed}`;
  const which = missed === 1 ? `the one of ${first}` : `${many} since ${first}`;
  const tooLate = `${formatDuration(now - occurrence)} late, and ${formatDuration(window)} is allowed`;
  const note = runs ? `Runs before it were missed: ${which}.` : `Missed: ${which} (${tooLate}).`;
  return {
    do: runs ? 'run' : 'miss',
    occurrence,
    until: occurrence + window,
    nextAt: occurrences.after(Math.max(now, occurrence)),
    missed,
    note: missed > 0 ? note : undefined,
  };
}
