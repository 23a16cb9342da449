import { create } from '@bufbuild/protobuf';
import { durationFromMs } from '@bufbuild/protobuf/wkt';
import { expect, test } from 'vitest';
import { EnvelopeSchema } from '#gen/viworks/agent/v1/envelope_pb.js';
import { DrainSchema, ErrorSchema, HeartbeatSchema } from '#gen/viworks/agent/v1/flow_pb.js';
import { WelcomeSchema } from '#gen/viworks/agent/v1/handshake_pb.js';
import { execCommand, startRig } from '../../test/support/agent-rig.ts';
import { challengeFor, type ScriptedConnection } from '../../test/support/agent-server.ts';
import { newId } from '../lib/ids.ts';
import { generateKeyPair } from '../protocol/keys.ts';

const heartbeat = create(HeartbeatSchema);

test('the handshake opens a session and says what the agent is', async () => {
  const rig = startRig({ host: { hostname: 'h', os: 'o', kernel: 'k', architecture: 'a' }, software: 's/1' });
  const { offer } = await rig.server.open();
  expect(await rig.state('open')).toMatchObject({ name: 'open', epoch: 1n, transport: 'connect' });
  expect(offer).toMatchObject({
    agentId: 'agent-1',
    incarnation: 1,
    keyId: rig.server.identity.key.keyId,
    protocolVersions: [1],
    capabilities: ['exec', 'system'],
    software: 's/1',
    executionCredit: 64,
    executions: [],
  });
  expect(offer.bootId.byteLength).toBe(16);
  expect(offer.host).toMatchObject({ hostname: 'h', architecture: 'a' });
});

async function refusedChallenge(answer: (offer: Uint8Array, connection: ScriptedConnection) => void) {
  const rig = startRig();
  const connection = await rig.server.accept();
  const { offer } = await connection.next('hello');
  answer(offer, connection);
  const error = await connection.next('error');
  await connection.ended;
  return { error, state: await rig.state('waiting') };
}

test('a challenge of an unknown key is not believed', async () => {
  const { error, state } = await refusedChallenge((offer, connection) => {
    connection.send({ case: 'challenge', value: challengeFor(offer, generateKeyPair()).challenge }, 0n);
  });
  expect(error).toMatchObject({ code: 'authentication_failed', fatal: true });
  expect(state).toMatchObject({ error: { code: 'authentication_failed' } });
});

test('a challenge over another offer, or that was changed, is not believed', async () => {
  const rig = startRig();
  const connection = await rig.server.accept();
  const { offer } = await connection.next('hello');
  const stranger = generateKeyPair();
  // Named as the server's key, signed by another.
  const { challenge } = challengeFor(offer, stranger);
  challenge.keyId = rig.server.identity.serverKeys[0]?.keyId ?? '';
  connection.send({ case: 'challenge', value: challenge }, 0n);
  expect(await connection.next('error')).toMatchObject({ code: 'authentication_failed' });
  await connection.ended;
});

test('a WELCOME without a CHALLENGE violates the protocol', async () => {
  const { error } = await refusedChallenge((_, connection) => {
    connection.send({ case: 'welcome', value: create(WelcomeSchema) }, 0n);
  });
  expect(error).toMatchObject({ code: 'protocol_violation' });
});

test('a handshake that stalls is given up', async () => {
  const rig = startRig();
  const connection = await rig.server.accept();
  await connection.next('hello');
  rig.time.advance(10_000);
  await connection.ended;
  expect(await rig.state('waiting')).toMatchObject({ error: { code: 'deadline_exceeded' } });
});

test('a refusal of the server is tried again at the slowest pace', async () => {
  const rig = startRig();
  const connection = await rig.server.accept();
  await connection.next('hello');
  connection.send(
    { case: 'error', value: create(ErrorSchema, { code: 'authentication_failed', fatal: true }) },
    0n,
  );
  const state = await rig.state('waiting');
  expect(state).toMatchObject({ error: { code: 'authentication_failed' } });
  expect(state.name === 'waiting' && state.delayMs).toBeGreaterThanOrEqual(30_000);
  rig.time.advance(60_000);
  await rig.server.open();
  await rig.state('open');
});

test('what the server sends is acknowledged, alone if nothing else leaves', async () => {
  const rig = startRig();
  const { connection } = await rig.server.open();
  connection.sendRaw(create(EnvelopeSchema, { sequence: 1n }));
  await connection.acknowledged(1n);
});

test.each([
  ['a gap', [1n, 3n]],
  ['a repetition', [1n, 1n]],
])('%s in the sequence ends the session', async (_, sequences) => {
  const rig = startRig();
  const { connection } = await rig.server.open();
  for (const sequence of sequences) connection.send({ case: 'credit', value: { telemetry: 1 } }, sequence);
  expect(await connection.next('error')).toMatchObject({ code: 'protocol_violation', fatal: true });
  await connection.ended;
});

test('a COMMAND without a sequence, and an acknowledgement of nothing, violate the protocol', async () => {
  const rig = startRig();
  const first = await rig.server.open();
  first.connection.send(execCommand(newId()), 0n);
  expect(await first.connection.next('error')).toMatchObject({ code: 'protocol_violation' });
  await rig.state('waiting');
  rig.time.advance(60_000);
  const second = await rig.server.open();
  second.connection.sendRaw(create(EnvelopeSchema, { acknowledged: 99n }));
  expect(await second.connection.next('error')).toMatchObject({ code: 'protocol_violation' });
  expect(rig.begun.count).toBe(0);
});

test('heartbeats go at the interval, and three without an answer end the session', async () => {
  const rig = startRig();
  const { connection } = await rig.server.open();
  await rig.state('open');
  rig.time.advance(10_000);
  await connection.next('heartbeat');
  connection.send({ case: 'heartbeat', value: heartbeat }, 0n);
  connection.sendRaw(create(EnvelopeSchema, { sequence: 1n }));
  await connection.acknowledged(1n);
  for (let i = 0; i < 3; i += 1) {
    rig.time.advance(10_000);
    await connection.next('heartbeat');
  }
  expect(rig.agent.state.name).toBe('open');
  rig.time.advance(10_000);
  await connection.ended;
  expect(await rig.state('waiting')).toMatchObject({ error: { code: 'heartbeat_missed' } });
});

test('a drain moves the agent, and what runs goes on', async () => {
  const rig = startRig();
  const { connection } = await rig.server.open();
  const executionId = newId();
  connection.send(execCommand(executionId));
  const work = await rig.begun.shift();
  connection.send({
    case: 'drain',
    value: create(DrainSchema, { reason: 'update', reconnectAfter: durationFromMs(700) }),
  });
  await connection.acknowledged(2n);
  await connection.ended;
  expect(await rig.state('waiting')).toMatchObject({ delayMs: 700, error: undefined });
  expect(work.signal.aborted).toBe(false);
  rig.time.advance(700);
  const next = await rig.server.open();
  expect(next.offer.executions).toMatchObject([{ executionId, attempt: 1, phase: 1 }]);
  expect((await next.connection.next('commandUpdate')).update.case).toBe('accepted');
  expect((await next.connection.next('commandUpdate')).update.case).toBe('running');
  work.end();
  expect(await next.connection.next('result')).toMatchObject({ executionId, outcome: 1, exitCode: 0 });
});

test('superseded backs off to the maximum; a lost connection does not', async () => {
  const rig = startRig();
  const first = await rig.server.open();
  first.connection.cut();
  const lost = await rig.state('waiting');
  expect(lost.name === 'waiting' && lost.delayMs).toBeLessThanOrEqual(1_000);
  rig.time.advance(1_000);
  const { connection } = await rig.server.open();
  connection.send({ case: 'error', value: create(ErrorSchema, { code: 'superseded', fatal: true }) });
  const replaced = await rig.state('waiting');
  expect(replaced.name === 'waiting' && replaced.delayMs).toBeGreaterThanOrEqual(30_000);
});

test('a code that this agent does not know counts by whether it may be tried again', async () => {
  const rig = startRig();
  const { connection } = await rig.server.open();
  const value = create(ErrorSchema, {
    code: 'new_code',
    retryable: true,
    fatal: true,
    retryAfter: durationFromMs(5_000),
  });
  connection.send({ case: 'error', value });
  expect(await rig.state('waiting')).toMatchObject({ delayMs: 5_000, error: { code: 'unavailable' } });
});
