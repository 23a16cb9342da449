import { afterAll, beforeAll, expect, test } from 'vitest';
import { agentIs, type Core } from '../../test/support/app-core.ts';
import { startFileCore } from '../../test/support/app-core-file.ts';
import { enrolled } from '../../test/support/fake-agent.ts';
import { newId } from '../lib/ids.ts';
import { silentLogger } from '../lib/logger.ts';
import type { SessionOpening } from '../storage/sessions.ts';
import { createPresence, type Presence } from './presence.ts';

let presence: Presence;

const { core } = await startFileCore();

beforeAll(async () => {
  presence = createPresence({ ...core, log: silentLogger });
});

afterAll(async () => {
  await presence.idle();
});

const opening = (agentId: string, incarnation = 1): SessionOpening => ({
  sessionId: newId(),
  agentId,
  incarnation,
  startedAt: new Date(core.clock.now()),
  transport: 'connect',
  remoteAddress: '127.0.0.1',
  tls: false,
  capabilities: ['exec'],
  software: 's',
  hostname: 'h',
  os: 'o',
  kernel: 'k',
  architecture: 'a',
  containerEngine: '',
  generation: 0,
  keysSince: new Date(0),
});

test('each session of an agent gets a higher epoch, also of many at once', async () => {
  await enrolled(core, 'epochs');
  const epochs = await Promise.all(
    Array.from({ length: 20 }, () => presence.open(opening('epochs')).then((opened) => opened?.epoch)),
  );
  expect(epochs.toSorted((a = 0, b = 0) => a - b)).toEqual(Array.from({ length: 20 }, (_, n) => n + 1));
});

test('a session of an older incarnation, or of nobody, gets none', async () => {
  await enrolled(core, 'older');
  await enrolled(core, 'older', { again: true });
  expect(await presence.open(opening('older', 1))).toBeUndefined();
  expect(await presence.open(opening('nobody'))).toBeUndefined();
  expect((await core.agents.get('older')).agent).toMatchObject({ status: 'offline', epoch: 0 });
});

test('the end of an older session does not make the newer one look gone, in whatever order it is written', async () => {
  await enrolled(core, 'order');
  const seenAt = new Date(core.clock.now());
  const first = (await presence.open(opening('order')))?.epoch ?? 0;
  const second = (await presence.open(opening('order')))?.epoch ?? 0;
  presence.changed({ agentId: 'order', epoch: first, presence: 'offline', seenAt });
  await presence.idle();
  expect((await core.agents.get('order')).agent.status).toBe('online');
  presence.changed({ agentId: 'order', epoch: second, presence: 'degraded', seenAt });
  presence.changed({ agentId: 'order', epoch: first, presence: 'offline', seenAt });
  await presence.idle();
  expect((await core.agents.get('order')).agent.status).toBe('degraded');
});

test('agents are found by every field, page by page', async () => {
  const ids = ['find-a', 'find-b', 'find-c', 'find-d', 'find-e'];
  for (const agentId of ids) await enrolled(core, agentId, { site: 'finder' });
  const seen: string[] = [];
  let token: string | undefined;
  do {
    const page = await core.agents.list({ site: 'finder' }, { size: 2, token });
    seen.push(...page.items.map(({ agentId }) => agentId));
    token = page.nextToken;
  } while (token !== undefined);
  expect(seen).toEqual(ids);
  const found = async (filter: Parameters<Core['agents']['list']>[0]) =>
    (await core.agents.list({ site: 'finder', ...filter }, { size: 10 })).items.map(({ agentId }) => agentId);
  await presence.open({ ...opening('find-b'), os: 'Plan 9', capabilities: ['docker'] });
  expect(await found({ status: 'online' })).toEqual(['find-b']);
  expect(await found({ os: 'Plan 9' })).toEqual(['find-b']);
  expect(await found({ capability: 'docker' })).toEqual(['find-b']);
  expect(await found({ labels: { rack: 'x' } })).toEqual([]);
  await core.agents.setMaintenance('find-b', true, 'new fan\0');
  expect(await found({ status: 'online' })).toEqual([]);
  expect(await found({ status: 'maintenance' })).toEqual(['find-b']);
  expect((await core.agents.get('find-b')).agent.statusReason).toBe('new fan\ufffd');
  await core.agents.setMaintenance('find-b', false, 'done');
  expect((await core.agents.get('find-b')).agent).toMatchObject({
    status: 'online',
    statusReason: undefined,
  });
});

test('what the database cannot look for is refused', async () => {
  for (const field of ['capability', 'os'])
    await expect(core.agents.list({ [field]: 'a\0b' }, { size: 10 })).rejects.toMatchObject({
      code: 'invalid_request',
      message: `filter.${field}: must be text without NUL`,
    });
});

test('what HELLO says of the machine is stored as far as it can be', async () => {
  const agent = await enrolled(core, 'odd-host');
  await agent.connect({ offer: { software: 'a\0', host: { hostname: '\0host', os: 'Linux' } } });
  await agentIs(core, 'odd-host', 'online');
  expect((await core.agents.get('odd-host')).agent).toMatchObject({
    hostname: '\ufffdhost',
    software: 'a\ufffd',
    os: 'Linux',
    connection: { transport: 'connect', remoteAddress: '127.0.0.1', tls: false },
  });
});

test('an agent that does not exist is named', async () => {
  const refusal = { code: 'agent_unknown', fields: [{ field: 'agentId' }] };
  await expect(core.agents.get('nobody')).rejects.toMatchObject(refusal);
  await expect(core.agents.setMaintenance('nobody', true, '')).rejects.toMatchObject(refusal);
});
