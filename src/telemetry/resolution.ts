import { invalidField } from '../errors.ts';
import { type RollupLevel, rollupLevels } from '../storage/telemetry-rollups.ts';

/** Which roll-ups answer a question about the past. */

/** Seconds of a span: those that there are roll-ups of. */
export const resolutions = [60, 900, 3600] as const;
export type Resolution = (typeof resolutions)[number];

/** Milliseconds after the end of a span, in which it may not be rolled up yet. */
const settlingMs = 300_000;

export interface Moments {
  /** Milliseconds since 1970. */
  from: number;
  to: number;
}

/** The finest that answers with at most so many spans and is kept from the beginning on; otherwise the coarsest. */
export function resolutionFor(
  { from, to }: Moments,
  { points, now, keepMs }: { points: number; now: number; keepMs: number },
): Resolution {
  const fits = resolutions.find(
    (seconds) => to - from <= points * seconds * 1000 && (seconds > 60 || from >= now - keepMs),
  );
  return fits ?? 3600;
}

export const levelOf = (resolution: Resolution): RollupLevel => {
  const level = rollupLevels.find(({ seconds }) => seconds === resolution);
  if (level === undefined)
    throw invalidField('resolution', `must be one of ${resolutions.join(', ')} seconds`);
  return level;
};

/** Whole spans that the range touches. */
export function spansOf({ from, to }: Moments, resolution: Resolution): { from: Date; to: Date } {
  const ms = resolution * 1000;
  return { from: new Date(Math.floor(from / ms) * ms), to: new Date(Math.ceil(to / ms) * ms) };
}

/** Where spans begin that may not be rolled up yet. */
export function unsettledFrom(now: number, resolution: Resolution): Date {
  const ms = resolution * 1000;
  return new Date(Math.floor((now - settlingMs) / ms) * ms);
}
