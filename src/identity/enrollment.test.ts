import { expect, test } from 'vitest';
import type { Core } from '../../test/support/app-core.ts';
import { startFileCore } from '../../test/support/app-core-file.ts';
import { enrolled, enrollRequest } from '../../test/support/fake-agent.ts';
import { generateKeyPair } from '../protocol/keys.ts';
import { statement } from '../storage/database.ts';

const { core } = await startFileCore();

async function tokenFor(spec: Partial<Parameters<Core['enrollment']['create']>[1]> = {}) {
  const given = { site: 'berlin', labels: {}, uses: 1, lifetimeMs: 60_000, ...spec };
  return (await core.enrollment.create('tester', given)).token;
}

const enroll = (token: string, agentId: string, key = generateKeyPair(), labels = {}) =>
  core.enrollment.enroll(enrollRequest(token, agentId, key, labels));

test('a token gives the identity that the agent asks for, at the token’s site, with the token’s labels on top', async () => {
  const token = await tokenFor({ labels: { rack: 'a1', owner: 'ops' } });
  const key = generateKeyPair();
  const answer = await enroll(token, 'fresh', key, { rack: 'mine', role: 'web' });
  expect(answer).toMatchObject({
    agentId: 'fresh',
    incarnation: 1,
    site: 'berlin',
    keyId: key.keyId,
    serverKeyId: core.serverKey.keyId,
  });
  const { agent } = await core.agents.get('fresh');
  expect(agent).toMatchObject({
    labels: { rack: 'a1', owner: 'ops', role: 'web' },
    status: 'offline',
    epoch: 0,
  });
});

test('the token itself is not stored', async () => {
  const token = await tokenFor();
  const rows = await core.database.query<{ row: string }>(
    statement('test_tokens', 'select t::text as row from enrollment_tokens t'),
    [],
  );
  expect(rows.length).toBeGreaterThan(0);
  const hex = Buffer.from(token).toString('hex');
  for (const { row } of rows) {
    expect(row).not.toContain(token);
    expect(row).not.toContain(hex);
  }
});

test('spent, expired, unknown and another one’s: all tokens that do not fit get one and the same answer', async () => {
  const spent = await tokenFor();
  await enroll(spent, 'spender');
  const expired = await tokenFor({ lifetimeMs: 1000 });
  core.clock.advance(1000);
  const bound = await tokenFor({ agentId: 'somebody' });
  const answers: unknown[] = [];
  for (const token of [spent, expired, bound, 'vwe_guess']) {
    const error = await enroll(token, 'refused').catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'enrollment_refused', fields: [{ field: 'token' }] });
    answers.push(error instanceof Error && error.message);
  }
  expect(new Set(answers).size).toBe(1);
  await expect(core.agents.get('refused')).rejects.toMatchObject({ code: 'agent_unknown' });
});

test('a token is used as often as it says, also by many at the same time', async () => {
  const token = await tokenFor({ uses: 3 });
  const settled = await Promise.allSettled(Array.from({ length: 10 }, (_, n) => enroll(token, `rush-${n}`)));
  expect(settled.filter(({ status }) => status === 'fulfilled')).toHaveLength(3);
  for (const one of settled) {
    if (one.status === 'rejected') expect(one.reason).toMatchObject({ code: 'enrollment_refused' });
  }
});

test('an enrolment that fails spends nothing', async () => {
  await enrolled(core, 'taken');
  const token = await tokenFor();
  await expect(enroll(token, 'taken')).rejects.toMatchObject({
    code: 'agent_exists',
    fields: [{ field: 'agent_id' }],
  });
  expect((await core.agents.get('taken')).agent.incarnation).toBe(1);
  await enroll(token, 'not-taken');
});

test('a token bound to the identity enrols it anew, as the next incarnation with another key', async () => {
  const first = await enrolled(core, 'reborn');
  const second = await enrolled(core, 'reborn', { again: true, site: 'munich' });
  expect([first.incarnation, second.incarnation]).toEqual([1, 2]);
  expect((await core.agents.get('reborn')).agent).toMatchObject({ site: 'munich', incarnation: 2 });
});

test('an agent that lost the answer to its enrolment gets the same one again, and spends nothing', async () => {
  const token = await tokenFor();
  const key = generateKeyPair();
  const first = await enroll(token, 'lost-answer', key);
  expect(await enroll(token, 'lost-answer', key)).toEqual(first);
  await expect(enroll(token, 'lost-answer')).rejects.toMatchObject({ code: 'enrollment_refused' });
});

test('a key belongs to one identity and one enrolment only', async () => {
  const { key } = await enrolled(core, 'key-owner');
  await expect(enroll(await tokenFor(), 'key-thief', key)).rejects.toMatchObject({
    code: 'agent_exists',
    fields: [{ field: 'public_key' }],
  });
  const bound = await tokenFor({ agentId: 'key-owner' });
  expect((await enroll(bound, 'key-owner', key)).incarnation).toBe(1);
  expect((await core.agents.get('key-owner')).agent.incarnation).toBe(1);
  await expect(core.agents.get('key-thief')).rejects.toMatchObject({ code: 'agent_unknown' });
});

test('whoever does not hold the private key, or was given the token for another name, is refused', async () => {
  const token = await tokenFor();
  const [own, other] = [generateKeyPair(), generateKeyPair()];
  const requests = [
    { ...enrollRequest(token, 'forger', own), publicKey: other.publicKey },
    { ...enrollRequest(token, 'forger', own), agentId: 'another' },
    { ...enrollRequest('other', 'forger', own), token },
    { ...enrollRequest(token, 'forger', own), signature: new Uint8Array(64) },
  ];
  for (const request of requests) {
    await expect(core.enrollment.enroll(request)).rejects.toMatchObject({
      code: 'enrollment_refused',
      fields: [{ field: 'signature' }],
    });
  }
  await enroll(token, 'forger', own);
});

test.each([
  ['a name with capitals', { agentId: 'Web' }, 'agent_id'],
  ['a key of the wrong length', { publicKey: new Uint8Array(31) }, 'public_key'],
  ['no token', { token: '' }, 'token'],
  ['a label of the wrong form', { labels: { 'A B': 'x' } }, 'labels'],
  ['NUL in a label', { labels: { rack: 'a\0' } }, 'labels.rack'],
])('%s is refused by the name of its field', async (_, part, field) => {
  const request = { ...enrollRequest('vwe_x', 'formal', generateKeyPair()), ...part };
  await expect(core.enrollment.enroll(request)).rejects.toMatchObject({
    code: 'invalid_request',
    message: expect.stringContaining(field),
  });
});
