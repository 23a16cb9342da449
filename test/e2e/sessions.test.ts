import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { create } from '@bufbuild/protobuf';
import pg from 'pg';
import { describe, expect, onTestFinished, test } from 'vitest';
import { Result_Outcome as Outcome, ResultSchema } from '#gen/viworks/agent/v1/command_pb.js';
import { newIdBytes } from '../../src/lib/ids.ts';
import { silentLogger } from '../../src/lib/logger.ts';
import { createDatabase } from '../../src/storage/database.ts';
import { createEmbeddedPostgres } from '../../src/storage/embedded/embedded.ts';
import { migrate } from '../../src/storage/migrate.ts';
import { agentIs, executionIn, startCore, stopAfterTest, submitTo } from '../support/app-core.ts';
import { startFileCore } from '../support/app-core-file.ts';
import { ownCore } from '../support/app-core-own.ts';
import { dial, enrolled, type FakeSession, proofOf, sayHello, spoken } from '../support/fake-agent.ts';

const { core, database } = await startFileCore();

const submit = (agentId: string, verb = 'exec', on = core) =>
  submitTo(on, agentId, verb === 'exec' ? {} : { verb, args: {} });

async function refused(session: FakeSession) {
  const error = await session.next('error');
  await session.closed;
  return error;
}

describe('one session for each agent', () => {
  test('a newer session takes over, with a higher epoch; the older one is told and ends', async () => {
    const agent = await enrolled(core, 'moved');
    const first = await agent.connect();
    await first.beat();
    const second = await agent.connect({ transport: 'websocket' });
    expect(await refused(first)).toMatchObject({ code: 'superseded', fatal: true });
    expect(second.welcome.epoch).toBeGreaterThan(first.welcome.epoch);
    await second.beat();
    const command = await submit('moved');
    expect((await second.order()).commandId).toBe(command.commandId);
    const { agent: shown } = await core.agents.get('moved');
    expect(shown).toMatchObject({ status: 'online', connection: { transport: 'websocket' } });
  });

  test('of many sessions at the same time the one with the highest epoch stays', async () => {
    const agent = await enrolled(core, 'many');
    const attempts = await Promise.allSettled(Array.from({ length: 8 }, () => agent.connect()));
    const epoch = (await core.agents.get('many')).agent.epoch;
    const link = core.engine.links.get('many');
    expect(link?.epoch).toBe(epoch);
    const opened = attempts.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
    const stays = opened.find(({ welcome }) => Number(welcome.epoch) === epoch);
    await stays?.beat();
    await agentIs(core, 'many', 'online');
    await Promise.all(opened.filter((one) => one !== stays).map(({ closed }) => closed));
  });

  test('what an older session says after the takeover changes nothing', async () => {
    const agent = await enrolled(core, 'fenced');
    const first = await agent.connect();
    await first.beat();
    const command = await submit('fenced');
    const order = await first.order();
    const older = core.engine.links.get('fenced');
    if (older === undefined) throw new Error('no link');
    const second = await agent.connect();
    const again = await second.order();
    expect(again.executionId).toBe(order.executionId);
    const { executionId, attempt } = order;
    const result = create(ResultSchema, { executionId, attempt, outcome: Outcome.FAILED });
    await core.engine.result(older, result);
    await executionIn(core.engine, command.commandId, 'sent');
    second.result(again);
    await executionIn(core.engine, command.commandId, 'succeeded');
  });

  test('a connection that breaks while its session opens leaves nobody who looks alive', async () => {
    const agent = await enrolled(core, 'torn');
    const first = await agent.connect();
    await first.beat();
    const holder = new pg.Client({ connectionString: database.url });
    await holder.connect();
    onTestFinished(() => holder.end());
    await holder.query('begin');
    await holder.query(`select 1 from agents where agent_id = 'torn' for update`);
    const second = await dial(core);
    const offer = sayHello(second, agent);
    const challenge = await second.next('challenge');
    second.send({ case: 'proof', value: proofOf(agent.key, offer, challenge) }, { sequence: 0n });
    second.close();
    await second.closed;
    await holder.query('commit');
    expect(await refused(first)).toMatchObject({ code: 'superseded' });
    await agentIs(core, 'torn', 'offline');
  });

  test('enrolled anew, its old queue is cancelled, its old session ends, and its old key opens nothing', async () => {
    const agent = await enrolled(core, 'anew');
    const session = await agent.connect({ offer: { executionCredit: 1 } });
    const sent = await submit('anew');
    await session.order();
    const queued = await submit('anew');
    const next = await enrolled(core, 'anew', { again: true });
    expect(next.incarnation).toBe(2);
    await executionIn(core.engine, sent.commandId, 'outcome_unknown');
    await executionIn(core.engine, queued.commandId, 'cancelled');
    expect((await refused(session)).code).toBe('superseded');
    const meant = await submit('anew');
    expect(spoken(session).filter((kind) => kind === 'command')).toHaveLength(1);
    await executionIn(core.engine, meant.commandId, 'queued');
    await expect(agent.connect()).rejects.toThrow(/authentication_failed/);
    const fresh = await next.connect();
    expect(await fresh.order()).toMatchObject({ commandId: meant.commandId, incarnation: 2 });
  });
});

describe('handshake', () => {
  test('whatever is wrong with a PROOF is answered with one and the same refusal', async () => {
    const agent = await enrolled(core, 'proof');
    const other = await enrolled(core, 'proof-other');
    const replaced = await enrolled(core, 'proof-old');
    await enrolled(core, 'proof-old', { again: true });
    const answers: unknown[] = [];
    const attempt = async (
      claims: typeof agent,
      proof: (offer: Uint8Array, challenge: Parameters<typeof proofOf>[2]) => ReturnType<typeof proofOf>,
    ) => {
      const session = await dial(core);
      const offer = sayHello(session, claims);
      const challenge = await session.next('challenge');
      session.send({ case: 'proof', value: proof(offer, challenge) }, { sequence: 0n });
      const { code, message, retryable, retryAfter } = await refused(session);
      answers.push({ code, message, retryable, retryAfter });
    };
    const right: Parameters<typeof attempt>[1] = (offer, challenge) => proofOf(agent.key, offer, challenge);
    await attempt(agent, (offer, challenge) => ({
      ...right(offer, challenge),
      signature: new Uint8Array(64),
    }));
    await attempt(agent, (offer, challenge) => proofOf(other.key, offer, challenge));
    await attempt({ ...agent, key: other.key }, (offer, challenge) => proofOf(other.key, offer, challenge));
    await attempt({ ...agent, agentId: 'nobody' }, right);
    await attempt({ ...agent, incarnation: 2 }, right);
    await attempt({ ...agent, incarnation: 0xffff_ffff }, right);
    await attempt(replaced, (offer, challenge) => proofOf(replaced.key, offer, challenge));
    // A proof of another conversation.
    const recorded = await dial(core);
    const said = proofOf(agent.key, sayHello(recorded, agent), await recorded.next('challenge'));
    await attempt(agent, () => said);
    // An offer that somebody altered on its way.
    await attempt(agent, (offer, challenge) => right(Uint8Array.from(offer).fill(0, -1), challenge));
    // Too late.
    await attempt(agent, (offer, challenge) => {
      core.clock.advance(30_001);
      return right(offer, challenge);
    });
    expect(new Set(answers.map((answer) => JSON.stringify(answer))).size).toBe(1);
    expect(answers[0]).toMatchObject({ code: 'authentication_failed', retryable: false });
    expect((await core.agents.get('proof')).agent).toMatchObject({ status: 'offline', epoch: 0 });
  });

  test('a PROOF that cannot be checked, because the database is away, is answered with "come again"', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'viworks-test-'));
    await chmod(folder, 0o755);
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    const settings = { fsync: 'off' };
    const server = createEmbeddedPostgres({ dataDir: folder, log: silentLogger, settings });
    const { connectionString: url } = await server.start();
    onTestFinished(() => server.stop());
    const options = {
      url,
      maxConnections: 2,
      connectTimeoutMs: 2000,
      idleTimeoutMs: 1000,
      log: silentLogger,
    };
    const migrating = createDatabase(options);
    await migrate(migrating).finally(migrating.close);
    const lonely = stopAfterTest(await startCore(url));
    const agent = await enrolled(lonely, 'patient');
    const session = await dial(lonely);
    const offer = sayHello(session, agent);
    const challenge = await session.next('challenge');
    await server.stop();
    session.send({ case: 'proof', value: proofOf(agent.key, offer, challenge) }, { sequence: 0n });
    expect(await refused(session)).toMatchObject({ code: 'database_unavailable', retryable: true });
    await server.start();
    await (await agent.connect()).beat();
  });

  test.each<[string, string, (session: FakeSession, agent: Awaited<ReturnType<typeof enrolled>>) => unknown]>(
    [
      [
        'HELLO twice',
        'protocol_violation',
        (session, agent) => [sayHello(session, agent), sayHello(session, agent)],
      ],
      [
        'no version in common',
        'version_unsupported',
        (session, agent) => sayHello(session, agent, { offer: { protocolVersions: [999] } }),
      ],
      [
        'an offer against its rules',
        'protocol_violation',
        (session, agent) => sayHello(session, agent, { offer: { bootId: newIdBytes().slice(1) } }),
      ],
      [
        'an offer that is none',
        'protocol_violation',
        (session) =>
          session.send({ case: 'hello', value: { offer: new Uint8Array([255, 255]) } }, { sequence: 0n }),
      ],
      [
        'work before the handshake',
        'protocol_violation',
        (session) => session.send({ case: 'heartbeat', value: {} }, { sequence: 0n }),
      ],
      [
        'PROOF before HELLO',
        'protocol_violation',
        (session) => session.send({ case: 'proof', value: {} }, { sequence: 0n }),
      ],
    ],
  )('%s is answered with %s', async (what, code, say) => {
    const agent = await enrolled(core, `hs-${what.toLowerCase().replaceAll(/[^a-z]/g, '-')}`);
    const session = await dial(core);
    say(session, agent);
    expect(await refused(session)).toMatchObject({ code, fatal: true });
  });

  test('a connection that says nothing is ended when its time is over', async () => {
    const own = await ownCore({ limits: { heartbeatIntervalMs: 200 } });
    const quick = await own.start();
    const silent = await dial(quick);
    quick.clock.advance(9_999);
    const agent = await enrolled(quick, 'in-time');
    await (await agent.connect()).beat();
    quick.clock.advance(2);
    expect(await refused(silent)).toMatchObject({ code: 'deadline_exceeded' });
  });
});

describe('rules of the conversation', () => {
  test.each<[string, (session: FakeSession) => unknown]>([
    ['a gap in the sequence', (session) => session.send({ case: 'credit', value: {} }, { sequence: 2n })],
    [
      'a repeated sequence',
      (session) => [
        session.send({ case: 'credit', value: {} }, { sequence: 1n }),
        session.send({ case: 'credit', value: {} }, { sequence: 1n }),
      ],
    ],
    [
      'a result without a sequence',
      (session) => session.send({ case: 'credit', value: {} }, { sequence: 0n }),
    ],
    [
      'an acknowledgement of what was never sent',
      (session) => session.send({ case: 'heartbeat', value: {} }, { sequence: 0n, acknowledged: 1n }),
    ],
    [
      'HELLO in the session',
      (session) => session.send({ case: 'hello', value: { offer: new Uint8Array(1) } }),
    ],
    ['a COMMAND from an agent', (session) => session.send({ case: 'command', value: {} })],
    [
      'an update against its rules',
      (session) => session.send({ case: 'commandUpdate', value: { executionId: 'x', attempt: 1 } }),
    ],
    [
      'a result without an outcome',
      (session) => session.send({ case: 'result', value: { executionId: crypto.randomUUID(), attempt: 1 } }),
    ],
  ])('%s ends the session with protocol_violation', async (what, say) => {
    const agent = await enrolled(core, `rule-${what.toLowerCase().replaceAll(/[^a-z]/g, '-')}`);
    const session = await agent.connect();
    say(session);
    expect(await refused(session)).toMatchObject({
      code: 'protocol_violation',
      fatal: true,
      retryable: false,
    });
    // It harms nobody but itself, and may come again.
    await (await agent.connect()).beat();
  });

  test('what this server does not offer is refused by its sequence, and the session goes on', async () => {
    const session = await (await enrolled(core, 'polite')).connect();
    const sequence = session.send({ case: 'channelMessage', value: { channel: 'a', kind: 1 } });
    expect(await session.next('error')).toMatchObject({ code: 'invalid_request', sequence, fatal: false });
    await session.acknowledged(sequence);
    await session.beat();
  });
});

describe('presence', () => {
  test('one missed heartbeat shows the agent as degraded, the next one as online again, three as offline', async () => {
    const own = await ownCore({ limits: { heartbeatIntervalMs: 200 } });
    const quick = await own.start();
    const agent = await enrolled(quick, 'pulse');
    expect((await quick.agents.get('pulse')).agent.status).toBe('offline');
    const session = await agent.connect();
    await session.beat();
    await agentIs(quick, 'pulse', 'online');
    quick.clock.advance(301);
    await agentIs(quick, 'pulse', 'degraded');
    await session.beat();
    await agentIs(quick, 'pulse', 'online');
    quick.clock.advance(601);
    await agentIs(quick, 'pulse', 'offline');
    await session.closed;
    expect(quick.sessions.open).toBe(0);
    const { agent: shown } = await quick.agents.get('pulse');
    expect(shown.connection).toBeUndefined();
  });

  test('anything an agent says is a sign of life', async () => {
    const own = await ownCore({ limits: { heartbeatIntervalMs: 200 } });
    const quick = await own.start();
    const session = await (await enrolled(quick, 'talks')).connect();
    for (let n = 0; n < 5; n++) {
      quick.clock.advance(550);
      await session.acknowledged(session.send({ case: 'credit', value: {} }));
    }
    await session.beat();
  });

  test('a session that ends in order is offline at once', async () => {
    const session = await (await enrolled(core, 'leaves')).connect();
    await session.beat();
    session.close();
    await agentIs(core, 'leaves', 'offline');
  });
});

describe('bounds and ends', () => {
  test('one connection more than allowed is refused with a time to come back, and there is room when one ends', async () => {
    const own = await ownCore({ maxConnections: 2 });
    const small = await own.start();
    const [a, b, c] = [await enrolled(small, 'a'), await enrolled(small, 'b'), await enrolled(small, 'c')];
    const first = await a.connect();
    await b.connect({ transport: 'websocket' });
    for (const transport of ['connect', 'websocket'] as const) {
      const error = await c.connect({ transport }).catch((thrown: Error) => thrown.cause ?? thrown);
      expect(error).toMatchObject({ retryable: true, retryAfterMs: 5000 });
    }
    first.close();
    await first.closed;
    await agentIs(small, 'a', 'offline');
    await (await c.connect()).beat();
  });

  test('a drain tells every agent to come back, and what they had not told yet counts at the next server', async () => {
    const own = await ownCore();
    const before = await own.start();
    const agent = await enrolled(before, 'drained');
    const session = await agent.connect();
    await session.beat();
    const working = await submit('drained', 'exec', before);
    const order = await session.order();
    await session.acknowledged(session.running(order));
    const stopped = before.stop();
    expect(await session.next('drain')).toMatchObject({ reason: 'the server is stopping' });
    await session.closed;
    session.result(order);
    await stopped;
    const after = await own.start();
    const next = await agent.connect({ core: after, account: [{ order, phase: 'FINISHED' }] });
    next.result(order);
    await executionIn(after.engine, working.commandId, 'succeeded');
  });
});
