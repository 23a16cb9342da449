import { leastExplained, tidied } from '../alerts/forecast.ts';
import { formatDuration } from '../lib/duration.ts';
import type { TelemetryMetric } from '../storage/telemetry-metrics.ts';
import { type Line, lineThrough, type Point, thinned } from './line.ts';
import { median, sortedNumbers } from './quantile.ts';
import type { Direction, Trend } from './types.ts';
import { amountText, isPercent, slopeText } from './units.ts';

/** Where a metric goes, as a pure function of what was measured. */

export interface Measurements {
  metric: TelemetryMetric;
  /** A mount; empty for the machine itself. */
  subject: string;
  /** By time. */
  points: readonly Point[];
  /** Milliseconds since 1970. */
  now: number;
}

const dayMs = 86_400_000;
/** Less than this says nothing. */
const leastPoints = 12;
const leastSpanMs = 6 * 3_600_000;
/** What changes by less in a day is steady: points of a percentage, and otherwise a share of what it usually is. */
const steadyPoints = 0.1;
const steadyShare = 0.02;
/** What lies further ahead is not said. */
const farthestMs = 365 * dayMs;

export function trendOf({ metric, subject, points, now }: Measurements): Trend {
  const thin = thinned(metric === 'disk' ? sinceTidied(points) : points);
  const [first, last] = [thin[0], points.at(-1)];
  const line = lineThrough(thin);
  const spanMs = (thin.at(-1)?.at ?? 0) - (first?.at ?? 0);
  const named = subject === '' ? metric : `${metric} ${subject}`;
  if (
    first === undefined ||
    last === undefined ||
    line === undefined ||
    thin.length < leastPoints ||
    spanMs < leastSpanMs
  ) {
    const is = last === undefined ? '' : `${amountText(metric, last.value)}, `;
    return {
      metric,
      subject,
      line: undefined,
      direction: 'unclear',
      full: undefined,
      text: `${named}: ${is}no trend yet: ${thin.length} of ${leastPoints} points${thin.length < 2 ? '' : `, over ${formatDuration(spanMs)} of ${formatDuration(leastSpanMs)}`}`,
    };
  }
  const direction = directionOf(metric, line, thin);
  const full = direction === 'rising' && metric === 'disk' ? fullAt(line, last, now) : undefined;
  const trend = {
    metric,
    subject,
    line: {
      from: new Date(first.at),
      to: new Date(last.at),
      points: thin.length,
      last: last.value,
      slopePerDay: line.slope,
      slopeLow: line.low,
      slopeHigh: line.high,
      explained: line.explained,
    },
    direction,
    full,
  };
  return { ...trend, text: `${named}: ${textOf(metric, trend.line, direction, full, now)}` };
}

/** What was before somebody tidied up says nothing of what comes. */
function sinceTidied(points: readonly Point[]): readonly Point[] {
  const last = points.findLastIndex(
    ({ value }, index) => value < (points[index - 1]?.value ?? value) - tidied * 100,
  );
  return last === -1 ? points : points.slice(last);
}

function directionOf(
  metric: TelemetryMetric,
  { slope, low, high, explained }: Line,
  points: readonly Point[],
): Direction {
  const usual = isPercent(metric) ? undefined : median(sortedNumbers(points.map(({ value }) => value)));
  if (Math.abs(slope) <= (usual === undefined ? steadyPoints : Math.abs(usual) * steadyShare)) return 'flat';
  if (explained < leastExplained) return 'unclear';
  if (low > 0) return 'rising';
  return high < 0 ? 'falling' : 'unclear';
}

/** Undefined where it is full already, would be full by now, or will not be for long. */
function fullAt({ slope, low, high }: Line, last: Point, now: number): Trend['full'] {
  const left = 100 - last.value;
  if (left <= 0) return undefined;
  const when = (perDay: number): number => last.at + (left / perDay) * dayMs;
  const at = when(slope);
  if (at < now || at > now + farthestMs) return undefined;
  const latest = when(low);
  return {
    at: new Date(at),
    earliest: new Date(Math.max(now, when(high))),
    latest: latest > now + farthestMs ? undefined : new Date(latest),
  };
}

function textOf(
  metric: TelemetryMetric,
  { last, slopePerDay, slopeLow, slopeHigh, points }: NonNullable<Trend['line']>,
  direction: Direction,
  full: Trend['full'],
  now: number,
): string {
  const is = amountText(metric, last);
  if (direction === 'flat') return `${is}, steady`;
  if (direction === 'unclear') return `${is}, no clear direction in ${points} points`;
  const slope = `${is}, ${direction} by ${slopeText(metric, slopePerDay)} a day (${slopeText(metric, slopeLow)} to ${slopeText(metric, slopeHigh)})`;
  if (full === undefined) return slope;
  const dayOf = (date: Date): string => date.toISOString().slice(0, 16).replace('T', ' ');
  const latest = full.latest === undefined ? 'more than a year' : dayOf(full.latest);
  return `${slope}; full in about ${formatDuration(full.at.getTime() - now)}, ${dayOf(full.at)} UTC (${dayOf(full.earliest)} to ${latest})`;
}
