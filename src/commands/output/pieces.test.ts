import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { OutputRow } from '../../storage/output.ts';
import { assemble, coalesce, fitPiece, type StreamProgress } from './pieces.ts';

const row = (position: number, data: Uint8Array, stream = 1): OutputRow => ({
  executionId: 'e',
  commandId: 'c',
  attempt: 1,
  stream,
  position,
  data,
});

/** A stream cut into pieces, some of them sent again with other edges, as after a break. */
const cuts = fc
  .tuple(
    fc.uint8Array({ maxLength: 200 }),
    fc.array(fc.nat({ max: 200 }), { maxLength: 12 }),
    fc.nat({ max: 200 }),
  )
  .map(([whole, edges, again]) => {
    const cut = (from: number) => {
      const places = [
        ...new Set([from, ...edges.filter((edge) => edge > from && edge < whole.length), whole.length]),
      ];
      places.sort((a, b) => a - b);
      return places.slice(1).map((to, at) => row(places[at] ?? 0, whole.subarray(places[at], to)));
    };
    return { whole, pieces: cut(0), repeated: cut(Math.min(again, whole.length)) };
  });

describe('assemble', () => {
  it('puts together what was cut, however much of it comes twice', () => {
    fc.assert(
      fc.property(cuts, ({ whole, pieces, repeated }) => {
        const all = [...pieces, ...repeated].sort((a, b) => a.position - b.position);
        expect(assemble(all)).toEqual({ data: whole, gap: false });
      }),
    );
  });

  it('ends at a gap, and says so', () => {
    const { data, gap } = assemble([row(0, Buffer.from('ab')), row(3, Buffer.from('d'))]);
    expect([Buffer.from(data).toString(), gap]).toEqual(['ab', true]);
  });
});

describe('coalesce', () => {
  it('loses nothing, and makes no row larger than it should be', () => {
    fc.assert(
      fc.property(cuts, ({ whole, pieces }) => {
        const rows = coalesce(pieces);
        expect(assemble(rows).data).toEqual(whole);
        if (whole.length > 0) expect(rows).toHaveLength(1);
      }),
    );
    const large = Array.from({ length: 5 }, (_, n) => row(n * 40_000, Buffer.alloc(40_000)));
    expect(coalesce(large).map((one) => one.data.byteLength)).toEqual([
      40_000, 40_000, 40_000, 40_000, 40_000,
    ]);
  });

  it('keeps streams, attempts and executions apart', () => {
    const other = { ...row(2, Buffer.from('x')), executionId: 'other' };
    const again = { ...row(2, Buffer.from('x')), attempt: 2 };
    const rows = [
      row(0, Buffer.from('ab')),
      row(2, Buffer.from('c'), 2),
      other,
      again,
      row(2, Buffer.from('d')),
    ];
    expect(coalesce(rows)).toHaveLength(4);
  });
});

describe('fitPiece', () => {
  it('takes each byte of a session once, and none beyond the limit', () => {
    fc.assert(
      fc.property(cuts, fc.nat({ max: 250 }), ({ whole, pieces, repeated }, limit) => {
        const progress: StreamProgress = new Map();
        const taken = [...pieces, ...repeated].flatMap((piece) => fitPiece(piece, progress, limit) ?? []);
        const bytes = taken.reduce((sum, piece) => sum + piece.data.byteLength, 0);
        expect(bytes).toBe(Math.min(limit, whole.length));
        expect(assemble(taken).data).toEqual(whole.subarray(0, limit));
      }),
    );
  });
});
