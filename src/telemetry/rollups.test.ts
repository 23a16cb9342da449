import { expect, test } from 'vitest';
import { lockTable } from '../../test/support/postgres.ts';
import { boot, frame, midnight, minute, ownTelemetry, sampleAt } from '../../test/support/telemetry.ts';

const noon = midnight + 12 * 60 * minute;

test('roll-ups wait while many samples do, and not for longer than half a minute', async () => {
  const { telemetry, clock, url, count, metrics } = await ownTelemetry({}, noon);
  const lag = async () => (await metrics.telemetryRollupLagSeconds.get()).values[0]?.value;
  const alpha = { agentId: 'alpha', bootId: boot() };
  const say = (agents: number, first: number) =>
    Array.from({ length: agents }, (_, n) => {
      const samples = Array.from({ length: 100 }, (_, at) => sampleAt(first + at, clock.now()));
      return telemetry.ingest({ agentId: `fleet-${n}`, bootId: boot() }, frame(...samples));
    });
  await telemetry.ingest(alpha, frame(sampleAt(1, noon)));
  // Ten seconds after it is due.
  clock.advance(80_000);

  // Whoever reads goes on; what is written waits.
  const lock = await lockTable(url, 'telemetry_samples', 'share');
  const waiting = say(41, 1);
  expect(await telemetry.rollUp()).toBe(0);
  expect(await lag()).toBe(10);
  clock.advance(19_000);
  expect(await telemetry.rollUp()).toBe(0);
  clock.advance(1000);
  expect(await telemetry.rollUp()).toBe(1);
  expect(await count('telemetry_minutes')).toBe(1);
  await telemetry.rollUp();
  expect(await lag()).toBe(0);
  await lock.release();
  await Promise.all(waiting);

  // As many as a commit takes are no reason to wait.
  clock.advance(2 * minute);
  const again = await lockTable(url, 'telemetry_samples', 'share');
  const few = say(40, 101);
  expect(await telemetry.rollUp()).toBe(41);
  await again.release();
  await Promise.all(few);
});
