import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openTestDatabase } from '../../test/support/postgres.ts';
import { type Database, statement } from './database.ts';
import { fact, marks, metricAt, newFrame, type SampleFrame } from './sample-frames.ts';
import { rowsOf, type SampleRow, sampleKey } from './sample-rows.ts';
import { readSamples } from './telemetry-history.ts';
import { telemetryMetrics } from './telemetry-metrics.ts';
import { createPartitions, partitionStart, samplesTable } from './telemetry-partitions.ts';
import { createSampleStore, type SampleStore } from './telemetry-samples.ts';

let own: Awaited<ReturnType<typeof openTestDatabase>>;
let database: Database;
let samples: SampleStore;
const midnight = Date.parse('2026-03-02T00:00:00Z');
const day = { from: new Date(midnight), to: new Date(midnight + 86_400_000) };
const readyAt = new Date(midnight + 60_000);

beforeAll(async () => {
  own = await openTestDatabase();
  database = own.database;
  samples = createSampleStore(database);
  const start = partitionStart(samplesTable, midnight);
  await createPartitions(database, [{ table: samplesTable, start }]);
});

afterAll(() => own.drop());

const value = fc.option(fc.double({ noNaN: true }), { nil: null });
const row: fc.Arbitrary<SampleRow> = fc.record({
  agentId: fc.constantFrom('alpha', 'beta-ß', 'γ'.repeat(60)),
  at: fc.nat({ max: 86_399_999 }).map((ms) => new Date(midnight + ms)),
  bootId: fc.uint8Array({ minLength: 16, maxLength: 16 }),
  number: fc.nat({ max: 40 }).map((count) => count * 2 ** 47 + 1),
  receivedAt: fc.nat({ max: 3 }).map((ms) => new Date(midnight + ms)),
  late: fc.boolean(),
  waited: fc.boolean(),
  skewed: fc.constant(false),
  claimedAt: fc.constant(null),
  dropped: fc.constant(0),
  sample: fc.uint8Array({ maxLength: 700 }),
  ...(Object.fromEntries(telemetryMetrics.map((name) => [name, value])) as Record<
    (typeof telemetryMetrics)[number],
    typeof value
  >),
});
const rows = fc.uniqueArray(row, { minLength: 1, maxLength: 30, selector: sampleKey });

/** Frames of some samples each. */
function framed(some: readonly SampleRow[], each = 3): SampleFrame[] {
  const frames: SampleFrame[] = [];
  const open = new Map<string, ReturnType<typeof newFrame>>();
  for (const one of some) {
    const key = `${one.agentId} ${one.receivedAt.getTime()}`;
    const known = open.get(key);
    const frame =
      known === undefined || known.size === each
        ? newFrame(one.agentId, one.receivedAt, each, Buffer.of())
        : known;
    if (frame !== known) frames.push(frame);
    open.set(key, frame);
    const first = (frame.facts.length / each) * frame.size;
    const set = (which: number, value: number) => {
      frame.facts[first + which] = value;
    };
    set(fact.number, one.number);
    set(fact.at, one.at.getTime());
    set(fact.marks, (one.late ? marks.late : 0) + (one.waited ? marks.waited : 0));
    set(fact.dropped, one.dropped);
    set(fact.from, frame.bytes.length);
    set(fact.to, frame.bytes.length + one.sample.length);
    for (const name of telemetryMetrics) set(fact.metrics + metricAt[name], one[name] ?? Number.NaN);
    frame.boots.push(one.bootId);
    frame.bytes = Buffer.concat([frame.bytes, one.sample]);
    frame.size += 1;
  }
  return frames;
}

const store = async (some: readonly SampleRow[]): Promise<SampleRow[]> => {
  const { frames, rows } = await samples.store(framed(some), readyAt);
  return [...rows, ...frames.flatMap(rowsOf)];
};

const all = async (): Promise<unknown[]> => {
  const found = [];
  for (const agentId of ['alpha', 'beta-ß', 'γ'.repeat(60)])
    found.push(...(await readSamples(database.query, agentId, day, undefined, 10_000)).samples);
  return found.map((one) => ({
    ...one,
    bootId: new Uint8Array(one.bootId),
    sample: new Uint8Array(one.sample),
  }));
};
const clear = () => database.query(statement('test_clear', 'delete from telemetry_samples'), []);
const noted = async () => {
  const text = 'with d as (delete from telemetry_dirty returning 1) select count(*)::int as n from d';
  const [found] = await database.query<{ n: number }>(statement('test_noted', text), []);
  return found?.n;
};
const inOrder = (some: readonly SampleRow[]) =>
  some
    .map(({ claimedAt: _, dropped: __, waited: ___, ...one }) => ({
      ...one,
      sample: new Uint8Array(one.sample),
    }))
    .toSorted((a, b) => (sampleKey(a) < sampleKey(b) ? -1 : 1));

test('what is stored is what is read, whichever way it goes in', async () => {
  await fc.assert(
    fc.asyncProperty(rows, fc.nat(), async (some, count) => {
      await clear();
      await noted();
      const before = some.slice(0, count % (some.length + 1));
      const stored = before.length === 0 ? [] : await store(before);
      expect(stored).toHaveLength(before.length);
      // Together with some that are there already.
      const fresh = await store(some);
      expect(inOrder(fresh)).toEqual(inOrder(some.slice(before.length)));
      expect(inOrder((await all()) as SampleRow[])).toEqual(inOrder(some));
      expect(await noted()).toBe((before.length > 0 ? 1 : 0) + (fresh.length > 0 ? 1 : 0));
    }),
    { numRuns: 40 },
  );
});

test('stored by two at once, in one order and in the other, each is stored by one of them', async () => {
  await clear();
  const [made] = fc.sample(row, { numRuns: 1, seed: 7 });
  if (made === undefined) throw new Error('no sample');
  const some = Array.from({ length: 400 }, (_, number) => ({ ...made, number }));
  const storeAtLast = async (part: SampleRow[]): Promise<SampleRow[]> => {
    try {
      return await store(part);
    } catch (error) {
      // They may wait for each other; then one of them is to be tried again.
      expect(error).toMatchObject({ code: 'database_unavailable', retryable: true });
      return storeAtLast(part);
    }
  };
  const fresh = await Promise.all([
    storeAtLast(some),
    storeAtLast(some.toReversed()),
    storeAtLast(some.slice(100, 300)),
  ]);
  expect(
    fresh
      .flat()
      .map(({ number }) => number)
      .toSorted((a, b) => a - b),
  ).toEqual(some.map(({ number }) => number));
});

test('what is old of the samples with the time of the server is found by an index', async () => {
  const plan = await database.transaction(async (query) => {
    await query(statement('', 'set local enable_seqscan = off'), []);
    const text = "explain (format json) delete from telemetry_skewed where at < '2026-03-02'";
    return query(statement('', text), []);
  });
  expect(JSON.stringify(plan)).toContain('"Index Name":"telemetry_skewed_at"');
});
