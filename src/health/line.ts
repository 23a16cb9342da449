import { median, sortedNumbers } from './quantile.ts';

/**
 * A straight line through points, by Theil and Sen: its slope is the median of the slopes between all pairs. A few points
 * that lie anywhere, as those of a nightly backup, do not turn it, where they would turn a line of least squares.
 */

export interface Point {
  /** Milliseconds since 1970. */
  at: number;
  value: number;
}

export interface Line {
  /** For each day. */
  slope: number;
  /** 95 of 100 times the true slope lies between these. */
  low: number;
  high: number;
  /** Which part of the squared distances from the average it explains, 0 to 1. */
  explained: number;
}

const dayMs = 86_400_000;
/** Of the normal distribution, for 95 of 100. */
const sigmas = 1.96;
/** Neighbours that are more alike than this are counted as if they were not: nothing would be certain. */
const mostAlike = 0.95;
/** Points that a line is drawn through: as many pairs as are looked at within a millisecond or two. */
export const mostPoints = 180;

/** @param points by time, at most `mostPoints`; undefined where there is none */
export function lineThrough(points: readonly Point[]): Line | undefined {
  const slopes = sortedNumbers(slopesOf(points));
  if (slopes.length === 0) return undefined;
  const slope = median(slopes);
  const residuals = residualsOf(points, slope);
  const reach = reachOf(points.length, likenessOf(residuals));
  const last = slopes.length - 1;
  const bound = (rank: number): number => slopes[Math.min(last, Math.max(0, rank))] ?? slope;
  const line = {
    slope,
    low: bound(Math.floor((slopes.length - reach) / 2)),
    high: bound(Math.ceil((slopes.length + reach) / 2)),
    explained: explainedOf(points, residuals),
  };
  // Of numbers that are too large to be reckoned with there is none.
  return Object.values(line).every(Number.isFinite) ? line : undefined;
}

function* slopesOf(points: readonly Point[]): Generator<number> {
  for (const [index, from] of points.entries()) {
    for (let other = index + 1; other < points.length; other++) {
      const to = points[other];
      if (to !== undefined && to.at > from.at) yield ((to.value - from.value) / (to.at - from.at)) * dayMs;
    }
  }
}

function residualsOf(points: readonly Point[], slope: number): number[] {
  const rests = points.map(({ at, value }) => value - (slope * at) / dayMs);
  const base = median(sortedNumbers(rests));
  return rests.map((rest) => rest - base);
}

/** How many of the sorted slopes lie between the two bounds, by the variance of Kendall's statistic. */
function reachOf(count: number, likeness: number): number {
  const variance = (count * (count - 1) * (2 * count + 5)) / 18;
  // Hours that follow each other are alike, so that many of them tell no more than few.
  return sigmas * Math.sqrt((variance * (1 + likeness)) / (1 - likeness));
}

/** How much a point has of the one before it, 0 to `mostAlike`. */
function likenessOf(residuals: readonly number[]): number {
  let [shared, all] = [0, 0];
  for (const [index, residual] of residuals.entries()) {
    all += residual * residual;
    shared += residual * (residuals[index - 1] ?? 0);
  }
  return all === 0 ? 0 : Math.min(mostAlike, Math.max(0, shared / all));
}

function explainedOf(points: readonly Point[], residuals: readonly number[]): number {
  const average = points.reduce((sum, { value }) => sum + value, 0) / points.length;
  const spread = points.reduce((sum, { value }) => sum + (value - average) ** 2, 0);
  const left = residuals.reduce((sum, residual) => sum + residual ** 2, 0);
  return spread === 0 ? 0 : Math.min(1, Math.max(0, 1 - left / spread));
}

/** Averages of so many neighbours that few enough points are left. */
export function thinned(points: readonly Point[], most = mostPoints): readonly Point[] {
  const size = Math.ceil(points.length / most);
  if (size <= 1) return points;
  const thin: Point[] = [];
  for (let from = 0; from < points.length; from += size) {
    const group = points.slice(from, from + size);
    const average = (of: (point: Point) => number) =>
      group.reduce((sum, point) => sum + of(point), 0) / group.length;
    thin.push({ at: average(({ at }) => at), value: average(({ value }) => value) });
  }
  return thin;
}
