import { create, toBinary } from '@bufbuild/protobuf';
import { expect, test } from 'vitest';
import { SampleSchema } from '#gen/viworks/agent/v1/telemetry_pb.js';
import { storedSample } from '../../test/support/api-telemetry.ts';
import type { SampleInit } from '../../test/support/telemetry.ts';
import { type PartMetric, partReader, type Span, statisticOf, withParts } from './parts.ts';

const minute = 60_000;
const start = Date.parse('2030-01-01T00:00:00Z');

test.each<[name: string, sample: SampleInit, value: number | undefined]>([
  ['disk:/data', { disks: [{ mount: '/data', totalBytes: 200n, usedBytes: 50n }] }, 25],
  [
    'disk:/data',
    { disks: [{ mount: '/data', totalBytes: 100n, usedBytes: 95n, availableBytes: 0n }], unread: ['disks'] },
    100,
  ],
  ['disk:/data', { disks: [{ mount: '/data' }, { mount: '/', totalBytes: 2n, usedBytes: 1n }] }, undefined],
  ['disk:a:b', { disks: [{ mount: 'a:b', totalBytes: 2n, usedBytes: 1n }] }, 50],
  ['received:eth0', { networks: [{ interface: 'eth0', receivedBytesPerSecond: 7 }] }, 7],
  ['sent:eth0', { networks: [{ interface: 'eth0', receivedBytesPerSecond: 7 }] }, undefined],
  ['sent:eth0', { networks: [{ interface: 'eth1', sentBytesPerSecond: 7 }] }, undefined],
  ['metrics.queue.length', { metrics: { 'queue.length': -3 } }, -3],
  ['metrics.queue', { metrics: {} }, undefined],
  ['metrics.constructor', { metrics: {} }, undefined],
])('%s is read from a sample', (name, sample, value) => {
  expect(partReader(name)?.(create(SampleSchema, sample))).toBe(value);
});

test.each(['disk', 'disk:', 'metrics.', 'metrics.A', 'free:/data', 'cpu', '', 'received'])(
  '%j is no part',
  (name) => {
    expect(partReader(name)).toBeUndefined();
  },
);

test('of values the 95th of a hundred is the one that 95 do not exceed', () => {
  const values = Array.from({ length: 100 }, (_, n) => 100 - n);
  expect(statisticOf(values)).toEqual({ count: 100, average: 50.5, min: 1, max: 100, p95: 95 });
  expect(statisticOf([4])).toEqual({ count: 1, average: 4, min: 4, max: 4, p95: 4 });
  expect(statisticOf([])).toBeNull();
});

const reader = partReader('metrics.n');
if (reader === undefined) throw new Error('no reader');
const readers = new Map([['metrics.n' as PartMetric, reader]]);

/** Samples that are read as the database reads them. */
function samplesOf(values: readonly { at: number; n: number }[], unread: string[] = []) {
  const all = values.map(({ at, n }, number) => ({
    ...storedSample,
    number,
    at: new Date(at),
    sample: toBinary(SampleSchema, create(SampleSchema, { metrics: { n }, unread })),
  }));
  let reads = 0;
  return {
    reads: () => reads,
    async read({ from, to }: { from: Date; to: Date }, after: { number: number } | undefined, size: number) {
      reads += 1;
      const left = all.filter(
        ({ at, number }) => at >= from && at < to && number > (after?.number ?? Number.NEGATIVE_INFINITY),
      );
      return { samples: left.slice(0, size), more: left.length > size };
    },
  };
}

const spanAt = (at: number): Span => ({ at: new Date(at), samples: 1, metrics: { cpu: null } });

test('each span gets the figures of its own samples', async () => {
  const { read } = samplesOf([
    { at: start, n: 1 },
    { at: start + 59_999, n: 3 },
    { at: start + 2 * minute, n: 9 },
  ]);
  const spans = await withParts(
    read,
    [spanAt(start), spanAt(start + minute), spanAt(start + 2 * minute)],
    60,
    readers,
  );
  expect(spans.map(({ metrics }) => metrics)).toEqual([
    { cpu: null, 'metrics.n': { count: 2, average: 2, min: 1, max: 3, p95: 3 } },
    { cpu: null, 'metrics.n': null },
    { cpu: null, 'metrics.n': { count: 1, average: 9, min: 9, max: 9, p95: 9 } },
  ]);
  expect(await withParts(read, [], 60, readers)).toEqual([]);
});

test('where there are too many samples the page ends with a span that is whole', async () => {
  const second = Array.from({ length: 9000 }, (_, n) => ({ at: start + minute + n, n: 2 }));
  const first = Array.from({ length: 4000 }, (_, n) => ({ at: start + n, n: 1 }));
  const { read, reads } = samplesOf([...first, ...second, { at: start + 2 * minute, n: 3 }]);
  const wanted = [spanAt(start), spanAt(start + minute), spanAt(start + 2 * minute)];
  const spans = await withParts(read, wanted, 60, readers);
  expect(spans.map(({ metrics }) => metrics['metrics.n']?.count)).toEqual([4000]);
  expect(reads()).toBe(20);
  // One that is too large alone is read to its end all the same.
  const rest = await withParts(read, wanted.slice(1), 60, readers);
  expect(rest.map(({ metrics }) => metrics['metrics.n']?.count)).toEqual([9000, 1]);
});

test('where samples are large the page ends too', async () => {
  const each = Array.from({ length: 40 }, (_, n) => ({ at: start + n * minute, n }));
  const { read } = samplesOf(each, ['x'.repeat(1024 * 1024)]);
  const small = (range: Parameters<typeof read>[0], after: Parameters<typeof read>[1]) =>
    read(range, after, 4);
  const spans = await withParts(
    small,
    each.map(({ at }) => spanAt(at)),
    60,
    readers,
  );
  expect(spans).toHaveLength(31);
});
