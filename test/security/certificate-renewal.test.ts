import { afterAll, beforeAll, expect, test } from 'vitest';
import { createConnectDialer } from '../../src/agent/transport/connect.ts';
import { challengeRenewal, enroll, renewCertificate } from '../../src/agent/transport/enroll.ts';
import { newTlsKey, writeRequest } from '../../src/protocol/certificates/x509.ts';
import { generateKeyPair, signBytes } from '../../src/protocol/keys.ts';
import { renewCertificateInput } from '../../src/protocol/signed.ts';
import { type Core, createTestClock, startCore } from '../support/app-core.ts';
import { certificatesOf, issuedBy, pinsOf, showing } from '../support/certificates.ts';
import { enrolled, enrollRequest } from '../support/fake-agent.ts';
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts';
import { eventually, tlsAgent } from '../support/tls-agent.ts';

/** Certificates are short-lived, and agents renew them: in the session, and by another way that is as strong. */

let database: TestDatabase;
let core: Core;

beforeAll(async () => {
  database = await createTestDatabase();
  core = await startCore(database.url, { certificates: { clientCertificates: 'required' } });
});

afterAll(async () => {
  await core.stop();
  await database.drop();
});

const dayMs = 86_400_000;

test('an agent that enrols has its certificate with its first connection, and renews it in the session', async () => {
  const agent = await tlsAgent(core, 'renews');
  await agent.start();
  await agent.opened();
  const first = agent.store.certificate?.notAfter ?? 0;
  expect(first).toBeGreaterThan(core.clock.now());
  await agent.stop();
  // Two thirds of its life are over: the next session asks for another one at once, with another key.
  core.clock.advance(dayMs * 0.7);
  await agent.start();
  await agent.opened();
  await eventually(() => (agent.store.certificate?.notAfter ?? 0) > first);
  expect(agent.states.filter(({ name }) => name === 'waiting')).toEqual([]);
  const { items } = await certificatesOf(core).list({ agentId: 'renews' }, { size: 10 });
  expect(items.map(({ issuedTo }) => issuedTo)).toEqual(['agent:renews', 'agent:renews']);
});

test('one whose certificate ran out while it was off comes back by the key of its identity', async () => {
  const agent = await tlsAgent(core, 'slept');
  core.clock.advance(dayMs * 3);
  await agent.start();
  await agent.opened();
  expect(agent.store.certificate?.notAfter).toBeGreaterThan(core.clock.now());
  expect(agent.states.filter(({ name }) => name === 'waiting')).toEqual([]);
});

test.for([25, -25])(
  'an agent whose clock is %i hours off shows its certificate all the same',
  async (hours) => {
    const clock = createTestClock(core.clock.now() + hours * 3_600_000);
    const agent = await tlsAgent(core, `clock-${hours > 0 ? 'ahead' : 'behind'}`, clock);
    await agent.start();
    await agent.opened();
    await agent.stop();
    await agent.start();
    await agent.opened();
    expect(agent.states.filter(({ name }) => name === 'waiting')).toEqual([]);
  },
);

test('the way back needs the key of the identity, a fresh challenge and good standing', async () => {
  const agent = await enrolled(core, 'asks');
  const dial = { url: core.url, tls: await showing(core) };
  const signal = AbortSignal.timeout(10_000);
  const ask = async (key = agent.key, given?: Uint8Array, incarnation = agent.incarnation) => {
    const nonce = given ?? (await challengeRenewal(dial, signal));
    const request = writeRequest(newTlsKey());
    const { agentId } = agent;
    const input = renewCertificateInput(agentId, incarnation, nonce, request);
    const signature = signBytes(key, input);
    const named = { agentId, incarnation, keyId: agent.key.keyId, nonce, request, signature };
    await renewCertificate(dial, named, signal);
    return nonce;
  };
  const used = await ask();
  const refused = { code: 'authentication_failed', message: 'The agent could not be authenticated.' };
  await expect(ask(agent.key, used)).rejects.toMatchObject(refused);
  await expect(ask(agent.key, new Uint8Array(32))).rejects.toMatchObject(refused);
  await expect(ask(generateKeyPair())).rejects.toMatchObject(refused);
  await expect(ask(agent.key, undefined, 2)).rejects.toMatchObject(refused);
  const next = await enrolled(core, 'asks', { again: true });
  await expect(ask()).rejects.toMatchObject(refused);
  expect(next.incarnation).toBe(2);
  await core.agents.revoke('ada', 'asks', 'stolen');
  await expect(ask(next.key, undefined, 2)).rejects.toMatchObject(refused);
});

test('what is no request for a key of its sender is refused in the session, which goes on', async () => {
  const agent = await enrolled(core, 'asks-wrongly');
  const session = await agent.connect({ tls: await showing(core, await issuedBy(core, agent)) });
  const request = writeRequest(newTlsKey());
  const damaged = Uint8Array.from(request, (byte, index) => (index === request.length - 1 ? byte ^ 1 : byte));
  for (const wrong of [damaged, new Uint8Array([1, 2, 3])]) {
    session.send({ case: 'certificateRequest', value: { request: wrong } });
    expect(await session.next('error')).toMatchObject({ code: 'invalid_request', fatal: false });
  }
  session.send({ case: 'certificateRequest', value: { request } });
  expect((await session.next('agentCertificate')).certificates).toHaveLength(1);
  for (let sent = 0; sent < 10; sent += 1)
    session.send({ case: 'certificateRequest', value: { request: writeRequest(newTlsKey()) } });
  expect(await session.next('error')).toMatchObject({ code: 'rate_limited', fatal: false });
  await session.beat();
});

test('an enrolment does not take a request that somebody else put in', async () => {
  const { token } = await core.enrollment.create('test', {
    site: 's',
    labels: {},
    uses: 2,
    lifetimeMs: 60_000,
  });
  const key = generateKeyPair();
  const request = enrollRequest(token, 'swapped', key);
  request.certificateRequest = writeRequest(newTlsKey());
  request.certificateSignature = new Uint8Array(64);
  const to = { url: core.url, tls: { pins: await pinsOf(core) } };
  await expect(enroll(to, request, AbortSignal.timeout(10_000))).rejects.toMatchObject({
    message: expect.stringMatching(/^certificate_signature:/),
  });
});

test('a session lives through a new certificate of the server', async () => {
  const agent = await tlsAgent(core, 'stays');
  await agent.start();
  await agent.opened();
  const before = (await certificatesOf(core).status()).serverCertificate?.serial;
  await certificatesOf(core).rotatePins('ada', true);
  expect((await certificatesOf(core).status()).serverCertificate?.serial).not.toBe(before);
  const dialer = createConnectDialer({ url: core.url, tls: await showing(core) });
  const closed = { onEnvelope() {}, onClose() {} };
  (await dialer.dial(closed, AbortSignal.timeout(10_000))).destroy();
  expect(agent.states.filter(({ name }) => name === 'open')).toHaveLength(1);
  expect(agent.states.at(-1)?.name).toBe('open');
});
