import type { CliContext } from './context.ts';
import { plot, roundUp } from './plot.ts';
import { type Unit, unitOf, valueText } from './telemetry-units.ts';

/** A plot with its title, its figures, and what its edges stand for. */

export interface ChartPoint {
  /** Milliseconds since 1970, where its span begins. */
  at: number;
  average: number;
  min: number;
  max: number;
  /** By how much it counts in an average. */
  weight: number;
}

export interface ChartOptions {
  title: string;
  unit: Unit;
  /** Milliseconds since 1970. */
  from: number;
  to: number;
  /** Seconds of a span. */
  resolution: number;
  /** Characters of a line. */
  width: number;
  /** Lines of the plot itself. */
  height: number;
  unicode: boolean;
}

/** What is drawn are averages; the least and the greatest of the title are those of single samples. */
export function chart(points: readonly ChartPoint[], options: ChartOptions): string[] {
  const { title, unit, from, to, resolution, width, height, unicode } = options;
  const span = resolution * 1000;
  const first = Math.floor(from / span);
  const count = Math.max(1, Math.ceil(to / span) - first);
  const values: (number | null)[] = new Array(count).fill(null);
  for (const { at, average } of points) {
    const index = Math.floor(at / span) - first;
    if (index >= 0 && index < count) values[index] = average;
  }
  const { minimum, maximum } = edges(points, unit);
  const labels = [maximum, minimum].map((edge) => (unit === '%' ? `${edge} %` : valueText(unit, edge)));
  const margin = Math.max(...labels.map((label) => label.length));
  const [upper, lower] = labels.map((label) => label.padStart(margin));
  const [tick, side, corner, line] = unicode ? ['┤', '│', '└', '─'] : ['+', '|', '+', '-'];
  const room = Math.max(10, width - margin - 2);
  const rows = plot(values, { width: room, height, unicode, minimum, maximum });
  return [
    `${title}  ${figures(points, unit)}`,
    ...rows.map((row, at) => {
      const label = at === 0 ? upper : at === rows.length - 1 ? lower : undefined;
      return `${label ?? ' '.repeat(margin)} ${label === undefined ? side : tick}${row}`.trimEnd();
    }),
    `${' '.repeat(margin)} ${corner}${(line ?? '').repeat(room)}`,
    `${' '.repeat(margin + 2)}${timeAxis(first * span, (first + count) * span, room)}`,
  ];
}

function figures(points: readonly ChartPoint[], unit: Unit): string {
  const last = points.at(-1);
  if (last === undefined) return 'not measured';
  const weight = points.reduce((sum, point) => sum + point.weight, 0);
  const average = points.reduce((sum, point) => sum + point.average * point.weight, 0) / weight;
  const least = points.reduce((found, { min }) => Math.min(found, min), last.min);
  const greatest = points.reduce((found, { max }) => Math.max(found, max), last.max);
  const text = (value: number) => valueText(unit, value);
  return `last ${text(last.average)}, average ${text(average)}, min ${text(least)}, max ${text(greatest)}`;
}

/** All that the title tells of lies between them. */
function edges(points: readonly ChartPoint[], unit: Unit): { minimum: number; maximum: number } {
  const least = points.reduce((found, { min }) => Math.min(found, min), 0);
  const greatest = points.reduce((found, { max }) => Math.max(found, max), 0);
  if (unit === '%') return { minimum: 0, maximum: [10, 25, 50].find((edge) => edge >= greatest) ?? 100 };
  const base = unit === 'B/s' ? 2 : 10;
  return { minimum: least < 0 ? -roundUp(-least, base) : 0, maximum: roundUp(greatest, base) };
}

const dayMs = 86_400_000;

/** The beginning, the middle and the end, as far as there is room. */
function timeAxis(from: number, to: number, width: number): string {
  const long = to - from > dayMs;
  const text = (at: number): string => {
    const iso = new Date(at).toISOString();
    return long ? `${iso.slice(5, 10)} ${iso.slice(11, 16)}` : iso.slice(11, 16);
  };
  const [left, middle, right] = [text(from), text((from + to) / 2), `${text(to)} UTC`];
  const free = width - left.length - right.length;
  if (free < 1) return left;
  if (free < middle.length + 4) return left + ' '.repeat(free) + right;
  const before = Math.max(2, Math.round(width / 2 - middle.length / 2) - left.length);
  const after = free - middle.length - before;
  return left + ' '.repeat(before) + middle + ' '.repeat(Math.max(1, after)) + right;
}

export function draw(
  { terminal, settings }: CliContext,
  metric: string,
  points: readonly ChartPoint[],
  { begin, end, resolution }: { begin: number; end: number; resolution: number },
  height: number,
): void {
  terminal.line();
  if (points.length === 0) return terminal.line(`${metric}  not measured in this time`);
  const lines = chart(points, {
    title: terminal.style('bold', metric),
    unit: unitOf(metric),
    from: begin,
    to: end,
    resolution,
    width: Math.min(120, terminal.columns),
    height,
    unicode: settings.unicode,
  });
  for (const line of lines) terminal.line(line);
}
