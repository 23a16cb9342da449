import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { expect, onTestFinished, test } from 'vitest';
import { EnvelopeSchema } from '#gen/viworks/agent/v1/envelope_pb.js';
import { HeartbeatSchema } from '#gen/viworks/agent/v1/flow_pb.js';
import {
  type Challenge,
  type ChallengeTerms,
  ChallengeTermsSchema,
  type Hello,
  type HelloOffer,
  HelloOfferSchema,
  type Proof,
  type ProofStatement,
  ProofStatementSchema,
} from '#gen/viworks/agent/v1/handshake_pb.js';
import { newEphemeral } from '../../src/protocol/sealing/primitives.ts';
import { executionIn, submitTo } from '../support/app-core.ts';
import { startFileCore } from '../support/app-core-file.ts';
import { ownCore } from '../support/app-core-own.ts';
import { enrolled } from '../support/fake-agent.ts';
import { bare, frameOf, startWatchedAgent, type Tamper } from '../support/watched-agent.ts';

/** Somebody on the way strips or alters what the two ends agree on, to get a weaker session than both want. */

let refusals: string[] = [];

const indistinct = { code: 'authentication_failed', message: 'The agent could not be authenticated.' };

const { core } = await startFileCore({
  authentication: {
    onRefused: (reason, { agentId, address }) => refusals.push(`${agentId} at ${address}: ${reason}`),
  },
});

type Handshake = { hello: Hello; challenge: Challenge; proof: Proof };

/** Changes the envelopes of a kind, and lets all others pass. */
function altering<K extends keyof Handshake>(
  kind: K,
  alter: (value: Handshake[K]) => Partial<Handshake[K]>,
): Tamper {
  return (message) => {
    const { body } = message;
    if (body.case === kind) Object.assign(body.value, alter(body.value as Handshake[K]));
    return [message];
  };
}

const offer = (change: (offer: HelloOffer) => Partial<HelloOffer>): { up: Tamper } => ({
  up: altering('hello', (hello) => {
    const parsed = fromBinary(HelloOfferSchema, hello.offer);
    Object.assign(parsed, change(parsed));
    return { offer: toBinary(HelloOfferSchema, parsed) };
  }),
});
const terms = (change: (terms: ChallengeTerms) => Partial<ChallengeTerms>): { down: Tamper } => ({
  down: altering('challenge', (challenge) => {
    const parsed = fromBinary(ChallengeTermsSchema, challenge.terms);
    Object.assign(parsed, change(parsed));
    return { terms: toBinary(ChallengeTermsSchema, parsed) };
  }),
});
const statement = (change: (statement: ProofStatement) => Partial<ProofStatement>): { up: Tamper } => ({
  up: altering('proof', (proof) => {
    const parsed = fromBinary(ProofStatementSchema, proof.statement);
    Object.assign(parsed, change(parsed));
    return { statement: toBinary(ProofStatementSchema, parsed) };
  }),
});
const turned = (bytes: Uint8Array) => bytes.map((byte, index) => (index === 0 ? byte ^ 1 : byte));
const other = new Uint8Array(newEphemeral().publicKey);

/** The agent refuses to go on: it has not proven anything, and there is no session. */
const seenByAgent: [string, { up?: Tamper; down?: Tamper }][] = [
  ['the agent’s ephemeral key is stripped', offer(() => ({ ephemeralKey: new Uint8Array(0) }))],
  ['the agent’s ephemeral key is another', offer(() => ({ ephemeralKey: other }))],
  ['the incarnation is another', offer((said) => ({ incarnation: said.incarnation + 1 }))],
  ['the boot id is another', offer((said) => ({ bootId: turned(said.bootId) }))],
  ['versions are added', offer((said) => ({ protocolVersions: [...said.protocolVersions, 7] }))],
  ['the transports are stripped', offer(() => ({ transports: [] }))],
  ['the capabilities are stripped', offer(() => ({ capabilities: [] }))],
  ['the host is stripped', offer(() => ({ host: undefined }))],
  ['the software is another', offer(() => ({ software: 'other/1' }))],
  ['the credit is another', offer(() => ({ executionCredit: 1 }))],
  ['the nonce is another', terms((said) => ({ nonce: turned(said.nonce) }))],
  ['the server’s time is another', terms(() => ({ serverTime: undefined }))],
  ['the version is another', terms(() => ({ protocolVersion: 7 }))],
  ['the server’s ephemeral key is stripped', terms(() => ({ ephemeralKey: new Uint8Array(0) }))],
  ['the server’s ephemeral key is another', terms(() => ({ ephemeralKey: other }))],
  [
    'the server’s signature is another',
    { down: altering('challenge', (said) => ({ signature: turned(said.signature) })) },
  ],
  ['the server’s key is another', { down: altering('challenge', () => ({ keyId: 'ab'.repeat(16) })) }],
];

test.each(seenByAgent)('%s: the agent believes nothing', async (what, tamper) => {
  const name = `down-${what.replaceAll(/[^a-z]+/g, '-')}`;
  const before = await core.count('sessions');
  const agent = await startWatchedAgent(core, name, tamper);
  const { error } = await agent.state('waiting');
  expect(error).toMatchObject({ code: 'authentication_failed' });
  expect(agent.sent.map(({ body }) => body.case)).toEqual(['hello', 'error']);
  // What it says to whoever that is tells nothing of what it checks.
  expect(agent.sent[1]?.body.value).toMatchObject({ message: 'The server could not be authenticated.' });
  expect(await core.count('sessions')).toBe(before);
});

test.each<[string, { up: Tamper }, string]>([
  [
    'the agent’s time is another',
    statement((said) => ({ agentTime: { ...said.agentTime, seconds: 1n } as never })),
    'signature_wrong',
  ],
  ['an exporter is added', statement(() => ({ tlsExporter: new Uint8Array(32) })), 'signature_wrong'],
  [
    'the agent’s signature is another',
    { up: altering('proof', (said) => ({ signature: turned(said.signature) })) },
    'signature_wrong',
  ],
  [
    'the confirmation is another',
    { up: altering('proof', (said) => ({ confirmation: turned(said.confirmation) })) },
    'confirmation_wrong',
  ],
  [
    'the confirmation is stripped',
    { up: altering('proof', () => ({ confirmation: new Uint8Array(0) })) },
    'confirmation_wrong',
  ],
])('%s: the server refuses with the one error there is', async (what, tamper, reason) => {
  const name = `up-${what.replaceAll(/[^a-z]+/g, '-')}`;
  refusals = [];
  const agent = await startWatchedAgent(core, name, tamper);
  expect((await agent.state('waiting')).error).toMatchObject(indistinct);
  expect(refusals).toContain(`${name} at 127.0.0.1: ${reason}`);
});

test('the name or the key of another agent gets the same error', async () => {
  const as = await enrolled(core, 'honest');
  refusals = [];
  for (const wrong of [
    { ...as, incarnation: 2 },
    { ...as, key: (await enrolled(core, 'another')).key },
  ]) {
    const agent = await startWatchedAgent(core, 'honest', { as: wrong });
    expect((await agent.state('waiting')).error).toMatchObject(indistinct);
  }
  expect(refusals).toEqual(Array(2).fill('honest at 127.0.0.1: key_unknown'));
});

test('a WELCOME in the open, where both agreed to seal, is not believed', async () => {
  const agent = await startWatchedAgent(core, 'open-welcome', {
    down: (message) =>
      frameOf(message)?.counter === 1n
        ? [bare({ case: 'welcome', value: { epoch: 1n } as never })]
        : [message],
  });
  expect((await agent.state('waiting')).error).toMatchObject({ code: 'protocol_violation' });
});

test('an open envelope in a sealed session ends it, on either side', async () => {
  const open = create(EnvelopeSchema, { body: { case: 'heartbeat', value: create(HeartbeatSchema) } });
  const injected = await startWatchedAgent(core, 'injected');
  await injected.state('open');
  injected.inject(open);
  expect((await injected.state('waiting')).error).toMatchObject({ code: 'protocol_violation' });
  const told = await startWatchedAgent(core, 'told', {
    down: (message) => (frameOf(message)?.counter === 2n ? [open] : [message]),
  });
  await told.state('open');
  await submitTo(core, 'told');
  expect((await told.state('waiting')).error).toMatchObject({ code: 'protocol_violation' });
});

test('a server that requires sealing refuses an agent that does not seal, as it refuses any', async () => {
  const { start } = await ownCore({ authentication: { sealing: 'required' } });
  const strict = await start();
  const old = await startWatchedAgent(strict, 'old', { sealing: 'off' });
  expect((await old.state('waiting')).error).toMatchObject(indistinct);
  const current = await startWatchedAgent(strict, 'current');
  await current.state('open');
});

test('an agent that requires sealing has no session with a server that does not seal', async () => {
  const { start } = await ownCore({ authentication: { sealing: 'off' } });
  const lax = await start();
  const strict = await startWatchedAgent(lax, 'strict', { sealing: 'required' });
  expect((await strict.state('waiting')).error).toMatchObject({ code: 'authentication_failed' });
  expect(strict.sent.map(({ body }) => body.case)).toEqual(['hello', 'error']);
  const either = await startWatchedAgent(lax, 'either');
  await either.state('open');
  const { commandId } = await submitTo(lax, 'either');
  await executionIn(lax.engine, commandId, 'succeeded');
  onTestFinished(() => either.agent.stop(0));
});
