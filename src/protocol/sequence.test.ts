import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createInbound, createOutbound } from './sequence.ts';

test('gaps and repetitions are seen', () => {
  const inbound = createInbound();
  expect([1n, 2n, 2n, 4n, 1n, 3n].map((sequence) => inbound.receive(sequence))).toEqual([
    true,
    true,
    false,
    false,
    false,
    true,
  ]);
});

test('handled is the end of the unbroken beginning, whatever the order of the work', () => {
  fc.assert(
    fc.property(fc.shuffledSubarray(Array.from({ length: 12 }, (_, i) => BigInt(i + 1))), (done) => {
      const inbound = createInbound();
      for (let i = 1n; i <= 12n; i += 1n) inbound.receive(i);
      for (const sequence of done) inbound.done(sequence);
      let expected = 0n;
      while (done.includes(expected + 1n)) expected += 1n;
      expect(inbound.handled).toBe(expected);
    }),
  );
});

test('each delivery is told once, in order', () => {
  const outbound = createOutbound();
  const told: string[] = [];
  for (const name of ['a', 'b', 'c']) outbound.next(() => told.push(name));
  expect(outbound.acknowledge(2n)).toBe(true);
  expect(outbound.acknowledge(1n)).toBe(true);
  expect(told).toEqual(['a', 'b']);
  expect(outbound.unacknowledged).toBe(1);
  expect(outbound.acknowledge(4n)).toBe(false);
  expect(outbound.acknowledge(3n)).toBe(true);
  expect(told).toEqual(['a', 'b', 'c']);
});
