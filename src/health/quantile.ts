/** The value that a share of all values is at or below. @param sorted from the least, and not empty */
export function quantile(sorted: ArrayLike<number>, share: number): number {
  const at = Math.min(sorted.length - 1, Math.max(0, Math.ceil(share * sorted.length) - 1));
  return sorted[at] ?? Number.NaN;
}

/** The one in the middle, or between the two in the middle. @param sorted from the least, and not empty */
export function median(sorted: ArrayLike<number>): number {
  const middle = (sorted.length - 1) / 2;
  return ((sorted[Math.floor(middle)] ?? Number.NaN) + (sorted[Math.ceil(middle)] ?? Number.NaN)) / 2;
}

export const sortedNumbers = (values: Iterable<number>): Float64Array => Float64Array.from(values).sort();
