import { cpSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { create } from '@bufbuild/protobuf';
import { expect, test } from 'vitest';
import { HeartbeatSchema } from '#gen/viworks/agent/v1/flow_pb.js';
import { agentIs, executionIn, submitTo } from '../support/app-core.ts';
import { startFileCore } from '../support/app-core-file.ts';
import { agentId, createProcessRig } from '../support/app-process.ts';
import { auditRows } from '../support/audit.ts';
import { enrolled, type FakeAgent, type FakeSession } from '../support/fake-agent.ts';

/** A copy of an agent's data folder works for one session at most: then both are held, and an operator decides. */

const { core } = await startFileCore();

/** Connects as a copy that has stored the generation. */
const as = (agent: FakeAgent, generation: bigint) => agent.connect({ offer: { generation } });

/** Stores the epoch of the session and says so. */
async function stores(agent: FakeAgent, session: FakeSession): Promise<bigint> {
  const { epoch } = session.welcome;
  const value = create(HeartbeatSchema, { generation: epoch });
  session.send({ case: 'heartbeat', value }, { sequence: 0n });
  await session.next('heartbeat');
  await generationIs(agent.agentId, epoch);
  return epoch;
}

/** Resolves when the database has what was confirmed; nothing tells of it. */
const generationIs = (agentId: string, epoch: bigint) =>
  expect.poll(async () => (await core.agents.get(agentId)).agent.generation).toBe(Number(epoch));

test('the data folder of a running agent is copied: both are held within one reconnect, and the queue waits', async () => {
  const rig = createProcessRig();
  await rig.startServer();
  await rig.startAgent();
  const original = rig.agent();
  await original.stderr.match(/connected/);
  const before = await rig.submit('true');
  await rig.finished(before);
  const copy = join(rig.folder, 'copy');
  cpSync(join(rig.folder, 'agent'), copy, { recursive: true });
  // It names the process of the original, which on another machine does not exist.
  rmSync(join(copy, 'agent.lock'));
  const clone = await rig.startAgentIn(copy);
  await Promise.all([original.stderr.match(/agent_barred/), clone.stderr.match(/agent_barred/)]);
  const { agent } = await rig.client().agents.get.query({ agentId });
  expect(agent).toMatchObject({ status: 'held', statusReason: expect.stringMatching(/copied/) });
  expect(agent.connection).toBeUndefined();

  const waiting = await rig.submit('true');
  expect(await rig.reached(waiting, 'held')).toMatchObject({ state: 'held' });
  await rig.kill(clone);
  await rig.client().agents.release.mutate({ agentId });
  expect(await rig.finished(waiting)).toMatchObject({ state: 'succeeded' });
  expect((await rig.client().agents.get.query({ agentId })).agent.status).toBe('online');
}, 60_000);

test('a copy that comes back with what it had at the time of the copy is found out at once', async () => {
  const agent = await enrolled(core, 'stale');
  const copied = await stores(agent, await as(agent, 0n));
  const original = await as(agent, copied);
  await stores(agent, original);
  await expect(as(agent, copied)).rejects.toThrow(/agent_barred/);
  await original.closed;
  await agentIs(core, 'stale', 'held');
  expect(await auditRows(core.database, `action = 'agents.hold' and resource_id = 'stale'`)).toMatchObject([
    { actor: 'system:standing', outcome: 'done', details: expect.stringContaining('copied') },
  ]);
  // Who comes first after it makes no difference.
  await expect(as(agent, original.welcome.epoch)).rejects.toThrow(/agent_barred/);
});

test('a copy that is as new as the original takes over once; when the original is back, both are held', async () => {
  const agent = await enrolled(core, 'twins');
  const original = await as(agent, 0n);
  const copied = await stores(agent, original);
  const clone = await as(agent, copied);
  await original.closed;
  // What the copy stored was not confirmed: it is enough that it was handed out.
  await expect(as(agent, copied).then((session) => stores(agent, session))).resolves.toBeGreaterThan(0n);
  await expect(as(agent, clone.welcome.epoch)).rejects.toThrow(/agent_barred/);
  await agentIs(core, 'twins', 'held');
});

test('an answer that got lost is no copy, however often it gets lost', async () => {
  const agent = await enrolled(core, 'forgetful');
  for (let lost = 0; lost < 5; lost++) (await as(agent, 0n)).destroy();
  const stored = await stores(agent, await as(agent, 0n));
  for (let lost = 0; lost < 5; lost++) (await as(agent, stored)).destroy();
  await agentIs(core, 'forgetful', 'offline');
});

test('what waits for an agent is held with it, in the maintenance that it was in before, and goes on after', async () => {
  const agent = await enrolled(core, 'kept');
  const copied = await stores(agent, await as(agent, 0n));
  const original = await as(agent, copied);
  await stores(agent, original);
  original.send({ case: 'credit', value: { executions: 0 } });
  await original.beat();
  const { commandId } = await submitTo(core, 'kept');
  await expect(as(agent, copied)).rejects.toThrow(/agent_barred/);
  const held = await executionIn(core.engine, commandId, 'held');
  expect(held.transitions.at(-1)?.cause).toMatch(/held: .*copied/);
  // Service is a matter of its own: it neither releases the agent, nor is it forgotten.
  await core.agents.setMaintenance('kept', true, 'new disk');
  await core.agents.setMaintenance('kept', false, '');
  expect((await core.agents.get('kept')).agent.status).toBe('held');
  await core.agents.setMaintenance('kept', true, 'new disk');
  expect(await core.agents.release('tester', 'kept')).toMatchObject({
    status: 'maintenance',
    statusReason: 'new disk',
  });
  const back = await as(agent, copied);
  await back.beat();
  await executionIn(core.engine, commandId, 'held');
  await core.agents.setMaintenance('kept', false, '');
  expect((await back.order()).commandId).toBe(commandId);
});

test('after the release the first that comes is believed, and the other one is found out again', async () => {
  const agent = await enrolled(core, 'released');
  const first = await stores(agent, await as(agent, 0n));
  const second = await stores(agent, await as(agent, first));
  await expect(as(agent, 0n)).rejects.toThrow(/agent_barred/);
  await core.agents.release('tester', 'released');
  await stores(agent, await as(agent, 0n));
  await expect(as(agent, second)).rejects.toThrow(/agent_barred/);
  await agentIs(core, 'released', 'held');
});

test('an agent that knows more than the server is held too, and the reason says what may have happened', async () => {
  const agent = await enrolled(core, 'restored');
  await expect(as(agent, 99n)).rejects.toThrow(/agent_barred/);
  expect((await core.agents.get('restored')).agent.statusReason).toMatch(/restored from a backup/);
});

test('who does not hold the key holds nobody', async () => {
  const agent = await enrolled(core, 'safe');
  await stores(agent, await as(agent, 0n));
  const stranger = await enrolled(core, 'stranger');
  await expect(as({ ...agent, connect: stranger.connect, key: stranger.key }, 0n)).resolves.toBeDefined();
  expect((await core.agents.get('safe')).agent.status).not.toBe('held');
});
