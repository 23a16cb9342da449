import { expect, onTestFinished, test, vi } from 'vitest';
import { type DatabaseWire, databaseWire } from '../../test/support/database-wire.ts';
import { boot, frame, midnight, minute, ownTelemetry, sampleAt } from '../../test/support/telemetry.ts';

/** Samples that come while the database is away. */

const noon = midnight + 12 * 60 * minute;
const alpha = { agentId: 'alpha', bootId: boot() };

async function wired() {
  const wires: DatabaseWire[] = [];
  const own = await ownTelemetry({}, noon, async (url) => {
    const made = await databaseWire(url);
    wires.push(made);
    return made.url;
  });
  const [wire] = wires;
  if (wire === undefined) throw new Error('no wire');
  // Before anything else ends: what is open could not.
  onTestFinished(wire.mend);
  return { ...own, wire };
}

/** The time of this process goes on by so much. */
function later(ms: number): void {
  const now = performance.now.bind(performance);
  const spy = vi.spyOn(performance, 'now').mockImplementation(() => now() + ms);
  onTestFinished(() => spy.mockRestore());
}

test('they wait for as long as it is away', async () => {
  const { telemetry, count, wire } = await wired();
  wire.cut();
  const stored = telemetry.ingest(alpha, frame(sampleAt(1, noon)));
  await wire.tried();
  later(24 * 60 * minute);
  for (let n = 0; n < 3; n++) await Promise.race([wire.tried(), stored]);
  wire.mend();
  await stored;
  expect(await count('telemetry_samples')).toBe(1);
});

test('a stop does not wait for it: what is not stored fails, and is not acknowledged', async () => {
  const { telemetry, count, counted, wire } = await wired();
  wire.cut();
  // More than is under way of one agent, and more than goes into one commit of all.
  const sent = Array.from({ length: 60 }, (_, n) => {
    const samples = Array.from({ length: 100 }, (_each, m) => sampleAt(n * 100 + m + 1, noon + m));
    return telemetry.ingest({ ...alpha, agentId: `agent-${n % 20}` }, frame(...samples));
  });
  const ends = Promise.allSettled(sent);
  await wire.tried();
  await telemetry.stop();
  for (const end of await ends)
    expect(end).toMatchObject({ status: 'rejected', reason: { code: 'database_unavailable' } });
  wire.mend();
  expect(await count('telemetry_samples')).toBe(0);
  expect(await counted('telemetrySamples', 'set_aside')).toBe(0);
});
