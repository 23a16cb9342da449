import type { SeqRange } from '../storage/audit-chain.ts';

/**
 * Sequence numbers are handed out before the transactions that use them commit, and those that are rolled back leave
 * holes. What is not there yet is looked for until no transaction can bring it any more.
 */
export interface Gap {
  range: SeqRange;
  /** On the monotonic clock, when it was seen first. */
  since: number;
  /** Once it is old: transactions that had not begun by then cannot have its numbers. */
  before: number | undefined;
}

export interface SealState {
  /** The largest sequence number in a block. */
  highest: number;
  gaps: readonly Gap[];
}

/**
 * Milliseconds until it is asked which transactions are under way: one that has taken its number, and has not been
 * seen as under way, has had so long to be.
 */
const oldMs = 60_000;

/** No sequence number is larger. */
export const maximumSeq = Number.MAX_SAFE_INTEGER;

/** Where entries may be that no block has. */
export const openRanges = ({ highest, gaps }: SealState): SeqRange[] => [
  ...gaps.map(({ range }) => range),
  [highest + 1, maximumSeq],
];

/** Up to here nothing can come any more. */
export const settledOf = ({ highest, gaps }: SealState): number =>
  gaps[0] === undefined ? highest : gaps[0].range[0] - 1;

/** The state after what was found in its open ranges; both in order. */
export function afterFound(state: SealState, found: readonly SeqRange[], now: number): SealState {
  const highest = Math.max(state.highest, found.at(-1)?.[1] ?? 0);
  const open: Gap[] = [...state.gaps];
  if (highest > state.highest)
    open.push({ range: [state.highest + 1, highest], since: now, before: undefined });
  return { highest, gaps: open.flatMap((gap) => without(gap, found)) };
}

function without(gap: Gap, found: readonly SeqRange[]): Gap[] {
  const left: Gap[] = [];
  let [from, to] = gap.range;
  for (const [first, last] of found) {
    if (last < from || first > to) continue;
    if (first > from) left.push({ ...gap, range: [from, first - 1] });
    from = last + 1;
  }
  if (from <= to) left.push({ ...gap, range: [from, to] });
  return left;
}

/** Forgets gaps that nothing can fill any more. @param view of the transactions under way, where they were looked at */
export function settle(state: SealState, view: { xmin: number; xmax: number }, now: number): SealState {
  const gaps = state.gaps.flatMap((gap): Gap[] => {
    if (gap.before !== undefined) return view.xmin >= gap.before ? [] : [gap];
    return [now - gap.since >= oldMs ? { ...gap, before: view.xmax } : gap];
  });
  return { ...state, gaps };
}

/** The state after a block, from the ranges that blocks have above its settled number. */
export function stateFrom(
  block: { highest: number; settled: number } | undefined,
  ranges: readonly SeqRange[],
  now: number,
): SealState {
  if (block === undefined) return { highest: 0, gaps: [] };
  const sorted = [...ranges].sort(([a], [b]) => a - b);
  return afterFound({ highest: block.settled, gaps: [] }, sorted, now);
}
