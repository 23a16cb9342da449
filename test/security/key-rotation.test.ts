import { create, toBinary } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { expect, test } from 'vitest';
import { ProofSchema, ProofStatementSchema } from '#gen/viworks/agent/v1/handshake_pb.js';
import { generateKeyPair, type KeyPair, signBytes } from '../../src/protocol/keys.ts';
import { nextKeyInput, proofInput } from '../../src/protocol/signed.ts';
import { agentIs, startCore } from '../support/app-core.ts';
import { startFileCore } from '../support/app-core-file.ts';
import { dial, enrolled, type FakeAgent, proofOf, sayHello } from '../support/fake-agent.ts';

/** A key takes another one's place only when it was asked for, and by whoever holds both. */

const { core, database } = await startFileCore();

/** Connects with a next key, which `signer` signs for. Answers with WELCOME. */
async function offering(agent: FakeAgent, next: KeyPair, signer = next, at = core) {
  const session = await dial(at);
  const offer = sayHello(session, agent);
  const { terms, signature } = await session.next('challenge');
  const statement = toBinary(
    ProofStatementSchema,
    create(ProofStatementSchema, {
      agentTime: timestampFromMs(Date.now()),
      nextPublicKey: next.publicKey,
      nextSignature: signBytes(signer, nextKeyInput(offer, terms, signature, next.publicKey)),
    }),
  );
  const signed = signBytes(agent.key, proofInput(offer, terms, signature, statement));
  const value = create(ProofSchema, { statement, signature: signed });
  session.send({ case: 'proof', value }, { sequence: 0n });
  const welcome = await session.next('welcome');
  session.close();
  await session.closed;
  return welcome;
}

const keyOf = async (agentId: string) => (await core.agents.get(agentId)).agent.keyId;

test('a new key is asked for, accepted, used, and the old one is believed for an hour more', async () => {
  const agent = await enrolled(core, 'turns');
  const session = await agent.connect();
  expect(session.welcome.rotateKey).toBe(false);
  await core.agents.rotateKey('ada', 'turns');
  expect((await session.next('drain')).reason).toBe('a new key is wanted');
  expect((await agent.connect()).welcome.rotateKey).toBe(true);
  const next = generateKeyPair();
  expect((await offering(agent, next)).acceptedKeyId).toBe(next.keyId);
  // The answer was lost, and the old key is all that the agent is sure of.
  expect((await offering(agent, next)).acceptedKeyId).toBe(next.keyId);
  expect(await keyOf('turns')).toBe(agent.key.keyId);
  const renewed = withKey(agent, next);
  expect((await renewed.connect()).welcome.rotateKey).toBe(false);
  expect(await keyOf('turns')).toBe(next.keyId);
  await agent.connect();
  core.clock.advance(3_600_000);
  await expect(agent.connect()).rejects.toThrow(/authentication_failed/);
  await renewed.connect();
  await agentIs(core, 'turns', 'online');
});

test('nobody brings a key that was not asked for', async () => {
  const agent = await enrolled(core, 'unasked');
  const next = generateKeyPair();
  expect((await offering(agent, next)).acceptedKeyId).toBe('');
  await expect(withKey(agent, next).connect()).rejects.toThrow(/authentication_failed/);
});

test('who does not hold the next key, or brings one that was seen, gets nothing', async () => {
  const agent = await enrolled(core, 'cheats');
  const other = await enrolled(core, 'victim');
  await core.agents.rotateKey('ada', 'cheats');
  await expect(offering(agent, generateKeyPair(), generateKeyPair())).rejects.toThrow(
    /authentication_failed/,
  );
  await expect(offering(agent, other.key, agent.key)).rejects.toThrow(/authentication_failed/);
  expect((await offering(agent, other.key)).acceptedKeyId).toBe('');
  expect((await offering(agent, agent.key)).acceptedKeyId).toBe('');
});

test('the key before the one in use does not bring the next one', async () => {
  const agent = await enrolled(core, 'older');
  await core.agents.rotateKey('ada', 'older');
  const next = generateKeyPair();
  await offering(agent, next);
  await withKey(agent, next).connect();
  await core.agents.rotateKey('ada', 'older');
  expect((await offering(agent, generateKeyPair())).acceptedKeyId).toBe('');
});

/** The same agent with another key. */
function withKey(agent: FakeAgent, key: KeyPair, at = core): FakeAgent {
  const same: FakeAgent = {
    ...agent,
    key,
    async connect() {
      const session = await dial(at);
      const offer = sayHello(session, same);
      const value = proofOf(key, offer, await session.next('challenge'));
      session.send({ case: 'proof', value }, { sequence: 0n });
      await session.next('welcome');
      return session;
    },
  };
  return same;
}

test('a key that has its age is to be replaced without anybody asking', async () => {
  const aged = await startCore(database.url, { keyMaxAgeMs: 90 * 86_400_000, clock: core.clock });
  try {
    const agent = await enrolled(aged, 'aged');
    expect((await agent.connect()).welcome.rotateKey).toBe(false);
    aged.clock.advance(90 * 86_400_000 + 1);
    expect((await agent.connect()).welcome.rotateKey).toBe(true);
    const next = generateKeyPair();
    expect((await offering(agent, next, next, aged)).acceptedKeyId).toBe(next.keyId);
    expect((await withKey(agent, next, aged).connect()).welcome.rotateKey).toBe(false);
  } finally {
    await aged.stop();
  }
});
