import { expect, test } from 'vitest';
import { type Core, createTestClock } from '../../test/support/app-core.ts';
import { ownCore } from '../../test/support/app-core-own.ts';
import { connected } from '../../test/support/fake-agent.ts';
import { createSecretBox } from '../identity/secret-box.ts';
import { createServiceTokens } from '../identity/service-tokens.ts';
import { silentLogger } from '../lib/logger.ts';
import { createForgetting } from './forgetting.ts';

const log = silentLogger;
const day = 86_400_000;
const forgettingIn = (days: number, { database, ...core }: Core) =>
  createForgetting({ database, clock: { now: () => core.clock.now() + days * day }, log });

test('tokens that expired or were revoked are forgotten a month later, and no others', async () => {
  const core = await (await ownCore()).start();
  const { enrollment, clock, database } = core;
  const secret = createSecretBox(new Uint8Array(32), 'test');
  const services = createServiceTokens({
    database,
    secret,
    clock: createTestClock(clock.now()),
    log,
    audit: core.audit.trail,
  });
  const spec = { site: 'berlin', labels: {}, uses: 1 };
  await enrollment.create('ada', { ...spec, lifetimeMs: day });
  const { tokenId } = await enrollment.create('ada', { ...spec, lifetimeMs: 60 * day });
  const make = (name: string, lifetimeMs?: number) =>
    services.create('ada', { name, role: 'viewer', scope: undefined, lifetimeMs });
  const [revoked, , endless] = await Promise.all([make('revoked'), make('short', day), make('endless')]);
  await services.revoke('ada', revoked.details.tokenId);
  const left = async () => {
    const enrolling = await enrollment.listTokens({ all: true }, { size: 10 });
    const calling = await services.list({ withRevoked: true }, { size: 10 });
    return [...enrolling.items, ...calling.items].map((token) => token.tokenId);
  };
  expect(await forgettingIn(29, core).clean()).toBe(0);
  expect(await left()).toHaveLength(5);
  expect(await forgettingIn(32, core).clean()).toBe(3);
  expect(await left()).toEqual([tokenId, endless.details.tokenId]);
});

test('sessions that ended are forgotten a month later; those that are open stay', async () => {
  const core = await (await ownCore()).start();
  const { session } = await connected(core, 'came-and-went');
  await connected(core, 'stays');
  session.close();
  await expect.poll(async () => (await core.agents.get('came-and-went')).agent.status).toBe('offline');
  expect(await core.count('sessions')).toBe(2);
  // With the tokens that both enrolled with.
  expect(await forgettingIn(31, core).clean()).toBe(3);
  expect(await core.count('sessions')).toBe(1);
});
