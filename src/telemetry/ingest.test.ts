import { expect, test } from 'vitest';
import { lockTable } from '../../test/support/postgres.ts';
import {
  boot,
  frame,
  midnight,
  minute,
  ownTelemetry,
  type SampleInit,
  sampleAt,
} from '../../test/support/telemetry.ts';

import { silentLogger } from '../lib/logger.ts';
import { createTelemetryIngest } from './ingest.ts';

const alpha = { agentId: 'alpha', bootId: boot() };
const noon = midnight + 12 * 60 * minute;

test('a sample is stored once, however often and in whatever company it comes', async () => {
  const { telemetry, count, counted } = await ownTelemetry();
  const told: number[] = [];
  telemetry.onStored((samples) => told.push(...samples.map(({ number }) => number)));
  const [one, two, three] = [sampleAt(1, noon - 60_000), sampleAt(2, noon - 30_000), sampleAt(3, noon)];
  await telemetry.ingest(alpha, frame(one, two, one));
  await telemetry.ingest(alpha, frame(one, two, three));
  await Promise.all([telemetry.ingest(alpha, frame(three)), telemetry.ingest(alpha, frame(three))]);
  expect(await count('telemetry_samples')).toBe(3);
  expect(told).toEqual([1, 2, 3]);
  expect(await counted('telemetrySamples', 'stored')).toBe(3);
  expect(await counted('telemetrySamples', 'duplicate')).toBe(5);
});

test('the same number of another boot or agent is another sample', async () => {
  const { telemetry, count } = await ownTelemetry();
  await telemetry.ingest(alpha, frame(sampleAt(1, noon)));
  await telemetry.ingest({ ...alpha, bootId: boot('other') }, frame(sampleAt(1, noon)));
  await telemetry.ingest({ ...alpha, agentId: 'beta' }, frame(sampleAt(1, noon)));
  expect(await count('telemetry_samples')).toBe(3);
});

test.each([
  ['ahead', 6 * minute],
  ['behind', -31 * 24 * 60 * minute],
  ['before all time', -noon - 1e12],
  ['beyond what a date can be', 9e15],
])('a clock that is %s: kept with the time of the server, marked, and once', async (_, by) => {
  const { telemetry, clock, rows, counted } = await ownTelemetry();
  const wild = sampleAt(7, noon);
  wild.takenAt.seconds = BigInt(Math.floor((noon + by) / 1000));
  await telemetry.ingest(alpha, frame(wild, wild, sampleAt(8, noon)));
  // Later it comes again, when its time is plausible.
  clock.advance(10 * minute);
  await telemetry.ingest(alpha, frame(wild));
  await telemetry.ingest(alpha, frame(sampleAt(9, noon), wild));
  expect(await rows('select number::int, at, skewed, late from telemetry_samples order by number')).toEqual([
    { number: 7, at: new Date(noon), skewed: true, late: false },
    { number: 8, at: new Date(noon), skewed: false, late: false },
    { number: 9, at: new Date(noon), skewed: false, late: true },
  ]);
  expect(await counted('telemetryMarked', 'skewed')).toBe(1);
  expect(await counted('telemetryMarked', 'late')).toBe(1);
});

test('what was stored with its own time stays as it is when its time is not believed any more', async () => {
  const { telemetry, rows, clock } = await ownTelemetry();
  await telemetry.ingest(alpha, frame(sampleAt(1, noon + 4 * minute)));
  clock.advance(-2 * minute);
  await telemetry.ingest(alpha, frame(sampleAt(1, noon + 4 * minute)));
  expect(await rows('select at, skewed from telemetry_samples')).toEqual([
    { at: new Date(noon + 4 * minute), skewed: false },
  ]);
});

test.each([
  ['no number', { number: 0n }],
  ['a number beyond all counting', { number: 2n ** 63n }],
  ['no time', { takenAt: undefined }],
  ['a share of more than all', { cpu: { usedPercent: 101 } }],
  ['a share that is no number', { cpu: { usedPercent: Number.NaN } }],
  ['a load without end', { cpu: { load1m: Number.POSITIVE_INFINITY } }],
  ['a metric with a wrong name', { metrics: { 'Not a name': 1 } }],
  ['a metric that is no number', { metrics: { queue: Number.NaN } }],
  ['a mount point without end', { disks: [{ mount: '/'.repeat(2000) }] }],
])('poison with %s is set aside and counted, and stops nothing', async (_, wrong) => {
  const { telemetry, rows, counted } = await ownTelemetry();
  await telemetry.ingest(
    alpha,
    frame(sampleAt(1, noon), { ...sampleAt(2, noon), ...wrong } as SampleInit, sampleAt(3, noon)),
  );
  expect(await rows('select number::int from telemetry_samples order by number')).toEqual([
    { number: 1 },
    { number: 3 },
  ]);
  expect(await counted('telemetrySamples', 'set_aside')).toBe(1);
});

test('an envelope with no sample is passed over, and all of one with too many are set aside', async () => {
  const { telemetry, count, counted } = await ownTelemetry();
  await telemetry.ingest(alpha, frame());
  await telemetry.ingest(alpha, frame(...Array.from({ length: 101 }, (_, n) => sampleAt(n + 1, noon))));
  expect(await count('telemetry_samples')).toBe(0);
  expect(await counted('telemetrySamples', 'set_aside')).toBe(101);
});

test('what waits counts by its bytes too, until it is stored', async () => {
  const { telemetry, url } = await ownTelemetry();
  const lock = await lockTable(url, 'telemetry_samples');
  const containers = Array.from({ length: 1000 }, (_, n) => ({ id: `${n}`, image: 'x'.repeat(512) }));
  const sent = Array.from({ length: 70 }, (_, n) =>
    telemetry.ingest({ ...alpha, agentId: `agent-${n}` }, frame({ ...sampleAt(1, noon), containers })),
  );
  expect(telemetry.credit(16)).toBe(4);
  await lock.release();
  await Promise.all(sent);
  expect(telemetry.credit(16)).toBe(16);
});

test('what only the database refuses is found among all others of its commit', async () => {
  const { telemetry, rows, count, counted } = await ownTelemetry();
  await rows('alter table telemetry_samples add constraint poison check (cpu <> 66)');
  const sources = Array.from({ length: 50 }, (_, n) => ({ agentId: `agent-${n}`, bootId: boot() }));
  await Promise.all(
    sources.map((source, n) =>
      telemetry.ingest(
        source,
        frame(sampleAt(1, noon), sampleAt(2, noon, n === 20 ? 66 : 5), sampleAt(3, noon)),
      ),
    ),
  );
  expect(await count('telemetry_samples')).toBe(149);
  expect(await counted('telemetrySamples', 'set_aside')).toBe(1);
});

test('a database that refuses all samples, whatever is in them, costs none', async () => {
  const { database, clock, metrics, rows, count, counted } = await ownTelemetry();
  const refused = Promise.withResolvers<void>();
  const ingest = createTelemetryIngest({
    database: {
      ...database,
      transaction: (work) =>
        database.transaction(work).catch((error: unknown) => {
          refused.resolve();
          throw error;
        }),
    },
    partitions: { ensure: async () => {}, doubt: () => {} },
    clock,
    metrics,
    log: silentLogger,
    rules: { keepMs: 86_400_000, lateMs: 60_000 },
    stored: async () => {},
  });
  await rows('alter table telemetry_samples rename column cpu to gone');
  const stored = ingest.ingest(alpha, frame(sampleAt(1, noon), sampleAt(2, noon)));
  await refused.promise;
  await rows('alter table telemetry_samples rename column gone to cpu');
  await stored;
  expect(await count('telemetry_samples')).toBe(2);
  expect(await counted('telemetrySamples', 'stored')).toBe(2);
});

test('rates are known where the sample before is', async () => {
  const { telemetry, rows } = await ownTelemetry();
  const at = (number: number, seconds: number, received: number, sent: number): SampleInit => ({
    ...sampleAt(number, noon + seconds * 1000),
    networks: [
      { interface: 'eth0', receivedBytes: BigInt(received), sentBytes: BigInt(sent) },
      { interface: `new${number}`, receivedBytes: 1_000_000n },
    ],
  });
  await telemetry.ingest(alpha, frame(at(1, 0, 1000, 50), at(2, 10, 3000, 50), at(3, 20, 100, 250)));
  await telemetry.ingest(alpha, frame(at(4, 30, 200, 350)));
  await telemetry.ingest(alpha, frame(at(6, 50, 900, 900)));
  expect(await rows('select received, sent from telemetry_samples order by number')).toEqual([
    { received: null, sent: null },
    { received: 200, sent: 0 },
    { received: 0, sent: 20 },
    { received: 10, sent: 10 },
    { received: null, sent: null },
  ]);
});

test('a listener that fails harms neither the agent nor the other listeners', async () => {
  const { telemetry } = await ownTelemetry();
  const heard: string[] = [];
  telemetry.onStored(() => {
    throw new Error('a defect');
  });
  const stop = telemetry.onStored((samples) => heard.push(...samples.map(({ agentId }) => agentId)));
  await telemetry.ingest(alpha, frame(sampleAt(1, noon)));
  stop();
  await telemetry.ingest(alpha, frame(sampleAt(2, noon)));
  expect(heard).toEqual(['alpha']);
});

test('one that measures much does not fill what the others wait for', async () => {
  const { telemetry, count } = await ownTelemetry();
  const stored: string[] = [];
  telemetry.onStored((samples) => stored.push(...samples.map(({ agentId }) => agentId)));
  const flood = Array.from({ length: 16 }, (_, n) =>
    telemetry.ingest(
      { agentId: 'flooder', bootId: boot() },
      frame(...Array.from({ length: 100 }, (_, m) => sampleAt(n * 100 + m + 1, noon + m))),
    ),
  );
  await telemetry.ingest(alpha, frame(sampleAt(1, noon)));
  expect(stored.indexOf('alpha')).toBeLessThanOrEqual(200);
  await Promise.all(flood);
  expect(await count('telemetry_samples')).toBe(1601);
});

test('connections that are cut again and again under load: nothing is refused, lost or there twice', async () => {
  const { telemetry, count, rows, counted } = await ownTelemetry();
  const sources = Array.from({ length: 30 }, (_, n) => ({ agentId: `agent-${n}`, bootId: boot() }));
  let going = true;
  let acknowledged = 0;
  const agents = sources.map(async (source) => {
    for (let number = 1; going; number++) {
      await telemetry.ingest(source, frame(sampleAt(number, noon + number)));
      acknowledged++;
    }
  });
  for (let cuts = 0; cuts < 10; cuts++) {
    const before = acknowledged;
    await rows(
      `select pg_terminate_backend(pid) from pg_stat_activity
       where datname = current_database() and pid <> pg_backend_pid()`,
    );
    await expect.poll(() => acknowledged, { timeout: 10_000 }).toBeGreaterThan(before + sources.length);
  }
  going = false;
  await Promise.all(agents);
  expect(await count('telemetry_samples')).toBe(acknowledged);
  expect(await counted('telemetrySamples', 'set_aside')).toBe(0);
  expect(await telemetry.latest.list()).toHaveLength(sources.length);
});
