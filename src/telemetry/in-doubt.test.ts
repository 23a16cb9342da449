import { expect, test } from 'vitest';
import { databaseWire } from '../../test/support/database-wire.ts';
import { lockTable } from '../../test/support/postgres.ts';
import { boot, frame, midnight, minute, ownTelemetry, sampleAt } from '../../test/support/telemetry.ts';

const noon = midnight + 12 * 60 * minute;

test('of two batches at once, one whose answer is lost is told of all the same', {
  timeout: 60_000,
}, async () => {
  let breakNext = () => {};
  let target = '';
  const { telemetry, count } = await ownTelemetry({}, noon, async (url) => {
    const wire = await databaseWire(url);
    target = url;
    breakNext = () => wire.breakAt('commit', 'after', 'copy telemetry_samples');
    return wire.url;
  });
  const told = new Map<string, number>();
  telemetry.onStored((samples) => {
    for (const { agentId, number, superseded = 0 } of samples) told.set(`${agentId} ${number}`, superseded);
  });
  const lock = await lockTable(target, 'telemetry_samples');
  breakNext();
  // Far more than goes into two batches; the first two wait for the table.
  const sent = Array.from({ length: 60 }, (_, n) =>
    telemetry.ingest(
      { agentId: `agent-${n}`, bootId: boot() },
      frame(...Array.from({ length: 100 }, (_each, m) => sampleAt(m + 1, noon + m))),
    ),
  );
  await lock.blocks('copy telemetry_samples');
  await lock.release();
  await Promise.all(sent);
  expect(await count('telemetry_samples')).toBe(6000);
  // Of each envelope the newest, which stands for the others.
  expect(told).toEqual(new Map(Array.from({ length: 60 }, (_, n) => [`agent-${n} 100`, 99])));
});
