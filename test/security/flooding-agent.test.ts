import { create } from '@bufbuild/protobuf';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { TelemetrySchema } from '#gen/viworks/agent/v1/telemetry_pb.js';
import { configSchema } from '../../src/config/schema.ts';
import { burstMs } from '../../src/lib/bucket.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { newId } from '../../src/lib/ids.ts';
import { telemetryCredit } from '../../src/session/telemetry-credit.ts';
import { type Core, executionIn, startCore, submitTo } from '../support/app-core.ts';
import { connected, type FakeSession } from '../support/fake-agent.ts';
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts';

/** An agent that says as much as it can, of everything: it is slowed, loses nothing, and harms nobody else. */

let database: TestDatabase;
let core: Core;

const { agent_management: defaults } = configSchema.parse({});
const messagesPerSecond = defaults.max_messages_per_second;

beforeAll(async () => {
  database = await createTestDatabase();
  core = await startCore(database.url, {
    clock: { ...systemClock, advance: () => {} },
    budget: { messagesPerSecond, bytesPerSecond: defaults.max_bytes_per_second },
  });
});

afterAll(async () => {
  await core.stop();
  await database.drop();
});

/** Results of executions that are not its own, which cost ten messages each. */
const strayCost = 10;
/** Said at once; between two times all of them are read. */
const floodAtOnce = 500;

/** Says more than may be said, all the time, until it is told to stop; then answers with how much of it was read. */
function flood(session: FakeSession): () => Promise<number> {
  let going = true;
  const done = (async () => {
    let said = 0;
    for (; going; said += floodAtOnce) {
      for (let n = 0; n < floodAtOnce; n++) session.result({ executionId: newId(), attempt: 1 });
      await session.beat();
    }
    return said;
  })();
  return async () => {
    going = false;
    return done;
  };
}

async function roundTrip(agentId: string, session: FakeSession): Promise<void> {
  const command = await submitTo(core, agentId);
  session.result(await session.order());
  await executionIn(core.engine, command.commandId, 'succeeded');
}

// What that makes of the times of the others is measured by `npm run bench -- telemetry`.
test('of a flooder no more is read than it may say, while all others are served', async () => {
  const names = Array.from({ length: 10 }, (_, n) => `quiet-${n}`);
  const others = await Promise.all(
    names.map(async (name) => [name, (await connected(core, name)).session] as const),
  );
  const { session: flooder } = await connected(core, 'flooder');
  const began = performance.now();
  const stop = flood(flooder);
  await Promise.all(
    others.map(async ([name, session]) => {
      for (let n = 0; n < 20; n++) await roundTrip(name, session);
    }),
  );
  const read = await stop();
  const earned = ((performance.now() - began + burstMs) / 1000) * messagesPerSecond;
  expect(read * strayCost).toBeLessThanOrEqual(earned + floodAtOnce * strayCost);
  expect(read * strayCost).toBeGreaterThan(messagesPerSecond / 2);
  expect((await core.metrics.agentsSlowed.get()).values[0]?.value).toBeGreaterThan(0);
});

test('what a slowed agent says is all read, in order, and acknowledged', { timeout: 30_000 }, async () => {
  const { session } = await connected(core, 'talkative');
  const began = performance.now();
  let last = 0n;
  // Half a second of burst, and one and a half that it has to wait for.
  for (let n = 0; n < (2 * messagesPerSecond) / strayCost; n++)
    last = session.result({ executionId: newId(), attempt: 1 });
  await session.acknowledged(last);
  expect(performance.now() - began).toBeGreaterThan(1000);
  await session.beat();
});

test('telemetry over its credit ends that session, and that of nobody else', async () => {
  const { session: other } = await connected(core, 'measured');
  const { session } = await connected(core, 'measures-too-much');
  const sample = (number: bigint) => ({
    case: 'telemetry' as const,
    value: create(TelemetrySchema, { samples: [{ number }] }),
  });
  for (let n = 0; n < 20 * telemetryCredit; n++) session.send(sample(BigInt(n + 1)));
  expect((await session.closed)?.code).toBe('protocol_violation');
  await other.acknowledged(other.send(sample(1n)));
  await other.beat();
});
