import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ChallengeTermsSchema, HelloOfferSchema, HelloSchema } from '#gen/viworks/agent/v1/handshake_pb.js';
import { type Core, startCore } from '../../test/support/app-core.ts';
import { enrolled, proofOf } from '../../test/support/fake-agent.ts';
import { createTestDatabase, type TestDatabase } from '../../test/support/postgres.ts';
import { newIdBytes } from '../lib/ids.ts';
import { silentLogger } from '../lib/logger.ts';
import { verifyBytes } from '../protocol/keys.ts';
import { challengeInput } from '../protocol/signed.ts';
import { type AgentAuthentication, createAgentAuthentication } from './authentication.ts';

let database: TestDatabase;
let core: Core;
let authentication: AgentAuthentication;

beforeAll(async () => {
  database = await createTestDatabase();
  core = await startCore(database.url);
  authentication = createAgentAuthentication({ ...core, log: silentLogger });
});

afterAll(async () => {
  await core.stop();
  await database.drop();
});

async function prepared(agentId: string) {
  const agent = await enrolled(core, agentId);
  const offer = toBinary(
    HelloOfferSchema,
    create(HelloOfferSchema, {
      agentId,
      keyId: agent.key.keyId,
      incarnation: 1,
      bootId: newIdBytes(),
      protocolVersions: [1, 7],
      executionCredit: 1,
    }),
  );
  return { agent, offer, hello: create(HelloSchema, { offer }) };
}

test('a challenge is signed over the exact offer, and no two are the same', async () => {
  const { offer, hello } = await prepared('asks');
  const [one, two] = [authentication.challenge(hello), authentication.challenge(hello)];
  expect(one.terms.nonce).toHaveLength(32);
  expect(one.terms.nonce).not.toEqual(two.terms.nonce);
  expect(one.terms.protocolVersion).toBe(1);
  const { terms, signature, keyId } = one.message;
  expect(keyId).toBe(core.serverKey.keyId);
  expect(verifyBytes(core.serverKey.publicKey, challengeInput(offer, terms), signature)).toBe(true);
  expect(Number(fromBinary(ChallengeTermsSchema, terms).serverTime?.seconds)).toBe(
    Math.floor(core.clock.now() / 1000),
  );
});

test('the right proof is believed until the challenge expires, and no longer', async () => {
  const { agent, offer, hello } = await prepared('proves');
  const challenge = authentication.challenge(hello);
  const proof = proofOf(agent.key, offer, challenge.message);
  core.clock.advance(30_000);
  await authentication.verify(challenge, proof);
  core.clock.advance(1);
  await expect(authentication.verify(challenge, proof)).rejects.toMatchObject({
    code: 'authentication_failed',
  });
});

test('a proof is good for its own challenge alone', async () => {
  const { agent, offer, hello } = await prepared('repeats');
  const [one, two] = [authentication.challenge(hello), authentication.challenge(hello)];
  await expect(authentication.verify(two, proofOf(agent.key, offer, one.message))).rejects.toMatchObject({
    code: 'authentication_failed',
  });
});

test('no single bit of what was signed may be changed', async () => {
  const { agent, offer, hello } = await prepared('exact');
  const challenge = authentication.challenge(hello);
  const proof = proofOf(agent.key, offer, challenge.message);
  const flipped = (bytes: Uint8Array) =>
    bytes.map((byte, index) => (index === bytes.length - 1 ? byte ^ 1 : byte));
  const { message } = challenge;
  const altered: Parameters<typeof authentication.verify>[] = [
    [{ ...challenge, offerBytes: flipped(offer) }, proof],
    [{ ...challenge, message: { ...message, terms: flipped(message.terms) } }, proof],
    [{ ...challenge, message: { ...message, signature: flipped(message.signature) } }, proof],
    [challenge, { ...proof, signature: flipped(proof.signature) }],
  ];
  for (const attempt of altered) {
    await expect(authentication.verify(...attempt)).rejects.toMatchObject({ code: 'authentication_failed' });
  }
  await authentication.verify(challenge, proof);
});

test('a statement that is none is a violation of the protocol', async () => {
  const { agent, offer, hello } = await prepared('mumbles');
  const challenge = authentication.challenge(hello);
  const proof = proofOf(agent.key, offer, challenge.message);
  for (const statement of [new Uint8Array(0), new Uint8Array([255, 255])]) {
    await expect(authentication.verify(challenge, { ...proof, statement })).rejects.toMatchObject({
      code: 'protocol_violation',
    });
  }
});
