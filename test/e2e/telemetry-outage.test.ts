import { readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { create } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import pg from 'pg';
import { expect, onTestFinished, test } from 'vitest';
import { SampleSchema, TelemetrySchema } from '#gen/viworks/agent/v1/telemetry_pb.js';
import { type AgentState, createAgent } from '../../src/agent/agent.ts';
import { executorSet } from '../../src/agent/executors/executor.ts';
import { createMemoryLedger } from '../../src/agent/ledger.ts';
import { createMemorySpool } from '../../src/agent/telemetry/spool.ts';
import { createConnectDialer } from '../../src/agent/transport/connect.ts';
import { newId } from '../../src/lib/ids.ts';
import { silentLogger } from '../../src/lib/logger.ts';
import { telemetryCredit } from '../../src/session/telemetry-credit.ts';
import { createEmbeddedPostgres } from '../../src/storage/embedded/embedded.ts';
import { createProcessRig, type ProcessRig } from '../support/app-process.ts';
import type { FakeSession } from '../support/fake-agent.ts';
import { enrolledAt, type RemoteAgent } from '../support/remote-agent.ts';
import { boot, sampleAt } from '../support/telemetry.ts';

/** What became of telemetry when PostgreSQL ends without a word, or is away for a minute. */

/** Samples of an agent that the control plane acknowledged, by their numbers. */
interface Speaker {
  agentId: string;
  session: FakeSession;
  sent: number;
  acknowledged: Set<number>;
}

async function enrolMany(rig: ProcessRig, names: readonly string[]): Promise<RemoteAgent[]> {
  const spec = { site: 'test', labels: {}, uses: names.length, lifetimeMs: 120_000 };
  const { token } = await rig.client().tokens.createEnrollment.mutate(spec);
  return Promise.all(names.map((name) => enrolledAt(rig.agentUrl(), token, name)));
}

const pickCounts = (speaker: Speaker | undefined) =>
  speaker && { sent: speaker.sent, acknowledged: speaker.acknowledged };

/** Sends an envelope, and resolves when it is acknowledged. */
async function say(speaker: Speaker, count: number): Promise<void> {
  const first = speaker.sent + 1;
  speaker.sent += count;
  const now = Date.now();
  const samples = Array.from({ length: count }, (_, n) => sampleAt(first + n, now + n));
  await speaker.session.acknowledged(
    speaker.session.send({ case: 'telemetry', value: create(TelemetrySchema, { samples }) }),
  );
  for (let n = 0; n < count; n++) speaker.acknowledged.add(first + n);
}

const bootId = boot();

async function speakers(agents: readonly RemoteAgent[]): Promise<Speaker[]> {
  return Promise.all(
    agents.map(async (agent) => ({
      agentId: agent.agentId,
      session: await agent.connect({ offer: { bootId } }),
      sent: 0,
      acknowledged: new Set<number>(),
    })),
  );
}

/** Counts what is acknowledged to all. */
function createTally() {
  let total = 0;
  const waiting = new Set<() => void>();
  return {
    add(count: number) {
      total += count;
      for (const look of waiting) look();
    },
    /** Resolves when so many more are acknowledged. */
    more(count: number): Promise<void> {
      const wanted = total + count;
      return new Promise((resolve) => {
        const look = () => {
          if (total < wanted) return;
          waiting.delete(look);
          resolve();
        };
        waiting.add(look);
        look();
      });
    },
  };
}

/** Each agent has four envelopes under way all the time, until `going` is false or its session ends. */
const sayOn = (all: readonly Speaker[], going: () => boolean, tell: (count: number) => void) =>
  all.flatMap((speaker) =>
    Array.from({ length: 4 }, async (_, lane) => {
      while (going()) {
        await say(speaker, lane + 1);
        tell(lane + 1);
      }
    }),
  );

const connectionOf = (rig: ProcessRig): string =>
  `postgresql://viworks@/viworks?host=${encodeURIComponent(join(rig.dataDir, 'postgres', 'socket'))}`;

/** Numbers of the samples that are stored, by agent. */
async function storedIn(connection: string): Promise<Map<string, number[]>> {
  const client = new pg.Client({ connectionString: connection });
  await client.connect();
  try {
    const { rows } = await client.query<{ agent_id: string; numbers: number[] }>(
      `select agent_id, array_agg(number::float8 order by number) as numbers
       from telemetry_samples group by agent_id`,
    );
    return new Map(rows.map((row) => [row.agent_id, row.numbers]));
  } finally {
    await client.end();
  }
}

async function metric(rig: ProcessRig, name: string): Promise<number> {
  const text = await (await fetch(`${rig.apiUrl()}/metrics`)).text();
  const line = text.split('\n').find((each) => each.startsWith(`${name} `));
  return Number(line?.slice(name.length + 1) ?? 0);
}

/** Resolves to what ends first: a session, or the work. */
const unlessClosed = <T>(all: readonly Speaker[], work: Promise<T>): Promise<T> =>
  Promise.race([
    work,
    ...all.map(async ({ agentId, session }): Promise<never> => {
      const error = await session.closed;
      throw new Error(`the session of ${agentId} ended: ${error?.message}`);
    }),
  ]);

test('PostgreSQL killed again and again under telemetry: all that was acknowledged is there, once', {
  timeout: 240_000,
}, async () => {
  const rig = createProcessRig();
  await rig.startServer();
  const all = await speakers(
    await enrolMany(
      rig,
      Array.from({ length: 20 }, (_, n) => `agent-${n}`),
    ),
  );
  let going = true;
  const tally = createTally();
  const loads = sayOn(all, () => going, tally.add);
  const work = async () => {
    for (let kills = 0; kills < 5; kills++) {
      await tally.more(500);
      await rig.killPostgres();
    }
    await tally.more(500);
    going = false;
    await Promise.all(loads);
  };
  await unlessClosed(all, work());
  const stored = await storedIn(connectionOf(rig));
  for (const { agentId, sent, acknowledged } of all) {
    expect(acknowledged.size).toBe(sent);
    expect(stored.get(agentId)).toEqual(Array.from({ length: sent }, (_, n) => n + 1));
  }
  expect(await metric(rig, 'viworks_telemetry_samples_total{outcome="set_aside"}')).toBe(0);
});

test('a control plane killed again and again under telemetry: all that was acknowledged is there, once', {
  timeout: 240_000,
}, async () => {
  const rig = createProcessRig();
  await rig.startServer();
  const agents = await enrolMany(
    rig,
    Array.from({ length: 20 }, (_, n) => `agent-${n}`),
  );
  let all = await speakers(agents);
  const tally = createTally();
  for (let kills = 0; kills < 4; kills++) {
    const loads = sayOn(all, () => true, tally.add);
    const ended = Promise.allSettled(loads);
    await tally.more(500);
    await rig.kill(rig.server());
    await ended;
    await rig.startServer();
    const before = all;
    // They go on where they were.
    all = (await speakers(agents)).map((speaker, n) => ({ ...speaker, ...pickCounts(before[n]) }));
  }
  const stored = await storedIn(connectionOf(rig));
  for (const { agentId, sent, acknowledged } of all) {
    const numbers = new Set(stored.get(agentId));
    expect([...acknowledged].filter((number) => !numbers.has(number))).toEqual([]);
    expect(stored.get(agentId)).toHaveLength(numbers.size);
    expect(Math.max(...numbers)).toBeLessThanOrEqual(sent);
  }
});

test('PostgreSQL away for a minute: agents stay, nothing acknowledged is lost, the rest is counted', {
  timeout: 240_000,
}, async () => {
  const dataDir = join(tmpdir(), `viworks-test-${newId()}`);
  const server = createEmbeddedPostgres({ dataDir, log: silentLogger, maxConnections: 40 });
  const { connectionString } = await server.start();
  onTestFinished(async () => {
    await server.stop();
    await rm(dataDir, { recursive: true, force: true });
  });
  const rig = createProcessRig({
    config: '[telemetry]\ncollection_interval = 0.2\n',
    env: { DATABASE_URL: connectionString },
  });
  await rig.startServer();
  onTestFinished(() => rig.kill(rig.server()));
  const names = Array.from({ length: 10 }, (_, n) => `agent-${n}`);
  const all = await speakers(await enrolMany(rig, names));
  const measuring = await Promise.all(
    (await enrolMany(rig, ['sdk-0', 'sdk-1'])).map((agent) => measure(rig, agent)),
  );
  await Promise.all(all.map((speaker) => say(speaker, 3)));
  await Promise.all(measuring.map((one) => one.until(() => one.taken >= 3)));

  const awayMs = 60_000;
  const pid = Number(
    readFileSync(join(dataDir, 'postgres', 'data', 'postmaster.pid'), 'utf8').split('\n')[0],
  );
  process.kill(pid, 'SIGKILL');
  const began = performance.now();
  const said = all.flatMap((speaker) => Array.from({ length: telemetryCredit }, () => say(speaker, 100)));
  const work = async () => {
    let unready = 0;
    while (performance.now() - began < awayMs) {
      await Promise.all(all.map(({ session }) => session.beat()));
      if ((await fetch(`${rig.apiUrl()}/readyz`)).status === 503) unready += 1;
      // Heartbeats keep their pace for as long as it is away: that nobody is cut off in 60 s is what is tested.
      await delay(1000);
    }
    expect(unready).toBeGreaterThan(5);
    // Nobody heard that something is stored which may not be.
    expect(all.map(({ acknowledged }) => acknowledged.size)).toEqual(all.map(() => 3));
    expect((await server.start()).connectionString).toBe(connectionString);
    await Promise.all(said);
    const then = measuring.map(({ taken }) => taken);
    await Promise.all(measuring.map((one, at) => one.until(() => one.taken >= (then[at] ?? 0) + 5)));
  };
  await unlessClosed(all, work());

  const dropped = await Promise.all(measuring.map((one) => one.end()));
  const stored = await storedIn(connectionString);
  for (const { agentId, sent } of all)
    expect(stored.get(agentId)).toEqual(Array.from({ length: sent }, (_, n) => n + 1));
  for (const [at, { agentId, taken, sessions }] of measuring.entries()) {
    expect(sessions()).toBe(1);
    // What is not there was dropped by the agent, which says so.
    const missing = taken - (stored.get(agentId)?.length ?? 0);
    expect(missing).toBeGreaterThan(0);
    expect(dropped[at]).toBeGreaterThanOrEqual(missing);
    const { telemetry } = await rig.client().agents.get.query({ agentId });
    expect(Number(telemetry?.dropped)).toBe(dropped[at]);
  }
  const counted = dropped.reduce((sum, count) => sum + count, 0);
  expect(await metric(rig, 'viworks_telemetry_dropped_total')).toBe(counted);
  expect(await metric(rig, 'viworks_telemetry_samples_total{outcome="set_aside"}')).toBe(0);
});

/** An agent of the SDK that keeps little of what it measures. */
async function measure(rig: ProcessRig, { agentId, incarnation, key, serverKeys }: RemoteAgent) {
  const spool = createMemorySpool({ capacity: 40 });
  const opened = Promise.withResolvers<void>();
  const waiting = new Set<() => void>();
  let [taken, open] = [0, 0];
  const agent = createAgent({
    identity: {
      agentId,
      incarnation,
      site: 'test',
      key,
      serverKeys: serverKeys.map((server) => ({ ...server, notAfter: undefined })),
    },
    dialer: createConnectDialer({ url: rig.agentUrl() }),
    executors: executorSet([]),
    ledger: createMemoryLedger(),
    log: silentLogger,
    spool,
    async collect() {
      taken += 1;
      for (const look of waiting) look();
      return create(SampleSchema, { takenAt: timestampFromMs(Date.now()), cpu: { usedPercent: 5 } });
    },
    onState(state: AgentState) {
      if (state.name !== 'open') return;
      open += 1;
      opened.resolve();
    },
  });
  agent.start();
  onTestFinished(() => agent.stop(0));
  await opened.promise;
  return {
    agentId,
    get taken() {
      return taken;
    },
    sessions: () => open,
    until: (enough: () => boolean) =>
      new Promise<void>((resolve) => {
        const look = () => {
          if (!enough()) return;
          waiting.delete(look);
          resolve();
        };
        waiting.add(look);
        look();
      }),
    /** Ends it once all is acknowledged that it kept; answers with how many it lost. */
    async end(): Promise<number> {
      await expect.poll(() => spool.length, { timeout: 20_000, interval: 20 }).toBe(0);
      await agent.stop(0);
      return spool.dropped;
    },
  };
}
