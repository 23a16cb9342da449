/** A line of values over time, drawn with characters. */

export interface PlotSize {
  /** Characters. */
  width: number;
  /** Lines. */
  height: number;
  /** Braille, with two by four dots in a character; otherwise ASCII. */
  unicode: boolean;
  /** The values at the lower and at the upper edge. */
  minimum: number;
  maximum: number;
}

/** Rows of dots in a column, counted from below. */
interface Bar {
  low: number;
  high: number;
}

/** Bits of a braille character, from the top: those of the left half, and those of the right. */
const brailleBits = [
  [0x01, 0x02, 0x04, 0x40],
  [0x08, 0x10, 0x20, 0x80],
] as const;

/**
 * Draws the values from left to right, each as wide as the others. Where one is null, nothing is drawn: a gap is not
 * a zero. Where there are more values than columns, a column shows the least and the greatest of its values.
 *
 * @returns exactly `height` lines of exactly `width` characters
 */
export function plot(values: readonly (number | null)[], size: PlotSize): string[] {
  const [width, height] = [atLeastOne(size.width), atLeastOne(size.height)];
  const [across, down] = size.unicode ? [2, 4] : [1, 1];
  const bars = connected(barsOf(values, width * across, height * down, size));
  return Array.from({ length: height }, (_, line) => {
    // The row of dots at the top of this line.
    const top = (height - line) * down - 1;
    return Array.from({ length: width }, (_, column) =>
      size.unicode ? braille(bars, column * 2, top) : ascii(bars[column], top),
    ).join('');
  });
}

const atLeastOne = (count: number): number => (count >= 1 ? Math.floor(count) : 1);

function barsOf(
  values: readonly (number | null)[],
  columns: number,
  rows: number,
  { minimum, maximum }: PlotSize,
): (Bar | undefined)[] {
  const rowOf = (value: number): number => {
    const row = Math.round(((value - minimum) / (maximum - minimum)) * (rows - 1));
    return Number.isNaN(row) ? 0 : Math.min(rows - 1, Math.max(0, row));
  };
  return Array.from({ length: columns }, (_, column) => {
    const begin = Math.floor((column * values.length) / columns);
    const end = Math.max(begin + 1, Math.floor(((column + 1) * values.length) / columns));
    let bar: Bar | undefined;
    for (const value of values.slice(begin, end)) {
      if (value === null || !Number.isFinite(value)) continue;
      const row = rowOf(value);
      bar = { low: Math.min(row, bar?.low ?? row), high: Math.max(row, bar?.high ?? row) };
    }
    return bar;
  });
}

/** Bars that touch those before them, so that a jump is seen as a line. */
function connected(bars: readonly (Bar | undefined)[]): (Bar | undefined)[] {
  return bars.map((bar, column) => {
    const before = bars[column - 1];
    if (bar === undefined || before === undefined) return bar;
    return { low: Math.min(bar.low, before.high + 1), high: Math.max(bar.high, before.low - 1) };
  });
}

const has = (bar: Bar | undefined, row: number): boolean =>
  bar !== undefined && row >= bar.low && row <= bar.high;

function braille(bars: readonly (Bar | undefined)[], column: number, top: number): string {
  let bits = 0;
  for (const [side, ofSide] of brailleBits.entries())
    for (const [down, bit] of ofSide.entries()) if (has(bars[column + side], top - down)) bits |= bit;
  return bits === 0 ? ' ' : String.fromCharCode(0x2800 + bits);
}

const ascii = (bar: Bar | undefined, row: number): string => (has(bar, row) ? '*' : ' ');

/** A round number that the value does not exceed, for the edge of a plot. @param base 2 for bytes */
export function roundUp(value: number, base: 2 | 10): number {
  if (!(value > 0) || !Number.isFinite(value)) return 1;
  if (base === 2) return 2 ** Math.ceil(Math.log2(value));
  const power = 10 ** Math.floor(Math.log10(value));
  return (
    [1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10].map((step) => step * power).find((round) => round >= value) ?? value
  );
}
