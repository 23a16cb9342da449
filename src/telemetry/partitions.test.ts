import { expect, test } from 'vitest';
import { lockTable } from '../../test/support/postgres.ts';
import { boot, day, frame, midnight, minute, ownTelemetry, sampleAt } from '../../test/support/telemetry.ts';
import {
  hoursTable,
  listPartitions,
  minutesTable,
  partitionStart,
  quartersTable,
  samplesTable,
} from '../storage/telemetry-partitions.ts';
import { spansIn } from '../storage/telemetry-spans.ts';
import { planPartitions } from './partitions.ts';

const source = { agentId: 'alpha', bootId: boot() };
const dates = (starts: readonly number[]) =>
  starts.map((start) => new Date(start).toISOString().slice(5, 10));

test('what is needed is made ahead, and goes only when all of it is old', () => {
  const times = { now: midnight + 1, aheadMs: 2 * day, keepMs: 3 * day };
  const existing = [-5, -4, -3, 0].map((days) => midnight + days * day);
  const { missing, old } = planPartitions(samplesTable, existing, times);
  expect(dates(missing)).toEqual(['03-03', '03-04']);
  expect(dates(old)).toEqual(['02-25', '02-26']);
});

test('partitions follow the days: made ahead, made for what comes late, dropped with all in them', async () => {
  const own = await ownTelemetry({ keepMs: 3 * day, keepRollupsMs: 10 * day }, midnight);
  const { telemetry, clock, database, rows, count, metrics } = own;
  const there = async (table = samplesTable) => dates(await listPartitions(database.query, table));
  expect(await there()).toEqual(['03-02', '03-03', '03-04']);
  await telemetry.ingest(source, frame(sampleAt(1, midnight - 2 * day), sampleAt(2, midnight)));
  expect(await there()).toEqual(['02-28', '03-02', '03-03', '03-04']);
  for (let hours = 0; hours < 3; hours++) {
    clock.advance(60 * minute);
    await telemetry.rollUp();
  }
  expect(await count('telemetry_minutes')).toBe(2);
  expect(await count('telemetry_hours')).toBe(2);
  await telemetry.partitions.tend();
  expect(await there()).toContain('02-28');
  clock.advance(2 * day);
  await telemetry.partitions.tend();
  expect(await there()).toEqual(['03-02', '03-03', '03-04', '03-05', '03-06']);
  expect(await there(minutesTable)).toEqual(await there());
  expect(await rows('select number::int from telemetry_samples')).toEqual([{ number: 2 }]);
  expect(await count('telemetry_minutes')).toBe(1);
  // The coarser ones are kept for longer.
  expect(await count('telemetry_hours')).toBe(2);
  clock.advance(15 * day);
  await telemetry.partitions.tend();
  expect(await count('telemetry_hours')).toBe(0);
  expect(await there(quartersTable)).toEqual(await there(hoursTable));
  expect((await metrics.telemetryPartitionsDropped.get()).values[0]?.value).toBeGreaterThan(5);
  await telemetry.ingest(source, frame(sampleAt(3, clock.now())));
  expect(await count('telemetry_samples')).toBe(1);
});

test('a day that goes on while the database keeps everybody from the tables begins without a loss', async () => {
  const { telemetry, clock, url, count, rows } = await ownTelemetry({}, midnight);
  const lock = await lockTable(url, 'telemetry_samples');
  clock.advance(5 * day);
  const stored = telemetry.ingest(source, frame(sampleAt(1, clock.now())));
  await lock.blocks('alter table telemetry_samples attach');
  await lock.release();
  await stored;
  expect(await count('telemetry_samples')).toBe(1);
  const [row] = await rows<{ name: string }>(
    'select tableoid::regclass::text as name from telemetry_samples',
  );
  expect(row?.name).toBe('telemetry_samples_20260307');
});

test('partitions that are gone, as of a database that was restored: made anew, and nothing is lost', async () => {
  const { telemetry, clock, rows, count, counted } = await ownTelemetry({}, midnight);
  const yesterday = midnight - day;
  await telemetry.ingest(source, frame(sampleAt(1, yesterday), sampleAt(2, midnight)));
  for (const table of ['samples_20260302', 'minutes_20260301', 'minutes_20260302', 'hours_20260226'])
    await rows(`drop table telemetry_${table}`);
  await telemetry.ingest(source, frame(sampleAt(3, midnight), sampleAt(4, yesterday)));
  expect(await rows('select number::int from telemetry_samples order by number')).toEqual(
    [1, 3, 4].map((number) => ({ number })),
  );
  expect(await counted('telemetrySamples', 'set_aside')).toBe(0);
  // Again, of days on which nothing more comes.
  await rows('drop table telemetry_minutes_20260301');
  await rows('drop table telemetry_hours_20260226');
  for (let hours = 0; hours < 3; hours++) {
    clock.advance(60 * minute);
    await telemetry.rollUp();
  }
  expect(await rows('select samples from telemetry_minutes order by at')).toEqual([
    { samples: 2 },
    { samples: 1 },
  ]);
  expect(await count('telemetry_hours')).toBe(2);
});

test('weeks begin at the same days everywhere', () => {
  for (const at of [midnight, midnight + 6.9 * day, 0]) {
    const start = partitionStart(hoursTable, at);
    expect(start).toBeLessThanOrEqual(at);
    expect((start / day) % 7).toBe(0);
  }
});

test('a day that is over is put in order, once, and whoever reads it sees the same', async () => {
  const { telemetry, clock, rows, url } = await ownTelemetry({}, midnight + 30_000);
  const names = ['alpha', 'beta', 'gamma'];
  const measure = async (at: number, number: number) => {
    for (const agentId of names)
      await telemetry.ingest({ agentId, bootId: boot() }, frame(sampleAt(number, at, number)));
    clock.advance(2 * minute);
    await telemetry.rollUp();
  };
  for (let n = 1; n <= 20; n++) await measure(midnight + n * minute, n);
  const read = () =>
    rows(
      `select agent_id, at, samples, cpu_sum, cpu_p95 from ${spansIn(minutesTable.name)} s order by agent_id, at`,
    );
  const order = async () =>
    (
      await rows<{ agent: string }>('select agent_id as agent from telemetry_minutes_20260302 order by ctid')
    ).map(({ agent }) => agent);
  const before = await read();
  expect(before).toHaveLength(60);
  const disordered = await order();
  expect(disordered).not.toEqual(disordered.toSorted());

  clock.advance(midnight + day + 60 * minute - clock.now());
  await telemetry.partitions.settle();
  // It may not be over for those who are late.
  expect(await order()).toEqual(disordered);
  clock.advance(60 * minute);
  // Somebody who reads for so long keeps it as it is.
  const lock = await lockTable(url, 'telemetry_minutes', 'access share');
  await expect(telemetry.partitions.settle()).rejects.toMatchObject({ retryable: true });
  await lock.release();
  expect(await order()).toEqual(disordered);

  await telemetry.partitions.settle();
  expect(await order()).toEqual(disordered.toSorted());
  expect(await read()).toEqual(before);
  // What comes late changes it as ever, and it is not written once more.
  await measure(midnight + 5 * minute + 1, 21);
  expect(await read()).toHaveLength(60);
  const late = await order();
  await telemetry.partitions.settle();
  expect(await order()).toEqual(late);
  await telemetry.partitions.tend();
  expect(await read()).not.toEqual(before);
});
