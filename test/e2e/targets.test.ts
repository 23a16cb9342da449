import { beforeAll, expect, test } from 'vitest';
import type { SubmitInput, Target } from '../../src/commands/types.ts';
import { executionIn } from '../support/app-core.ts';
import { startFileCore } from '../support/app-core-file.ts';
import { enrolled, type FakeSession } from '../support/fake-agent.ts';

/** Which agents a command goes to, and the dry run that says so beforehand. */

const { core } = await startFileCore();

beforeAll(async () => {
  for (const agentId of ['berlin-1', 'berlin-2', 'berlin-3'])
    await enrolled(core, agentId, { site: 'berlin' });
});

const input = (target: Target, more: Partial<SubmitInput> = {}): SubmitInput => ({
  verb: 'exec',
  args: { argv: ['true'] },
  target,
  ...more,
});
const submit = (target: Target, more?: Partial<SubmitInput>) =>
  core.engine.submit('tester', input(target, more));
const plan = (target: Target, more?: Partial<SubmitInput>) => core.engine.plan(input(target, more));

/** An agent for which nobody looks whether something waits: it was looked at when it came, and has done a command since. */
async function connectIdle(agentId: string, site: string): Promise<FakeSession> {
  const session = await (await enrolled(core, agentId, { site })).connect();
  const { commandId } = await submit({ agents: [agentId] });
  session.result(await session.order());
  await executionIn(core.engine, commandId, 'succeeded');
  return session;
}

async function agentsOf(commandId: string) {
  const { executions } = await core.engine.get(commandId, { size: 1000, token: undefined });
  return executions.items.map((execution) => execution.agentId);
}

test('a selector is resolved when the command is submitted, and what it found is stored', async () => {
  const command = await submit({ selector: { sites: ['berlin'] } });
  await enrolled(core, 'berlin-late', { site: 'berlin' });
  expect(await agentsOf(command.commandId)).toEqual(['berlin-1', 'berlin-2', 'berlin-3']);
  const read = await core.engine.get(command.commandId, { size: 1, token: undefined });
  expect(read.command.target).toEqual({ selector: { sites: ['berlin'] } });
});

test('of a selector, what cannot do the verb is left out and counted; of named agents, it is refused', async () => {
  const able = await enrolled(core, 'mixed-1', { site: 'mixed' });
  const unable = await enrolled(core, 'mixed-2', { site: 'mixed' });
  await able.connect({ offer: { capabilities: ['exec', 'docker'] } });
  await unable.connect({ offer: { capabilities: ['exec'] } });
  const docker = { verb: 'docker.ps', args: {} };
  const command = await submit({ site: 'mixed' }, docker);
  expect(command.skipped).toBe(1);
  expect(await agentsOf(command.commandId)).toEqual(['mixed-1']);
  await expect(submit({ agents: ['mixed-1', 'mixed-2'] }, docker)).rejects.toMatchObject({
    code: 'capability_missing',
    fields: [{ field: 'target', problem: 'mixed-2 lacks docker' }],
  });
  await expect(submit({ selector: { sites: ['mixed'], os: ['darwin'] } })).rejects.toMatchObject({
    code: 'no_target',
    fields: [{ field: 'target.selector', problem: 'no agent matches it' }],
  });
});

test('any one goes to the agent that has the least to do, and never to one in maintenance', async () => {
  const site = { site: 'any' };
  const busy = await (await enrolled(core, 'any-busy', site)).connect();
  const idle = await connectIdle('any-idle', 'any');
  await enrolled(core, 'any-away', site);
  await (await enrolled(core, 'any-serviced', site)).connect();
  await core.agents.setMaintenance('any-serviced', true, 'new disk');
  await submit({ agents: ['any-busy'] });
  await busy.order();

  const first = await submit({ site: 'any', anyOne: true });
  expect(await agentsOf(first.commandId)).toEqual(['any-idle']);
  expect((await idle.order()).commandId).toBe(first.commandId);
  // Now both have one each; whoever is taken, the other is next.
  const [second, third] = [
    await submit({ site: 'any', anyOne: true }),
    await submit({ site: 'any', anyOne: true }),
  ];
  const next = [...(await agentsOf(second.commandId)), ...(await agentsOf(third.commandId))];
  expect(next.sort()).toEqual(['any-busy', 'any-idle']);
});

test('any one of agents that are all away goes where the fewest wait', async () => {
  for (const agentId of ['away-1', 'away-2']) await enrolled(core, agentId, { site: 'away' });
  await submit({ agents: ['away-1'] });
  const command = await submit({ site: 'away', anyOne: true });
  expect(await agentsOf(command.commandId)).toEqual(['away-2']);
});

test('a dry run shows who would get it and in which state, and why not the others; nothing is stored', async () => {
  const site = { site: 'dry' };
  await connectIdle('dry-ready', 'dry');
  await enrolled(core, 'dry-away', site);
  const serviced = await enrolled(core, 'dry-serviced', site);
  await serviced.connect();
  await core.agents.setMaintenance('dry-serviced', true, 'new disk');
  const bare = await enrolled(core, 'dry-bare', site);
  await bare.connect({ offer: { capabilities: ['system'] } });
  const before = await core.count('commands');

  const { chosen, leftOut, ...counts } = await plan({ selector: { sites: ['dry'] } });
  expect(chosen).toEqual([
    { agentId: 'dry-away', state: 'queued', reason: 'the agent is not connected' },
    { agentId: 'dry-ready', state: 'sent', reason: undefined },
    { agentId: 'dry-serviced', state: 'held', reason: 'the agent is in maintenance: new disk' },
  ]);
  expect(leftOut).toContainEqual({ agentId: 'dry-bare', reason: 'it lacks the capability exec' });
  expect(leftOut).toContainEqual({ agentId: 'berlin-1', reason: 'its site is berlin' });
  expect(counts).toMatchObject({ chosenCount: 3, leftOutCount: leftOut.length });

  const one = await plan({ site: 'dry', anyOne: true });
  expect(one.chosen.map((agent) => agent.agentId)).toEqual(['dry-ready']);
  expect(one.leftOut).toContainEqual({
    agentId: 'dry-away',
    reason: 'any one was asked for, and it is not the one',
  });
  const none = await plan({ selector: { statuses: ['degraded'] } });
  expect(none.chosenCount).toBe(0);
  await expect(plan({ agents: ['nobody'] })).rejects.toMatchObject({ code: 'agent_unknown' });
  await expect(plan({ all: true }, { args: { argv: [] } })).rejects.toMatchObject({ code: 'invalid_args' });
  expect(await core.count('commands')).toBe(before);
});

test('what a dry run says is what a submit then does', async () => {
  await connectIdle('done-ready', 'done');
  await enrolled(core, 'done-away', { site: 'done' });
  const target = { site: 'done' };
  const { chosen } = await plan(target);
  const command = await submit(target);
  const { executions } = await core.engine.get(command.commandId, { size: 100, token: undefined });
  expect(executions.items.map(({ agentId, transitions }) => [agentId, transitions.at(-1)?.state])).toEqual(
    chosen.map(({ agentId, state }) => [agentId, state]),
  );
});
