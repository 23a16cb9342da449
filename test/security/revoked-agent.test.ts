import { expect, test } from 'vitest';
import { agentIs, executionIn, submitTo } from '../support/app-core.ts';
import { startFileCore } from '../support/app-core-file.ts';
import { connected, enrolled } from '../support/fake-agent.ts';

/** A key that was stolen or lost is refused from the moment that an operator says so. */

const { core } = await startFileCore();

test('a revoked agent’s session ends, its key is refused, and what waited for it is cancelled with the reason', async () => {
  const agent = await enrolled(core, 'stolen');
  const session = await agent.connect({ offer: { executionCredit: 1 } });
  const sent = await submitTo(core, 'stolen');
  await session.order();
  const queued = await submitTo(core, 'stolen');
  const revoked = await core.agents.revoke('ada', 'stolen', 'the laptop was stolen');
  expect(revoked).toMatchObject({
    status: 'revoked',
    statusReason: 'the laptop was stolen',
    keyId: undefined,
  });
  expect((await session.closed)?.code).toBe('agent_barred');
  const cancelled = await executionIn(core.engine, queued.commandId, 'cancelled');
  expect(cancelled.transitions.at(-1)?.cause).toBe('the agent was revoked: the laptop was stolen');
  await executionIn(core.engine, sent.commandId, 'outcome_unknown');
  await expect(agent.connect()).rejects.toThrow(/authentication_failed/);
  await agentIs(core, 'stolen', 'revoked');
});

test('nobody sends anything to a revoked agent', async () => {
  const { agent } = await connected(core, 'gone');
  await core.agents.revoke('ada', 'gone', '');
  await expect(submitTo(core, 'gone')).rejects.toMatchObject({ code: 'agent_unknown' });
  const site = `site-of-${agent.agentId}`;
  await expect(submitTo(core, '', { target: { site } })).rejects.toMatchObject({ code: 'no_target' });
  await expect(
    core.engine.plan({ verb: 'exec', args: { argv: ['true'] }, target: { agents: ['gone'] } }),
  ).rejects.toMatchObject({ code: 'agent_unknown' });
});

test('revoking again changes nothing, and neither maintenance nor a release brings the agent back', async () => {
  const agent = await enrolled(core, 'twice');
  const once = await core.agents.revoke('ada', 'twice', 'first');
  expect(await core.agents.revoke('bob', 'twice', 'second')).toEqual(once);
  await expect(core.agents.setMaintenance('twice', true, 'x')).rejects.toMatchObject({ code: 'agent_state' });
  expect((await core.agents.get('twice')).agent.status).toBe('revoked');
  expect((await core.agents.release('bob', 'twice')).status).toBe('revoked');
  await expect(core.agents.rotateKey('bob', 'twice')).rejects.toMatchObject({ code: 'agent_state' });
  await expect(agent.connect()).rejects.toThrow(/authentication_failed/);
});

test('a token bound to the identity enrols it anew, and the old key stays refused', async () => {
  const agent = await enrolled(core, 'again');
  await core.agents.revoke('ada', 'again', '');
  const next = await enrolled(core, 'again', { again: true });
  expect(next.incarnation).toBe(3);
  await next.connect();
  await agentIs(core, 'again', 'online');
  await expect(agent.connect()).rejects.toThrow(/authentication_failed/);
  await expect({ ...agent, incarnation: 3 }.connect()).rejects.toThrow(/authentication_failed/);
});

test('only a revoked agent is removed, and its name is free then', async () => {
  await enrolled(core, 'old');
  await expect(core.agents.remove('ada', 'old')).rejects.toMatchObject({ code: 'agent_state' });
  await core.agents.revoke('ada', 'old', '');
  await core.agents.remove('ada', 'old');
  await expect(core.agents.get('old')).rejects.toMatchObject({ code: 'agent_unknown' });
  await expect(core.agents.remove('ada', 'old')).rejects.toMatchObject({ code: 'agent_unknown' });
  expect((await enrolled(core, 'old')).incarnation).toBe(1);
});
