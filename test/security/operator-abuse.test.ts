import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type ApiApp, startApiApp } from '../support/api-app.ts';

/** Threat: an operator does more than its token is for. Limits by site and verb, and a share of the fleet. */

let app: ApiApp;
type Client = Awaited<ReturnType<ApiApp['client']>>;
let admin: Client;
let bern: Client;

beforeAll(async () => {
  app = await startApiApp({ max_fleet_share: 50 });
  await app.addAgents('bern', 'bern-1', 'bern-2');
  await app.addAgents('zug', 'zug-1', 'zug-2', 'zug-3', 'zug-4');
  admin = await app.client('admin');
  bern = await app.client('operator', { sites: ['bern'] });
});
afterAll(() => app.stop());

type Input = Parameters<Client['commands']['submit']['mutate']>[0];
const exec = { verb: 'exec' as const, args: { argv: ['true'] } };
const beyond = { data: { code: 'scope_exceeded' } };
const missing = (what: string) => ({ data: { code: `${what}_unknown` } });

async function agentsOf(client: Client, commandId: string) {
  const { executions } = await client.commands.get.query({ commandId });
  return executions.map((execution) => execution.agentId);
}

describe('a token for a site', () => {
  test('sees its agents and no others', async () => {
    const { agents } = await bern.agents.list.query({ pageSize: 10 });
    expect(agents.map((agent) => agent.agentId)).toEqual(['bern-1', 'bern-2']);
    expect((await bern.agents.list.query({ filter: { site: 'zug' } })).agents).toEqual([]);
    await expect(bern.agents.get.query({ agentId: 'zug-1' })).rejects.toMatchObject(missing('agent'));
    const unknown = await bern.agents.get.query({ agentId: 'nobody' }).catch((error) => error.message);
    await expect(bern.agents.get.query({ agentId: 'zug-1' })).rejects.toThrow(
      unknown.replace('nobody', 'zug-1'),
    );
  });

  test('reaches its agents and no others, however it names them', async () => {
    const targets: Input['target'][] = [
      { all: true },
      { site: 'bern' },
      { selector: { statuses: ['offline'] } },
    ];
    for (const target of targets) {
      const { command } = await bern.commands.submit.mutate({ ...exec, target });
      expect(await agentsOf(bern, command.commandId)).toEqual(['bern-1', 'bern-2']);
    }
    const submit = (target: Input['target']) => bern.commands.submit.mutate({ ...exec, target });
    await expect(submit({ agents: ['bern-1', 'zug-1'] })).rejects.toMatchObject(missing('agent'));
    await expect(submit({ site: 'zug' })).rejects.toMatchObject(beyond);
    await expect(submit({ selector: { sites: ['bern', 'zug'] } })).rejects.toMatchObject(beyond);
    const { command } = await submit({ all: true, anyOne: true });
    expect((await agentsOf(bern, command.commandId))[0]).toMatch(/^bern-/);
  });

  test('a dry run tells of its agents alone', async () => {
    const plan = await bern.commands.plan.query({ ...exec, target: { all: true } });
    expect(plan).toMatchObject({ chosenCount: 2, leftOutCount: 0 });
  });

  test('what went elsewhere, or there too, does not exist', async () => {
    const { command } = await admin.commands.submit.mutate({ ...exec, target: { all: true } });
    const { commandId } = command;
    const { executions } = await admin.commands.get.query({ commandId });
    const executionId = executions[0]?.executionId ?? '';
    const none = missing('command');
    await expect(bern.commands.get.query({ commandId })).rejects.toMatchObject(none);
    await expect(bern.commands.cancel.mutate({ commandId, reason: '' })).rejects.toMatchObject(none);
    await expect(bern.commands.retry.mutate({ commandId })).rejects.toMatchObject(none);
    await expect(bern.commands.approve.mutate({ commandId, reason: '' })).rejects.toMatchObject(none);
    await expect(bern.rollouts.get.query({ commandId })).rejects.toMatchObject(none);
    await expect(bern.rollouts.abort.mutate({ commandId, reason: '' })).rejects.toMatchObject(none);
    await expect(bern.commands.output.query({ executionId })).rejects.toMatchObject(missing('execution'));
    const watched = Promise.withResolvers<unknown>();
    const watch = bern.commands.watch.subscribe(
      { commandId },
      { onData: () => watched.resolve('data'), onError: (error) => watched.resolve(error) },
    );
    expect(await watched.promise).toMatchObject(none);
    watch.unsubscribe();
    const listed = (await bern.commands.list.query({ pageSize: 1000 })).commands;
    expect(listed.map((each) => each.commandId)).not.toContain(commandId);
    expect(listed.length).toBeGreaterThan(0);
  });

  test('figures are of its agents alone', async () => {
    const { statistics } = await bern.commands.statistics.query({ by: 'site' });
    expect(statistics.map((group) => group.key)).toEqual(['bern']);
  });

  test('a rollout goes to its agents alone', async () => {
    const { command } = await bern.commands.submit.mutate({ ...exec, target: { all: true }, rollout: {} });
    expect(command.rollout?.counts).toMatchObject({ waiting: 2 });
    const all = await admin.commands.submit.mutate({ ...exec, target: { all: true }, rollout: {} });
    const seen = (await bern.rollouts.list.query({})).commands.map((each) => each.commandId);
    expect(seen).toContain(command.commandId);
    expect(seen).not.toContain(all.command.commandId);
  });

  test('the same idempotency key under other limits is for another command', async () => {
    const input = { ...exec, target: { all: true }, idempotencyKey: 'one' } as const;
    const wide = await app.client('operator', { sites: ['bern', 'zug'] }, 'ada');
    const narrow = await app.client('operator', { sites: ['bern'] }, 'ada');
    await narrow.commands.submit.mutate(input);
    await expect(wide.commands.submit.mutate(input)).rejects.toMatchObject({
      data: { code: expect.stringMatching(/idempotency_conflict|scope_exceeded/) },
    });
  });

  test('an admin for a site makes enrolment tokens for it, and takes no machine from another', async () => {
    const local = await app.client('admin', { sites: ['bern'] });
    const create = (input: { site: string; agentId?: string }) => local.tokens.createEnrollment.mutate(input);
    expect((await create({ site: 'bern' })).token).toMatch(/^vwe_/);
    await expect(create({ site: 'zug' })).rejects.toMatchObject(beyond);
    await expect(create({ site: 'bern', agentId: 'zug-1' })).rejects.toMatchObject(beyond);
    expect((await create({ site: 'bern', agentId: 'bern-1' })).token).toMatch(/^vwe_/);
  });

  test('nobody who is limited makes tokens that are not', async () => {
    const local = await app.client('admin', { sites: ['bern'] });
    const made = local.tokens.create.mutate({ name: 'mine', role: 'admin' });
    await expect(made).rejects.toMatchObject(beyond);
    const signed = local.tokens.createApi.mutate({ subject: 'me', role: 'admin' });
    await expect(signed).rejects.toMatchObject(beyond);
    await expect(local.issuer.rotateKey.mutate()).rejects.toMatchObject(beyond);
  });
});

describe('a token for verbs', () => {
  test('uses and sees these alone', async () => {
    const docker = await app.client('operator', { verbs: ['docker.*', 'system.info'] });
    const target = { agents: ['zug-1'] };
    const { command } = await docker.commands.submit.mutate({ verb: 'docker.ps', args: {}, target });
    expect((await docker.commands.get.query({ commandId: command.commandId })).command.verb).toBe(
      'docker.ps',
    );
    await expect(docker.commands.submit.mutate({ ...exec, target })).rejects.toMatchObject(beyond);
    await expect(docker.commands.plan.query({ ...exec, target })).rejects.toMatchObject(beyond);
    const other = await admin.commands.submit.mutate({ ...exec, target });
    const { commandId } = other.command;
    await expect(docker.commands.get.query({ commandId })).rejects.toMatchObject(missing('command'));
    const { commands } = await docker.commands.list.query({ pageSize: 1000 });
    expect(commands.map((each) => each.verb)).toEqual(['docker.ps']);
  });
});

describe('schedules and templates', () => {
  const timing = { at: '2099-01-01T00:00:00Z' };

  test('a schedule is limited as whoever made it, and is seen by whoever may do all that it may', async () => {
    const command = { ...exec, target: { all: true } } as const;
    await bern.schedules.create.mutate({ name: 'ours', timing, action: { command } });
    await admin.schedules.create.mutate({ name: 'everybodys', timing, action: { command } });
    const names = (await bern.schedules.list.query({})).schedules.map((schedule) => schedule.name);
    expect(names).toEqual(['ours']);
    const none = missing('schedule');
    await expect(bern.schedules.get.query({ name: 'everybodys' })).rejects.toMatchObject(none);
    await expect(bern.schedules.run.mutate({ name: 'everybodys' })).rejects.toMatchObject(none);
    await expect(bern.schedules.delete.mutate({ name: 'everybodys' })).rejects.toMatchObject(none);
    await expect(bern.schedules.pause.mutate({ name: 'everybodys' })).rejects.toMatchObject(none);
    const ran = await bern.schedules.run.mutate({ name: 'ours' });
    expect(await agentsOf(admin, ran.command.commandId)).toEqual(['bern-1', 'bern-2']);
    const zug = await app.client('operator', { sites: ['zug'] });
    await expect(zug.schedules.get.query({ name: 'ours' })).rejects.toMatchObject(none);
  });

  test('a schedule that comes due runs within the limits that are stored with it', async () => {
    const command = { ...exec, target: { all: true } } as const;
    await bern.schedules.create.mutate({
      name: 'soon',
      timing: { cron: '* * * * * *' },
      action: { command },
    });
    const due = await untilRan('soon');
    await bern.schedules.delete.mutate({ name: 'soon' });
    expect(await agentsOf(admin, due)).toEqual(['bern-1', 'bern-2']);
  });

  async function untilRan(name: string): Promise<string> {
    for (;;) {
      const { schedule } = await bern.schedules.get.query({ name });
      if (schedule.lastCommandId !== undefined) return schedule.lastCommandId;
    }
  }

  test('a template is run within the limits, and changed by nobody who has any', async () => {
    const command = { ...exec, target: { all: true } } as const;
    await admin.templates.save.mutate({ name: 'work', parameters: [], command });
    const { command: ran } = await bern.templates.run.mutate({ name: 'work', params: {} });
    expect(await agentsOf(admin, ran.commandId)).toEqual(['bern-1', 'bern-2']);
    const changed = bern.templates.save.mutate({ name: 'work', parameters: [], command, revision: 1 });
    await expect(changed).rejects.toMatchObject(beyond);
    await expect(bern.templates.delete.mutate({ name: 'work' })).rejects.toMatchObject(beyond);
    const docker = await app.client('operator', { verbs: ['docker.*'] });
    await expect(docker.templates.get.query({ name: 'work' })).rejects.toMatchObject(missing('template'));
    expect((await docker.templates.list.query({})).templates).toEqual([]);
  });
});

test('what is dangerous is approved by somebody whose token reaches it', async () => {
  const args = { containers: ['web'] };
  const dangerous = { verb: 'docker.rm' as const, args, target: { site: 'bern' } };
  const { command } = await bern.commands.submit.mutate(dangerous);
  const { commandId } = command;
  expect(command.approval?.state).toBe('pending');
  const elsewhere = await app.client('operator', { sites: ['zug'] }, 'zoe');
  const otherVerbs = await app.client('operator', { verbs: ['exec'] }, 'dan');
  for (const client of [elsewhere, otherVerbs]) {
    const decided = client.commands.approve.mutate({ commandId, reason: '' });
    await expect(decided).rejects.toMatchObject(missing('command'));
  }
  const second = await app.client('operator', { sites: ['bern'], verbs: ['docker.*'] }, 'bea');
  const approved = await second.commands.approve.mutate({ commandId, reason: '' });
  expect(approved.command.approval?.state).toBe('approved');
});

test('a command of an operator goes to its share of the fleet, and an admin’s anywhere', async () => {
  const operator = await app.client('operator');
  const submit = (client: Client, agents: string[]) =>
    client.commands.submit.mutate({ ...exec, target: { agents } });
  const four = ['bern-1', 'bern-2', 'zug-1', 'zug-2'];
  await submit(operator, four.slice(0, 3));
  await expect(submit(operator, four)).rejects.toThrow(/4 of 6 agents.*50 % \(3\)/);
  await expect(operator.commands.plan.query({ ...exec, target: { all: true } })).rejects.toMatchObject(
    beyond,
  );
  await submit(admin, four);
});
