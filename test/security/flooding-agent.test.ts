import { create } from '@bufbuild/protobuf';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { TelemetrySchema } from '#gen/viworks/agent/v1/telemetry_pb.js';
import { configSchema } from '../../src/config/schema.ts';
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

/** Says more than may be said, all the time, until it is told to stop. */
function flood(session: FakeSession): () => Promise<void> {
  let going = true;
  const done = (async () => {
    while (going) {
      for (let n = 0; n < 500; n++) session.result({ executionId: newId(), attempt: 1 });
      await session.beat();
    }
  })();
  return async () => {
    going = false;
    await done;
  };
}

const percentile = (sorted: readonly number[], share: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
const median = (values: readonly number[]): number =>
  percentile(
    values.toSorted((a, b) => a - b),
    0.5,
  );

async function roundTrip(agentId: string, session: FakeSession): Promise<number> {
  const began = performance.now();
  const command = await submitTo(core, agentId);
  session.result(await session.order());
  await executionIn(core.engine, command.commandId, 'succeeded');
  return performance.now() - began;
}

test('one flooder among many: the p99 of the others at most doubles', { timeout: 60_000 }, async () => {
  const names = Array.from({ length: 10 }, (_, n) => `quiet-${n}`);
  const others = await Promise.all(
    names.map(async (name) => [name, (await connected(core, name)).session] as const),
  );
  const { session: flooder } = await connected(core, 'flooder');
  const round = async () => {
    const times: number[] = [];
    await Promise.all(
      others.map(async ([name, session]) => {
        for (let n = 0; n < 10; n++) times.push(await roundTrip(name, session));
      }),
    );
    return percentile(
      times.toSorted((a, b) => a - b),
      0.99,
    );
  };
  await round();
  const [calm, flooded]: [number[], number[]] = [[], []];
  for (let n = 0; n < 5; n++) {
    calm.push(await round());
    const stop = flood(flooder);
    flooded.push(await round());
    await stop();
  }
  const slowed = (await core.metrics.agentsSlowed.get()).values[0]?.value;
  expect(slowed).toBeGreaterThan(0);
  // In this process the flood is made on the same processor; a floor keeps a busy machine from deciding.
  expect(median(flooded)).toBeLessThan(Math.max(2 * median(calm), 100));
});

test('what a slowed agent says is all read, in order, and acknowledged', { timeout: 30_000 }, async () => {
  const { session } = await connected(core, 'talkative');
  const began = performance.now();
  let last = 0n;
  // Each counts as ten: half a second of burst, and one and a half that it has to wait for.
  for (let n = 0; n < messagesPerSecond / 5; n++) last = session.result({ executionId: newId(), attempt: 1 });
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
