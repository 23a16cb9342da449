import { expect, test } from 'vitest';
import { boot, frame, midnight, minute, ownTelemetry, sampleAt } from '../../test/support/telemetry.ts';

/** Longer than a busy machine takes. */
const soon = { timeout: 10_000 };
const noon = midnight + 12 * 60 * minute;
const alpha = { agentId: 'alpha', bootId: boot() };

const lossy = (number: number, dropped: number, more = {}) => ({
  ...sampleAt(number, noon + number),
  dropped: BigInt(dropped),
  ...more,
});

const droppedIn = async ({ metrics }: Pick<Awaited<ReturnType<typeof ownTelemetry>>, 'metrics'>) =>
  (await metrics.telemetryDropped.get()).values[0]?.value;

test('what agents had to drop is counted once, and seen with their newest sample', async () => {
  const own = await ownTelemetry();
  const { telemetry } = own;
  await telemetry.ingest(alpha, frame(sampleAt(1, noon), lossy(2, 3), lossy(3, 5)));
  await expect.poll(() => droppedIn(own), soon).toBe(5);
  expect(await telemetry.latestJson('alpha')).toMatchObject({ number: '3', dropped: '5' });
  // The same again, and what comes in another order.
  await telemetry.ingest(alpha, frame(lossy(3, 5), lossy(2, 3)));
  await Promise.all([
    telemetry.ingest(alpha, frame(lossy(5, 9))),
    telemetry.ingest(alpha, frame(lossy(4, 6))),
  ]);
  await expect.poll(() => droppedIn(own), soon).toBe(9);
  // Another agent and another boot have lost others, also where an earlier boot's sample comes late.
  await telemetry.ingest({ ...alpha, agentId: 'beta' }, frame(lossy(1, 2)));
  await telemetry.ingest(
    { ...alpha, bootId: boot('next') },
    frame(lossy(6, 10, { bootId: boot(), late: true }), lossy(1, 4)),
  );
  await expect.poll(() => droppedIn(own), soon).toBe(9 + 2 + 1 + 4);
});

test('a sample that is set aside tells nothing', async () => {
  const own = await ownTelemetry();
  await own.telemetry.ingest(alpha, frame(lossy(1, 50, { cpu: { usedPercent: 101 } }), lossy(2, 1)));
  await expect.poll(() => droppedIn(own), soon).toBe(1);
});

test('after a restart only what is lost since then is counted', async () => {
  const before = await ownTelemetry();
  const add = "insert into agents (agent_id, site, incarnation) values ('alpha', 'x', 1)";
  await before.rows(add);
  await before.telemetry.ingest(alpha, frame(lossy(1, 7)));
  const after = await before.restart();
  await after.telemetry.ingest(alpha, frame(lossy(2, 7), lossy(3, 8)));
  await expect.poll(() => droppedIn(after), soon).toBe(1);
});
