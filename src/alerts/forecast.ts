/**
 * When a disk will be full, from how it filled until now: a straight line through what was measured, in which each
 * hour that passes weighs less. It costs a few numbers for each disk, however long it has been watched.
 */
export interface Forecast {
  /** Milliseconds since 1970. */
  firstAt: number;
  lastAt: number;
  count: number;
  /** The share of the disk that is used, 0 to 1. */
  last: number;
  /** Weighted sums; x in hours before the last measurement, y in shares. */
  n: number;
  x: number;
  y: number;
  xx: number;
  xy: number;
  yy: number;
}

const hourMs = 3_600_000;
/** After so many hours a measurement weighs about a third. */
const weightHours = 3;
/** Less than this says nothing. */
const leastMs = 1_800_000;
const leastCount = 10;
/** Of the change, what a line must explain; below it there is no trend. */
export const leastExplained = 0.5;
/** A share of a disk that is free again at once: somebody tidied up, and what was before says nothing of what comes. */
export const tidied = 0.02;

/** @param used 0 to 1. Measurements that are not newer than the last are left out, unless the clock was set back. */
export function measured(before: Forecast | undefined, at: number, used: number): Forecast {
  if (before === undefined || used < before.last - tidied || at < before.lastAt - hourMs) {
    return {
      firstAt: at,
      lastAt: at,
      count: 1,
      last: used,
      n: 1,
      x: 0,
      y: used,
      xx: 0,
      xy: 0,
      yy: used * used,
    };
  }
  if (at <= before.lastAt) return before;
  const { firstAt, count, n, x, y, xx, xy, yy } = before;
  const hours = (at - before.lastAt) / hourMs;
  const weight = Math.exp(-hours / weightHours);
  return {
    firstAt,
    lastAt: at,
    count: count + 1,
    last: used,
    n: weight * n + 1,
    x: weight * (x - hours * n),
    y: weight * y + used,
    xx: weight * (xx - 2 * hours * x + hours * hours * n),
    xy: weight * (xy - hours * y),
    yy: weight * yy + used * used,
  };
}

/** Hours until it is full; infinite where it does not fill, undefined where it was not watched for long enough. */
export function hoursUntilFull(forecast: Forecast): number | undefined {
  const { firstAt, lastAt, count, last, n, x, y, xx, xy, yy } = forecast;
  if (count < leastCount || lastAt - firstAt < leastMs) return undefined;
  const spreadX = n * xx - x * x;
  const spreadY = n * yy - y * y;
  const shared = n * xy - x * y;
  if (spreadX <= 0 || spreadY <= 1e-12 || shared <= 0) return Number.POSITIVE_INFINITY;
  if ((shared * shared) / (spreadX * spreadY) < leastExplained) return Number.POSITIVE_INFINITY;
  return Math.max(0, 1 - last) / (shared / spreadX);
}
