import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { SeqRange } from '../storage/audit-chain.ts';
import { afterFound, openRanges, type SealState, settle, settledOf, stateFrom } from './gaps.ts';

const empty: SealState = { highest: 0, gaps: [] };
const rangesOf = ({ gaps }: SealState) => gaps.map(({ range }) => range);

test('what is not there yet is looked for', () => {
  const state = afterFound(
    empty,
    [
      [1, 3],
      [6, 7],
    ],
    0,
  );
  expect(state.highest).toBe(7);
  expect(rangesOf(state)).toEqual([[4, 5]]);
  expect(openRanges(state)).toEqual([
    [4, 5],
    [8, Number.MAX_SAFE_INTEGER],
  ]);
  expect(settledOf(state)).toBe(3);
  const late = afterFound(
    state,
    [
      [5, 5],
      [8, 9],
    ],
    0,
  );
  expect(rangesOf(late)).toEqual([[4, 4]]);
  expect(late.highest).toBe(9);
});

test('a gap is forgotten once every transaction that was under way when it was old has ended', () => {
  const seen = afterFound(empty, [[2, 2]], 0);
  expect(settle(seen, { xmin: 900, xmax: 1000 }, 59_000).gaps).toHaveLength(1);
  const old = settle(seen, { xmin: 900, xmax: 1000 }, 60_000);
  expect(settledOf(old)).toBe(0);
  const waits = settle(old, { xmin: 999, xmax: 2000 }, 61_000);
  expect(settledOf(waits)).toBe(0);
  const over = settle(waits, { xmin: 1000, xmax: 2000 }, 62_000);
  expect(over.gaps).toEqual([]);
  expect(settledOf(over)).toBe(2);
});

/** Sequence numbers as ranges. */
function rangesIn(seqs: Iterable<number>): SeqRange[] {
  const ranges: SeqRange[] = [];
  for (const seq of [...seqs].sort((a, b) => a - b)) {
    const last = ranges.at(-1);
    if (last !== undefined && last[1] === seq - 1) last[1] = seq;
    else ranges.push([seq, seq]);
  }
  return ranges;
}

test('in whatever order entries come, each is sealed once, and a restart knows as much', () => {
  const batches = fc.array(fc.uniqueArray(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 10 }), {
    maxLength: 10,
  });
  fc.assert(
    fc.property(batches, (given) => {
      const sealed = new Set<number>();
      let state = empty;
      for (const batch of given) {
        const open = openRanges(state);
        const isOpen = (seq: number) => open.some(([from, to]) => from <= seq && seq <= to);
        for (const seq of batch) expect(isOpen(seq)).toBe(!sealed.has(seq));
        const fresh = batch.filter(isOpen);
        for (const seq of fresh) sealed.add(seq);
        state = afterFound(state, rangesIn(fresh), 0);
        const block = { highest: state.highest, settled: settledOf(state) };
        expect(openRanges(stateFrom(block, rangesIn(sealed), 0))).toEqual(openRanges(state));
      }
    }),
  );
});
