import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { beforeAll, expect, test } from 'vitest';
import {
  ChallengeTermsSchema,
  type ExecutionAccountSchema,
  HelloOfferSchema,
  HelloSchema,
} from '#gen/viworks/agent/v1/handshake_pb.js';
import { startFileCore } from '../../test/support/app-core-file.ts';
import { enrolled, proofOf } from '../../test/support/fake-agent.ts';
import { createMemoryNonceCache } from '../bus/nonces.ts';
import { ViworksError } from '../errors.ts';
import { newId, newIdBytes } from '../lib/ids.ts';
import { silentLogger } from '../lib/logger.ts';
import { verifyBytes } from '../protocol/keys.ts';
import { challengeInput } from '../protocol/signed.ts';
import {
  type AgentAuthentication,
  type AuthenticationDeps,
  createAgentAuthentication,
  type OpenChallenge,
} from './authentication.ts';

let authentication: AgentAuthentication;

const { core } = await startFileCore();

beforeAll(async () => {
  authentication = createAgentAuthentication({ ...core, log: silentLogger });
});

async function prepared(agentId: string, executions: MessageInitShape<typeof ExecutionAccountSchema>[] = []) {
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
      executions,
    }),
  );
  return { agent, offer, hello: create(HelloSchema, { offer }) };
}

test('a challenge is signed over the exact offer, and no two are the same', async () => {
  const { offer, hello } = await prepared('asks');
  const [one, two] = [await authentication.challenge(hello), await authentication.challenge(hello)];
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
  const challenge = await authentication.challenge(hello);
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
  const [one, two] = [await authentication.challenge(hello), await authentication.challenge(hello)];
  await expect(authentication.verify(two, proofOf(agent.key, offer, one.message))).rejects.toMatchObject({
    code: 'authentication_failed',
  });
});

test('no single bit of what was signed may be changed', async () => {
  const { agent, offer, hello } = await prepared('exact');
  const flipped = (bytes: Uint8Array) =>
    bytes.map((byte, index) => (index === bytes.length - 1 ? byte ^ 1 : byte));
  type Attempt = Parameters<typeof authentication.verify>;
  const alterations: ((...attempt: Attempt) => Attempt)[] = [
    (challenge, proof) => [{ ...challenge, offerBytes: flipped(offer) }, proof],
    (challenge, proof) => [altered(challenge, { terms: flipped(challenge.message.terms) }), proof],
    (challenge, proof) => [altered(challenge, { signature: flipped(challenge.message.signature) }), proof],
    (challenge, proof) => [challenge, { ...proof, signature: flipped(proof.signature) }],
  ];
  const altered = (challenge: OpenChallenge, part: Partial<OpenChallenge['message']>) => ({
    ...challenge,
    message: { ...challenge.message, ...part },
  });
  for (const alter of alterations) {
    const challenge = await authentication.challenge(hello);
    const attempt = alter(challenge, proofOf(agent.key, offer, challenge.message));
    await expect(authentication.verify(...attempt)).rejects.toMatchObject({ code: 'authentication_failed' });
  }
  const challenge = await authentication.challenge(hello);
  await authentication.verify(challenge, proofOf(agent.key, offer, challenge.message));
});

test('a challenge is good once, whether its proof was right or wrong', async () => {
  const { agent, offer, hello } = await prepared('once');
  const reasons: string[] = [];
  const strict = createAgentAuthentication({
    ...core,
    log: silentLogger,
    onRefused: (reason, { agentId }) => reasons.push(`${agentId}: ${reason}`),
  });
  const challenge = await strict.challenge(hello);
  const proof = proofOf(agent.key, offer, challenge.message);
  const wrong = { ...proof, signature: new Uint8Array(64) };
  const refused = { code: 'authentication_failed', message: 'The agent could not be authenticated.' };
  await expect(strict.verify(challenge, wrong)).rejects.toMatchObject(refused);
  await expect(strict.verify(challenge, proof)).rejects.toMatchObject(refused);
  expect(reasons).toEqual(['once: signature_wrong', 'once: challenge_used']);
});

test('a database that is away, or nonces that nobody can tell of, are no refusal', async () => {
  const { agent, offer, hello } = await prepared('unchecked');
  const away = () => Promise.reject(new ViworksError('database_unavailable', 'The database is away.'));
  const lost = () => Promise.reject(new ViworksError('unavailable', 'Redis is away.'));
  const refusals: string[] = [];
  const withDeps = (deps: Partial<AuthenticationDeps>) =>
    createAgentAuthentication({
      ...core,
      log: silentLogger,
      onRefused: (reason) => refusals.push(reason),
      ...deps,
    });
  const nonces = createMemoryNonceCache({ capacity: 10 }, core.clock);
  for (const [authentication, code] of [
    [withDeps({ database: { ...core.database, query: away } }), 'database_unavailable'],
    [withDeps({ nonces: { ...nonces, consume: lost } }), 'unavailable'],
  ] as const) {
    const challenge = await authentication.challenge(hello);
    const proof = proofOf(agent.key, offer, challenge.message);
    await expect(authentication.verify(challenge, proof)).rejects.toMatchObject({ code, retryable: true });
  }
  await expect(withDeps({ nonces: { ...nonces, issue: lost } }).challenge(hello)).rejects.toMatchObject({
    code: 'unavailable',
  });
  expect(refusals).toEqual([]);
});

test('a statement that is none is a violation of the protocol', async () => {
  const { agent, offer, hello } = await prepared('mumbles');
  const challenge = await authentication.challenge(hello);
  const proof = proofOf(agent.key, offer, challenge.message);
  for (const statement of [new Uint8Array(0), new Uint8Array([255, 255])]) {
    await expect(authentication.verify(challenge, { ...proof, statement })).rejects.toMatchObject({
      code: 'protocol_violation',
    });
  }
});

test('what an agent says it has is read after its proof, and must be right then', async () => {
  const lines = [{ executionId: newId(), attempt: 3, phase: 1 }];
  const known = await prepared('has', lines);
  const challenge = await authentication.challenge(known.hello);
  expect(challenge.offer.executions).toEqual([]);
  const proof = proofOf(known.agent.key, known.offer, challenge.message);
  expect((await authentication.verify(challenge, proof)).executions).toMatchObject(lines);

  const odd = await prepared('has-odd', [{ executionId: 'odd', attempt: 1, phase: 1 }]);
  const asked = await authentication.challenge(odd.hello);
  await expect(
    authentication.verify(asked, proofOf(odd.agent.key, odd.offer, asked.message)),
  ).rejects.toMatchObject({
    code: 'protocol_violation',
    fields: [{ field: 'hello.offer.executions[0].execution_id' }],
  });
});

test('offers of strangers, however long, take little time and a bounded room until their proof', async () => {
  const strict = createAgentAuthentication({ ...core, log: silentLogger });
  const lines = Array.from({ length: 5900 }, () => ({ executionId: newId(), attempt: 1, phase: 1 }));
  const { hello } = await prepared('strange', lines);
  const room = Math.floor((64 * 1024 * 1024) / hello.offer.byteLength);
  const before = performance.now();
  const challenges = [];
  for (let n = 0; n < room; n++) challenges.push(await strict.challenge(hello));
  // To read all that they say takes several times as long.
  expect((performance.now() - before) / room).toBeLessThan(8);
  const full = { code: 'unavailable', retryable: true, retryAfterMs: 1000 };
  await expect(strict.challenge(hello)).rejects.toMatchObject(full);
  const [first] = challenges;
  if (first !== undefined) strict.abandon(first);
  await strict.challenge(hello);
  await expect(strict.challenge(hello)).rejects.toMatchObject(full);
  for (const challenge of challenges) strict.abandon(challenge);
  await strict.challenge(hello);
});
