import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type DiskSampleSchema, SampleSchema } from '#gen/viworks/agent/v1/telemetry_pb.js';
import { imageFileSystems } from '../protocol/disks.ts';
import { timestampMs } from '../protocol/envelope.ts';
import { fact, factsEach, marks, metricAt } from '../storage/sample-frames.ts';
import { type MetricValues, telemetryMetrics } from '../storage/telemetry-metrics.ts';
import { metricsOf, ratesTold } from './headline.ts';
import { problemOf } from './judge.ts';
import { createSampleReader } from './sample-reader.ts';

type SampleInit = MessageInitShape<typeof SampleSchema>;

const reader = createSampleReader();

interface SampleFacts {
  number: number;
  takenAt: number;
  bootId: Uint8Array;
  late: boolean;
  dropped: number;
  values: MetricValues;
}

/** @param around bytes before and behind it in the same buffer */
function read(sample: Uint8Array, around = 0): SampleFacts | undefined {
  const other = Buffer.alloc(around, 0x0a);
  const facts = new Array<number>(3 * factsEach).fill(Number.NaN);
  const first = factsEach;
  const all = Buffer.concat([other, sample, other]);
  const boot = reader.read(all, around, around + sample.length, facts, first);
  const nothing = Array.from({ length: factsEach }, () => Number.NaN);
  expect([facts.slice(0, first), facts.slice(2 * factsEach)]).toEqual([nothing, nothing]);
  if (boot === undefined) return undefined;
  const of = (which: number) => facts[first + which] as number;
  const metric = (name: keyof MetricValues) => of(fact.metrics + metricAt[name]);
  return {
    number: of(fact.number),
    takenAt: of(fact.at),
    bootId: new Uint8Array(boot),
    late: of(fact.marks) === marks.waited,
    dropped: of(fact.dropped),
    values: Object.fromEntries(
      telemetryMetrics.map((name) => [name, Number.isNaN(metric(name)) ? null : metric(name)]),
    ) as MetricValues,
  };
}

/** What the generated code and the validator make of it; undefined where they refuse it. */
function readWhole(bytes: Uint8Array): SampleFacts | undefined {
  const sample = fromBinary(SampleSchema, bytes);
  if (problemOf(sample) !== undefined) return undefined;
  const rates = ratesTold(sample) ?? { received: null, sent: null };
  return {
    number: Number(sample.number),
    takenAt: timestampMs(sample.takenAt) ?? Number.NaN,
    bootId: sample.bootId,
    late: sample.late,
    dropped: Number(sample.dropped),
    values: metricsOf(sample, rates),
  };
}

const size = fc.bigInt({ min: 0n, max: 2n ** 50n });
const share = fc.double({ min: 0, max: 100, noNaN: true });
const rate = fc.option(fc.double({ min: 0, max: 1e12, noNaN: true }), { nil: undefined });
const word = fc.string({ maxLength: 40, unit: 'grapheme-ascii' });
const metric = fc.stringMatching(/^[a-z][a-z0-9_.]{0,63}$/);

/** As agents say it. */
const plain: fc.Arbitrary<SampleInit> = fc.record({
  number: fc.bigInt({ min: 1n, max: 2n ** 53n - 1n }),
  takenAt: fc.record({
    seconds: fc.bigInt({ min: 0n, max: 10n ** 10n }),
    nanos: fc.nat({ max: 999_999_999 }),
  }),
  cpu: fc.option(
    fc.record({ usedPercent: share, cores: fc.nat(), load1m: share, load5m: share, load15m: share }),
    { nil: undefined },
  ),
  memory: fc.option(
    fc.record({ totalBytes: size, usedBytes: size, swapTotalBytes: size, swapUsedBytes: size }),
    { nil: undefined },
  ),
  disks: fc.array(
    fc.record({
      mount: word,
      fileSystem: fc.oneof(word, fc.constantFrom('ext4', 'xfs', ...imageFileSystems)),
      totalBytes: size,
      usedBytes: size,
      availableBytes: fc.option(size, { nil: undefined }),
      device: word,
      readBytesPerSecond: rate,
      busyPercent: fc.option(share, { nil: undefined }),
    }),
    { maxLength: 4 },
  ),
  networks: fc.array(
    fc.record({
      interface: word,
      receivedBytes: size,
      receivedBytesPerSecond: fc.double({ min: 0, max: 1e12, noNaN: true }),
      sentBytesPerSecond: rate,
    }),
    { maxLength: 3 },
  ),
  containers: fc.array(fc.record({ id: word, name: word, image: word, state: word, health: word }), {
    maxLength: 3,
  }),
  services: fc.array(fc.record({ name: word, state: word, subState: word, restarts: fc.nat() }), {
    maxLength: 3,
  }),
  metrics: fc.dictionary(metric, fc.double({ min: -1e100, max: 1e100, noNaN: true }), { maxKeys: 4 }),
  uptime: fc.option(fc.record({ seconds: fc.bigInt({ min: 0n, max: 10n ** 10n }) }), { nil: undefined }),
  bootId: fc.constantFrom(new Uint8Array(), new Uint8Array(16).fill(7)),
  late: fc.boolean(),
  dropped: size,
  unread: fc.uniqueArray(fc.constantFrom('disks', 'containers', 'a_1'), { maxLength: 3 }),
});

const bytesOf = (init: SampleInit) => toBinary(SampleSchema, create(SampleSchema, init));

test('what agents say is read as the generated code reads it, from anywhere in a buffer', () => {
  fc.assert(
    fc.property(plain, fc.nat({ max: 9 }), (init, offset) => {
      const bytes = bytesOf(init);
      const facts = read(bytes, offset);
      expect(facts).toBeDefined();
      expect(facts).toEqual(readWhole(bytes));
    }),
  );
});

test('fields that are newer are passed over', () => {
  fc.assert(
    fc.property(plain, (init) => {
      const bytes = bytesOf(init);
      const newer = Buffer.from('d80601dd0600000000d9060000000000000000da060161', 'hex');
      expect(read(new Uint8Array([...bytes, ...newer]))).toEqual(readWhole(bytes));
    }),
  );
});

test('of whatever is changed in it, it says nothing or what the generated code says', () => {
  const change = fc.record({ at: fc.nat(), by: fc.integer({ min: 1, max: 255 }), cut: fc.nat({ max: 20 }) });
  fc.assert(
    fc.property(plain, fc.array(change, { minLength: 1, maxLength: 4 }), (init, changes) => {
      const bytes = bytesOf(init);
      for (const { at, by } of changes) {
        const index = at % bytes.length;
        bytes[index] = (bytes[index] as number) ^ by;
      }
      const some = bytes.subarray(0, bytes.length - (changes[0]?.cut === 1 ? 1 : 0));
      const facts = read(some, 3);
      if (facts !== undefined) expect(facts).toEqual(readWhole(some));
    }),
    { numRuns: 2000 },
  );
});

test('of noise it says nothing or what the generated code says', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), (noise) => {
      const facts = read(noise, 3);
      if (facts !== undefined) expect(facts).toEqual(readWhole(noise));
    }),
    { numRuns: 5000 },
  );
});

test('the fullest disk that can fill counts, by what is left for those who are not root', () => {
  const disk = { mount: '/', fileSystem: 'ext4', totalBytes: 100n, usedBytes: 40n };
  const diskOf = (...disks: MessageInitShape<typeof DiskSampleSchema>[]) =>
    read(bytesOf({ number: 1n, takenAt: { seconds: 5n }, disks }))?.values.disk;
  expect(diskOf(disk)).toBe(40);
  expect(diskOf({ ...disk, availableBytes: 40n })).toBe(50);
  expect(diskOf({ ...disk, availableBytes: 0n })).toBe(100);
  expect(diskOf({ ...disk, usedBytes: 0n, availableBytes: 0n })).toBeNull();
  for (const fileSystem of imageFileSystems)
    expect(diskOf(disk, { ...disk, usedBytes: 100n, fileSystem })).toBe(40);
  expect(diskOf(disk, { ...disk, usedBytes: 100n, fileSystem: 'squashfs2' })).toBe(100);
  expect(diskOf({ ...disk, fileSystem: 'udf' })).toBeNull();
});

test('the name of a file system whose length is written in two bytes is left to others', () => {
  const head = Buffer.from(bytesOf({ number: 1n, takenAt: { seconds: 5n } }));
  const disk = (kind: string) => Buffer.from(`12${kind}${Buffer.from('udf').toString('hex')}18052005`, 'hex');
  const sample = (part: Buffer) => Buffer.concat([head, Buffer.from([0x2a, part.length]), part]);
  expect(read(sample(disk('03')))?.values.disk).toBeNull();
  expect(readWhole(sample(disk('8300')))?.values.disk).toBeNull();
  expect(read(sample(disk('8300')))).toBeUndefined();
});

const good: SampleInit = { number: 1n, takenAt: { seconds: 5n }, disks: [{ mount: '/' }] };

test.each<[string, Partial<SampleInit>]>([
  ['no number', { number: 0n }],
  ['a number that is too large', { number: 2n ** 53n }],
  ['no time', { takenAt: undefined as never }],
  ['a time before 1970', { takenAt: { seconds: -1n } }],
  ['a share above all', { cpu: { usedPercent: 100.5 } }],
  ['a share that is no number', { cpu: { usedPercent: Number.NaN } }],
  ['a load below nothing', { cpu: { load15m: -1 } }],
  ['a load without end', { cpu: { load1m: Number.POSITIVE_INFINITY } }],
  ['a long mount', { disks: [{ mount: '/'.repeat(1025) }] }],
  ['a mount that is not ASCII', { disks: [{ mount: '/ä' }] }],
  ['a rate below nothing', { disks: [{ readBytesPerSecond: -1 }] }],
  ['a rate that is no number', { networks: [{ receivedBytesPerSecond: Number.NaN }] }],
  ['a rate without end', { disks: [{ writesPerSecond: Number.POSITIVE_INFINITY }] }],
  ['a disk that is too busy', { disks: [{ busyPercent: 101 }] }],
  ['rates that are too much together', { networks: [{ sentBytesPerSecond: Number.POSITIVE_INFINITY }] }],
  ['counters alone', { networks: [{ interface: 'eth0', receivedBytes: 5n }] }],
  ['a long name of an interface', { networks: [{ interface: 'e'.repeat(65), sentBytesPerSecond: 1 }] }],
  ['too many disks', { disks: Array.from({ length: 257 }, () => ({ mount: '/' })) }],
  ['too many names', { unread: Array.from({ length: 17 }, () => 'disks') }],
  ['a name with a capital', { unread: ['Disks'] }],
  ['a name with a dot', { unread: ['a.b'] }],
  ['a metric with a space', { metrics: { 'a b': 1 } }],
  ['a metric without a name', { metrics: { '': 1 } }],
  ['a metric with a long name', { metrics: { ['a'.repeat(65)]: 1 } }],
  ['a metric that is no number', { metrics: { a: Number.NaN } }],
  ['five bytes of a boot', { bootId: new Uint8Array(5) }],
])('leaves a sample with %s to others', (_, init) => {
  expect(read(bytesOf(good))).toBeDefined();
  expect(read(bytesOf({ ...good, ...init } as SampleInit))).toBeUndefined();
});

test('what comes twice, and a message that is cut, it leaves to others', () => {
  const bytes = Buffer.from(bytesOf(good));
  for (const twice of ['0802', '12020805', '6801'])
    expect(read(Buffer.concat([bytes, Buffer.from(twice + twice, 'hex')]))).toBeUndefined();
  for (let length = 1; length < bytes.length; length++) {
    const facts = read(bytes.subarray(0, length));
    if (facts !== undefined) expect(facts).toEqual(readWhole(bytes.subarray(0, length)));
  }
});
