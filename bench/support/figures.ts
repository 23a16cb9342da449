/** Figures of several rounds in one: the middle, and how far the rounds lie apart. */
export interface Spread {
  median: number;
  lowest: number;
  highest: number;
}

/** @param share 0 to 1; nearest rank */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(share * sorted.length) - 1))] ?? Number.NaN;
}

export const spreadOf = (values: readonly number[]): Spread => ({
  median: quantile(values, 0.5),
  lowest: Math.min(...values),
  highest: Math.max(...values),
});

/** Three significant digits, and thousands in groups. */
export function figure(value: number): string {
  if (!Number.isFinite(value)) return '–';
  if (value >= 100) return Math.round(value).toLocaleString('en-US');
  return value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

export const spreadText = ({ median, lowest, highest }: Spread): string =>
  lowest === highest ? figure(median) : `${figure(median)} (${figure(lowest)}–${figure(highest)})`;

/** A plain table: the first column to the left, numbers to the right. */
export function table(head: readonly string[], rows: readonly (readonly string[])[], left = 1): string {
  const width = head.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)),
  );
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, column) =>
        column < left ? cell.padEnd(width[column] ?? 0) : cell.padStart(width[column] ?? 0),
      )
      .join('  ')
      .trimEnd();
  return [line(head), width.map((size) => '-'.repeat(size)).join('  '), ...rows.map(line)].join('\n');
}
