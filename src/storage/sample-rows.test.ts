import { expect, test } from 'vitest';
import { fact, factsEach, marks, metricAt, newFrame, type SampleFrame, splitFrame } from './sample-frames.ts';
import { rowsOf, rowsToTell, rowsWithDrops } from './sample-rows.ts';

const noon = Date.parse('2026-03-02T12:00:00Z');
const [first, second] = [new Uint8Array(16).fill(1), new Uint8Array(16).fill(2)];

interface Said {
  number: number;
  at?: number;
  boot?: Uint8Array;
  waited?: boolean;
  dropped?: number;
}

function frameOf(...all: Said[]): SampleFrame {
  const frame = newFrame('alpha', new Date(noon), all.length + 1, Buffer.alloc(100));
  for (const { number, at = noon, boot = first, waited = false, dropped = 0 } of all) {
    const begins = frame.size * factsEach;
    frame.facts[begins + fact.number] = number;
    frame.facts[begins + fact.at] = at;
    frame.facts[begins + fact.marks] = waited ? marks.waited + marks.late : 0;
    frame.facts[begins + fact.dropped] = dropped;
    frame.facts[begins + fact.from] = frame.size;
    frame.facts[begins + fact.to] = frame.size + 2;
    frame.facts[begins + fact.metrics + metricAt.cpu] = number / 2;
    frame.boots.push(boot);
    frame.size += 1;
  }
  return frame;
}
const told = (...all: Said[]) =>
  rowsToTell(frameOf(...all)).map(({ number, superseded }) => [number, superseded]);

test('of what came as it was measured the newest is told, and for how many it stands', () => {
  expect(told({ number: 7 })).toEqual([[7, undefined]]);
  expect(told({ number: 7 }, { number: 9 }, { number: 8 })).toEqual([[9, 2]]);
  // Within a boot the clock may be set back; between two it decides.
  expect(told({ number: 8, at: noon + 5 }, { number: 9 })).toEqual([[9, 1]]);
  expect(told({ number: 90, at: noon }, { number: 1, at: noon + 5, boot: second })).toEqual([[1, 1]]);
  expect(told({ number: 1, at: noon + 5, boot: second }, { number: 90, at: noon })).toEqual([[1, 1]]);
  expect(told()).toEqual([]);
});

test('of what waited each is told', () => {
  expect(told({ number: 1, waited: true }, { number: 2, waited: true })).toEqual([
    [1, undefined],
    [2, undefined],
  ]);
  expect(told({ number: 3 }, { number: 1, waited: true }, { number: 4 })).toEqual([
    [1, undefined],
    [4, 1],
  ]);
});

test('a row says what its sample does, alone or with others', () => {
  const frame = frameOf({ number: 1, dropped: 3 }, { number: 2, boot: second, waited: true });
  const rows = rowsOf(frame);
  expect(rows).toMatchObject([
    {
      agentId: 'alpha',
      number: 1,
      bootId: first,
      waited: false,
      late: false,
      dropped: 3,
      cpu: 0.5,
      memory: null,
    },
    {
      agentId: 'alpha',
      number: 2,
      bootId: second,
      waited: true,
      late: true,
      dropped: 0,
      cpu: 1,
      claimedAt: null,
    },
  ]);
  expect(rows.map(({ sample }) => sample.byteOffset - frame.bytes.byteOffset)).toEqual([0, 1]);
  expect(splitFrame(frame).flatMap(rowsOf)).toEqual(rows);
  expect(rowsWithDrops(frame)).toEqual(rows.slice(0, 1));
});
