import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { durationFromMs } from '@bufbuild/protobuf/wkt';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { RequestEnrollmentRequestSchema } from '#gen/viworks/agent/v1/agent_service_pb.js';
import { executionIn, submitTo } from '../../test/support/app-core.ts';
import { startFileCore } from '../../test/support/app-core-file.ts';
import { enrolled } from '../../test/support/fake-agent.ts';
import { silentLogger } from '../lib/logger.ts';
import { generateKeyPair, type KeyPair, signBytes } from '../protocol/keys.ts';
import { enrollRequestInput } from '../protocol/signed.ts';
import { createEnrollmentRequests, type EnrollmentRequests } from './enrollment-requests.ts';

let requests: EnrollmentRequests;

const { core } = await startFileCore();

beforeAll(async () => {
  requests = createEnrollmentRequests({ ...core, log: silentLogger, enabled: true });
});

afterAll(async () => {
  requests.stop();
});

const never = new AbortController().signal;

function requestOf(
  agentId: string,
  key: KeyPair,
  change: MessageInitShape<typeof RequestEnrollmentRequestSchema> = {},
) {
  return create(RequestEnrollmentRequestSchema, {
    agentId,
    publicKey: key.publicKey,
    signature: signBytes(key, enrollRequestInput(agentId, key.publicKey)),
    ...change,
  });
}

const ask = (agentId: string, key: KeyPair, address = agentId) =>
  requests.ask(requestOf(agentId, key), address, never);

async function requestFor(agentId: string) {
  const { items } = await requests.listRequests({ all: true }, { size: 1000 });
  const found = items.find((request) => request.agentId === agentId);
  if (found === undefined) throw new Error(`${agentId} has not asked`);
  return found;
}

const approval = (key: KeyPair) => ({ fingerprint: key.keyId, site: 'berlin', labels: {}, again: false });

test('who asks waits until it is approved, and is told its identity as often as it asks', async () => {
  const key = generateKeyPair();
  expect(await ask('patient', key)).toMatchObject({ state: 'pending' });
  const waiting = requests.ask(requestOf('patient', key, { wait: durationFromMs(20_000) }), 'patient', never);
  const { requestId } = await requestFor('patient');
  const approved = await requests.approve('ada', requestId, { ...approval(key), labels: { role: 'web' } });
  expect(approved).toMatchObject({ state: 'approved', decidedBy: 'ada' });
  const answer = { agentId: 'patient', incarnation: 1, site: 'berlin', keyId: key.keyId };
  expect(await waiting).toMatchObject({ state: 'enrolled', enrolled: answer });
  expect(await ask('patient', key)).toMatchObject({ state: 'enrolled', enrolled: answer });
  expect((await core.agents.get('patient')).agent.labels).toEqual({ role: 'web' });
});

test('a refusal tells why, and holds for a day', async () => {
  const key = generateKeyPair();
  await ask('refused', key);
  const { requestId } = await requestFor('refused');
  await requests.reject('ada', requestId, 'not ours');
  expect(await ask('refused', key)).toEqual({ state: 'rejected', reason: 'not ours' });
  await expect(requests.approve('ada', requestId, approval(key))).rejects.toMatchObject({
    code: 'enrollment_state',
  });
  core.clock.advance(24 * 3_600_000);
  expect(await ask('refused', key)).toMatchObject({ state: 'pending' });
});

test('an approval is of one key: another fingerprint approves nothing', async () => {
  const key = generateKeyPair();
  await ask('compared', key);
  const { requestId } = await requestFor('compared');
  for (const fingerprint of ['', key.keyId.slice(0, 8), generateKeyPair().keyId]) {
    await expect(requests.approve('ada', requestId, { ...approval(key), fingerprint })).rejects.toMatchObject(
      {
        code: 'invalid_request',
        fields: [{ field: 'fingerprint' }],
      },
    );
  }
  await expect(core.agents.get('compared')).rejects.toMatchObject({ code: 'agent_unknown' });
  const dashed = key.keyId.toUpperCase().replace(/(.{4})(?=.)/g, '$1-');
  await requests.approve('ada', requestId, { ...approval(key), fingerprint: dashed });
});

test('a name that exists is enrolled anew only where the operator says so, and its queue is cancelled then', async () => {
  await enrolled(core, 'exists');
  const { commandId } = await submitTo(core, 'exists');
  const key = generateKeyPair();
  await ask('exists', key);
  const { requestId, agentExists } = await requestFor('exists');
  expect(agentExists).toBe(true);
  await expect(requests.approve('ada', requestId, approval(key))).rejects.toMatchObject({
    code: 'agent_exists',
    message: expect.stringContaining('--again'),
  });
  // Nothing of the attempt is left.
  expect(await requestFor('exists')).toMatchObject({ state: 'pending' });
  await requests.approve('ada', requestId, { ...approval(key), again: true });
  expect(await ask('exists', key)).toMatchObject({ state: 'enrolled', enrolled: { incarnation: 2 } });
  await executionIn(core.engine, commandId, 'cancelled');
});

test('a request for another name is another request, which nobody approves by the old one’s id', async () => {
  const key = generateKeyPair();
  await ask('harmless', key);
  const { requestId } = await requestFor('harmless');
  await ask('important', key);
  await expect(requests.approve('ada', requestId, approval(key))).rejects.toMatchObject({
    code: 'enrollment_unknown',
  });
});

test('of two operators who decide at the same moment one is told that it is decided', async () => {
  const key = generateKeyPair();
  await ask('disputed', key);
  const { requestId } = await requestFor('disputed');
  const settled = await Promise.allSettled([
    requests.approve('ada', requestId, approval(key)),
    requests.reject('bob', requestId, ''),
  ]);
  expect(settled.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
});

test('one address cannot fill the list', async () => {
  const answers = [];
  for (let n = 0; n < 21; n++)
    answers.push(await ask(`flood-${n}`, generateKeyPair(), '192.0.2.1').catch((error) => error));
  expect(answers.filter(({ state }) => state === 'pending')).toHaveLength(20);
  expect(answers.at(-1)).toMatchObject({ code: 'rate_limited', retryAfterMs: 60_000 });
  expect(await ask('elsewhere', generateKeyPair(), '192.0.2.2')).toMatchObject({ state: 'pending' });
  // Who does not ask any more makes room.
  core.clock.advance(24 * 3_600_000);
  expect(await ask('flood-21', generateKeyPair(), '192.0.2.1')).toMatchObject({ state: 'pending' });
});

test('whoever does not hold the key asks for nothing, and where it is off nobody does', async () => {
  const key = generateKeyPair();
  const forged = requestOf('forged', key, { publicKey: generateKeyPair().publicKey });
  const renamed = { ...requestOf('forged', key), agentId: 'renamed' };
  for (const request of [forged, renamed]) {
    await expect(requests.ask(request, 'x', never)).rejects.toMatchObject({ code: 'enrollment_refused' });
  }
  const off = createEnrollmentRequests({ ...core, log: silentLogger, enabled: false });
  await expect(off.ask(requestOf('off', key), 'x', never)).rejects.toMatchObject({
    code: 'enrollment_requests_off',
  });
});

test('a stop answers all that wait', async () => {
  const stopping = createEnrollmentRequests({ ...core, log: silentLogger, enabled: true });
  const key = generateKeyPair();
  await stopping.ask(requestOf('stopped', key), 'x', never);
  const waiting = stopping.ask(requestOf('stopped', key, { wait: durationFromMs(20_000) }), 'x', never);
  await core.agents.list({}, { size: 1 });
  stopping.stop();
  expect(await waiting).toMatchObject({ state: 'pending' });
});
