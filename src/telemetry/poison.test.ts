import { create, type DescMessage, type Message, ScalarType } from '@bufbuild/protobuf';
import { reflect } from '@bufbuild/protobuf/reflect';
import { expect, test } from 'vitest';
import {
  type Sample,
  SampleSchema,
  ServiceSampleSchema,
  TelemetrySchema,
} from '#gen/viworks/agent/v1/telemetry_pb.js';
import { boot, midnight, minute, ownTelemetry, sampleAt } from '../../test/support/telemetry.ts';
import { wireLimits } from '../protocol/limits.ts';
import { minutesTable } from '../storage/telemetry-partitions.ts';
import { spansIn } from '../storage/telemetry-spans.ts';

/** One sample that breaks a rule, between two that do not: it is set aside and counted, and harms neither. */

const noon = midnight + 12 * 60 * minute;
const alpha = { agentId: 'alpha', bootId: boot() };

/** A sample in which every part is there. */
const whole = (number: number): Sample =>
  create(SampleSchema, {
    ...sampleAt(number, noon),
    disks: [{ mount: '/', totalBytes: 10n, usedBytes: 5n, device: 'sda1' }],
    networks: [{ interface: 'eth0' }],
    containers: [{ id: 'c', name: 'web' }],
    services: [{ name: 'ssh', state: 'active' }],
    metrics: { queue: 4 },
  });

type Spoil = (sample: Sample) => void;

/** Sets each double that a sample may have, wherever it is. */
function everyDouble(desc: DescMessage, path: string): [string, (message: Message, value: number) => void][] {
  return desc.fields.flatMap((field): [string, (message: Message, value: number) => void][] => {
    const name = `${path}${field.name}`;
    const within = (message: Message) => reflect(desc, message);
    switch (field.fieldKind) {
      case 'scalar':
        return field.scalar === ScalarType.DOUBLE
          ? [[name, (message, value) => within(message).set(field, value)]]
          : [];
      case 'map':
        return field.mapKind === 'scalar' && field.scalar === ScalarType.DOUBLE
          ? [[name, (message, value) => void within(message).get(field).set('queue', value)]]
          : [];
      case 'message':
        return field.message.typeName.startsWith('google.')
          ? []
          : everyDouble(field.message, `${name}.`).map(([inner, set]) => [
              inner,
              (message, value) => set(within(message).get(field).message, value),
            ]);
      case 'list':
        return field.listKind === 'message'
          ? everyDouble(field.message, `${name}.`).map(([inner, set]) => [
              inner,
              (message, value) => {
                const first = within(message).get(field).get(0);
                set((first as { message: Message }).message, value);
              },
            ])
          : [];
      default:
        return [];
    }
  });
}

const doubles = everyDouble(SampleSchema, '');

const disk = (sample: Sample) => {
  const [first] = sample.disks;
  if (first === undefined) throw new Error('there is a disk');
  return first;
};

const spoilt: [string, Spoil][] = [
  ...doubles.flatMap(([name, set]) =>
    [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 1.1e100, -1.7e308].map(
      (value): [string, Spoil] => [`${name} ${value}`, (sample) => set(sample, value)],
    ),
  ),
  // A custom metric may be less than nothing.
  ...doubles
    .filter(([name]) => name !== 'metrics')
    .map(([name, set]): [string, Spoil] => [`${name} below 0`, (sample) => set(sample, -1)]),
  ['a disk that is busy for more than all the time', (sample) => (disk(sample).busyPercent = 100.5)],
  ['a boot id of 5 bytes', (sample) => (sample.bootId = new Uint8Array(5))],
  ['a boot id of 17 bytes', (sample) => (sample.bootId = new Uint8Array(17))],
  ['a part with a bad name', (sample) => sample.unread.push('Disks!')],
  ['a part without a name', (sample) => sample.unread.push('')],
  ['too many parts', (sample) => sample.unread.push(...Array.from({ length: 17 }, (_, n) => `part${n}`))],
  ['a device without end', (sample) => (disk(sample).device = 'd'.repeat(129))],
  [
    'a sub-state without end',
    (sample) => sample.services.push(create(ServiceSampleSchema, { subState: 's'.repeat(65) })),
  ],
];

test('every double of a sample is among them', () => {
  expect(doubles.map(([name]) => name)).toEqual(
    expect.arrayContaining([
      'cpu.load_15m',
      'disks.busy_percent',
      'networks.sent_bytes_per_second',
      'metrics',
    ]),
  );
  expect(doubles).toHaveLength(12);
});

test('poison is set aside and counted, and harms nobody in the same frame', { timeout: 30_000 }, async () => {
  const { telemetry, rows, counted } = await ownTelemetry();
  const told: string[] = [];
  telemetry.onStored((samples) =>
    told.push(...samples.map(({ number, superseded = 0 }) => `${number} and ${superseded} before it`)),
  );
  const expected: number[] = [];
  for (const [at, [name, spoil]] of spoilt.entries()) {
    const first = at * 3 + 1;
    const [before, bad, after] = [whole(first), whole(first + 1), whole(first + 2)];
    spoil(bad);
    await telemetry.ingest(alpha, create(TelemetrySchema, { samples: [before, bad, after] }));
    expected.push(first, first + 2);
    expect(told.splice(0), name).toEqual([`${first + 2} and 1 before it`]);
    expect(await counted('telemetrySamples', 'set_aside'), name).toBe(at + 1);
  }
  const kept = await rows<{ number: string }>('select number from telemetry_samples order by number');
  expect(kept.map(({ number }) => Number(number))).toEqual(expected);
});

test('the least that can be measured is rolled up, and added up over agents', async () => {
  const { telemetry, clock, rows } = await ownTelemetry();
  const names = ['alpha', 'beta'];
  await rows(
    `insert into agents (agent_id, site, incarnation) values ('alpha', 'lab', 1), ('beta', 'lab', 1)`,
  );
  const samples = [Number.MIN_VALUE, 0, 0].map((value, number) => {
    const sample = whole(number + 1);
    for (const [, set] of doubles) set(sample, value);
    return sample;
  });
  for (const agentId of names)
    await telemetry.ingest({ ...alpha, agentId }, create(TelemetrySchema, { samples }));
  const range = { from: noon - 3_600_000, to: noon + 3_600_000 };
  const averages = async () => {
    const page = { size: 10 };
    const { history } = telemetry;
    const one = await history.series({ ...range, agentId: 'alpha', metrics: ['load'] }, page);
    const all = await history.aggregate({ ...range, metric: 'load', filter: { agentIds: names } }, page);
    const sites = await history.sites({ ...range, metrics: ['load'], filter: {} }, page);
    return [
      one.items.map(({ metrics }) => metrics.load?.average),
      all.items.map(({ average }) => average),
      sites.items.map(({ metrics }) => metrics.load?.average),
    ];
  };
  expect(await averages()).toEqual([[0], [0], [0]]);
  clock.advance(3 * 3_600_000);
  await telemetry.rollUp();
  expect(await averages()).toEqual([[0], [0], [0]]);
});

test('the most that can be measured is rolled up, again and again', async () => {
  const { telemetry, clock, rows } = await ownTelemetry();
  const samples = [1, 2, 3].map((number) => {
    const sample = whole(number);
    for (const [name, set] of doubles) set(sample, name.includes('percent') ? 100 : wireLimits.measure);
    return sample;
  });
  await telemetry.ingest(alpha, create(TelemetrySchema, { samples }));
  clock.advance(3 * 3_600_000);
  await telemetry.rollUp();
  const text = `select load_sum, received_sum, sent_max from ${spansIn(minutesTable.name)} s`;
  const most = wireLimits.measure;
  expect(await rows(text)).toEqual([{ load_sum: 3 * most, received_sum: 3 * most, sent_max: most }]);
});
