import { expect, test } from 'vitest';
import { databaseWire } from '../../test/support/database-wire.ts';
import { boot, day, frame, midnight, minute, ownTelemetry, sampleAt } from '../../test/support/telemetry.ts';
import { statement } from '../storage/database.ts';

const noon = midnight + 12 * 60 * minute;
const alpha = { agentId: 'alpha', bootId: boot() };
const addAgent = statement(
  'test_agent_add',
  `insert into agents (agent_id, site, incarnation) values ($1, 'x', 1)`,
);

test('after a restart it is as it was, for a thousand agents, also those silent for days', async () => {
  const before = await ownTelemetry();
  const names = Array.from({ length: 1100 }, (_, n) => `agent-${String(n).padStart(4, '0')}`);
  await Promise.all(
    names.map(async (agentId, n) => {
      await before.database.query(addAgent, [agentId]);
      if (n % 10 === 0) return;
      const at = n % 10 === 1 ? noon - 5 * day : noon;
      await before.telemetry.ingest(
        { agentId, bootId: boot() },
        frame(sampleAt(1, at - 1000), sampleAt(2, at, n % 90)),
      );
    }),
  );
  const seen = async ({ telemetry }: typeof before) =>
    (await telemetry.latest.list())
      .map(({ agentId, number, cpu, at, late }) => ({ agentId, number, cpu, at: at.getTime(), late }))
      .toSorted((a, b) => (a.agentId < b.agentId ? -1 : 1));
  const expected = await seen(before);
  expect(expected).toHaveLength(990);
  const after = await before.restart();
  expect(await seen(after)).toEqual(expected);
  // What was acknowledged before is known after: the same again is no other sample.
  await after.telemetry.ingest({ agentId: 'agent-0002', bootId: boot() }, frame(sampleAt(2, noon, 2)));
  expect(await after.counted('telemetrySamples', 'duplicate')).toBe(1);
});

test.each(['before', 'after'] as const)(
  'a connection that breaks %s the commit loses no sample, and stores none twice',
  async (when) => {
    let breakNext = () => {};
    const own = await ownTelemetry({}, noon, async (url) => {
      const wire = await databaseWire(url);
      breakNext = () => wire.breakAt('commit', when, 'copy telemetry_samples');
      return wire.url;
    });
    await own.telemetry.ingest(alpha, frame(sampleAt(1, noon - minute)));
    const told: number[] = [];
    own.telemetry.onStored((samples) => told.push(...samples.map(({ number }) => number)));
    breakNext();
    await own.telemetry.ingest(alpha, frame(sampleAt(2, noon)));
    expect(await own.count('telemetry_samples')).toBe(2);
    expect((await own.telemetry.latest.get('alpha'))?.number).toBe(2);
    expect(told).toEqual([2]);
    expect(await own.counted('telemetrySamples', 'duplicate')).toBe(when === 'before' ? 0 : 1);
  },
);
