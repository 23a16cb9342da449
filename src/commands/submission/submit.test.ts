import { expect, test } from 'vitest';
import { startFileCore } from '../../../test/support/app-core-file.ts';
import { enrolled } from '../../../test/support/fake-agent.ts';
import { newId } from '../../lib/ids.ts';
import { statement } from '../../storage/database.ts';
import type { SubmitInput } from '../types.ts';

const { core } = await startFileCore({ maximumWaiting: 50_000 });

const submit = (input: Partial<SubmitInput>, actor = 'tester') =>
  core.engine.submit(actor, { verb: 'exec', args: { argv: ['true'] }, target: { all: true }, ...input });

async function rows() {
  return [await core.count('commands'), await core.count('executions')];
}

test('without any agent there is nothing to send a command to', async () => {
  await expect(submit({})).rejects.toMatchObject({ code: 'no_target', fields: [{ field: 'target.all' }] });
  expect(await rows()).toEqual([0, 0]);
});

test.each<[string, Partial<SubmitInput>, string, string]>([
  ['an unknown verb', { verb: 'info' }, 'verb_unknown', 'verb'],
  ['an unknown field', { args: { argv: ['a'], shell: true } }, 'invalid_args', 'args.shell'],
  ['a field of the wrong type', { args: { argv: 'true' } }, 'invalid_args', 'args.argv'],
  ['a field against its rule', { args: { argv: [] } }, 'invalid_args', 'args.argv'],
  [
    'a relative folder',
    { args: { argv: ['a'], workingDirectory: 'x' } },
    'invalid_args',
    'args.working_directory',
  ],
  ['NUL in args', { args: { argv: ['a', 'b\0c'] } }, 'invalid_args', 'args.argv[1]'],
  ['half a surrogate pair in args', { args: { argv: ['\ud800'] } }, 'invalid_args', 'args.argv[0]'],
  ['an unknown agent', { target: { agents: ['known', 'unknown'] } }, 'agent_unknown', 'target.agents[1]'],
  ['no agent', { target: { agents: [] } }, 'no_target', 'target.agents'],
  ['an empty site', { target: { site: 'nowhere' } }, 'no_target', 'target.site'],
  ['NUL in a site', { target: { site: 'no\0where' } }, 'invalid_request', 'target.site'],
  ['NUL in a name', { target: { agents: ['known\0'] } }, 'invalid_request', 'target.agents[0]'],
  ['NUL in a key', { idempotencyKey: '\0' }, 'invalid_request', 'idempotencyKey'],
  ['NUL in a correlation id', { correlationId: 'a\0' }, 'invalid_request', 'correlationId'],
  [
    'a capability that an agent lacks',
    { verb: 'docker.ps', args: {}, target: { agents: ['known', 'bare'] } },
    'capability_missing',
    'target',
  ],
])('%s is refused by the name of its field, and nothing is stored', async (_, input, code, field) => {
  if ((await core.count('agents')) === 0) {
    await (
      await (await enrolled(core, 'known')).connect({ offer: { capabilities: ['exec', 'docker'] } })
    ).beat();
    await (await (await enrolled(core, 'bare')).connect()).beat();
  }
  const before = await rows();
  await expect(submit(input)).rejects.toMatchObject({
    code,
    message: expect.stringContaining(field.replace(/\[\d\]$/, '')),
    fields: expect.arrayContaining([expect.objectContaining({ field })]),
  });
  expect(await rows()).toEqual(before);
});

test('an agent that was never connected is given the benefit of the doubt', async () => {
  await enrolled(core, 'unseen');
  const command = await submit({ verb: 'docker.ps', args: {}, target: { agents: ['unseen'] } });
  expect(command.counts).toEqual({ queued: 1 });
});

test('what waits says from the beginning for what', async () => {
  await enrolled(core, 'away');
  const command = await submit({ target: { agents: ['away'] } });
  const { executions } = await core.engine.get(command.commandId, { size: 10 });
  expect(executions.items[0]?.transitions).toMatchObject([
    { state: 'queued', cause: 'the agent is not connected' },
  ]);
});

test('an agent that is named twice gets it once', async () => {
  await enrolled(core, 'double');
  const command = await submit({ target: { agents: ['double', 'double'] } });
  const { executions } = await core.engine.get(command.commandId, { size: 10 });
  expect(executions.items.map(({ agentId }) => agentId)).toEqual(['double']);
});

test('the same key and the same spec give the first answer again, another spec is refused', async () => {
  await enrolled(core, 'keyed');
  const spec = { target: { agents: ['keyed'] }, idempotencyKey: newId() };
  const first = await submit(spec);
  const before = await rows();
  expect((await submit({ args: { argv: ['true'] }, ...spec })).commandId).toBe(first.commandId);
  await expect(submit({ ...spec, args: { argv: ['false'] } })).rejects.toMatchObject({
    code: 'idempotency_conflict',
    fields: [{ field: 'idempotencyKey' }],
  });
  expect(await rows()).toEqual(before);
  // Another caller's keys are its own.
  expect((await submit(spec, 'somebody else')).commandId).not.toBe(first.commandId);
});

test('of many submits with one key at the same time one is stored, and all get its id', async () => {
  await enrolled(core, 'racing');
  const [commands, executions] = await rows();
  const spec = { target: { agents: ['racing'] }, idempotencyKey: newId() };
  const answers = await Promise.all(Array.from({ length: 20 }, () => submit(spec)));
  expect(new Set(answers.map(({ commandId }) => commandId)).size).toBe(1);
  expect(await rows()).toEqual([(commands ?? 0) + 1, (executions ?? 0) + 1]);
  const others = [{ args: { argv: ['x'] } }, { args: { argv: ['y'] } }];
  const key = newId();
  const settled = await Promise.allSettled(
    others.map((other) => submit({ ...spec, ...other, idempotencyKey: key })),
  );
  expect(settled.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
  expect(settled.find(({ status }) => status === 'rejected')).toMatchObject({
    reason: { code: 'idempotency_conflict' },
  });
});

test('ten thousand agents are one command, and each has its execution', async () => {
  await core.database.query(
    statement(
      'test_many_agents',
      `insert into agents (agent_id, site, incarnation)
       select 'many-' || lpad(n::text, 5, '0'), 'many', 1 from generate_series(1, 10000) n`,
    ),
    [],
  );
  const command = await submit({ target: { site: 'many' } });
  expect(command.counts).toEqual({ queued: 10_000 });
  const page = await core.engine.get(command.commandId, { size: 1000 });
  expect(page.command).toMatchObject({ counts: { queued: 10_000 }, done: false });
  expect(page.executions.items.at(-1)?.agentId).toBe('many-01000');
  const next = await core.engine.get(command.commandId, { size: 1000, token: page.executions.nextToken });
  expect(next.executions.items[0]?.agentId).toBe('many-01001');
  expect((await core.engine.cancel('tester', command.commandId, '')).counts).toEqual({ cancelled: 10_000 });
});

test('more than may wait is refused, and what was accepted before is stored', async () => {
  const agents = Array.from({ length: 10_000 }, (_, n) => `many-${String(n + 1).padStart(5, '0')}`);
  const settled = await Promise.allSettled(
    Array.from({ length: 9 }, () => submit({ verb: 'system.info', args: {}, target: { agents } })),
  );
  const stored = settled.filter(({ status }) => status === 'fulfilled').length;
  expect(stored).toBeGreaterThanOrEqual(5);
  for (const one of settled) {
    if (one.status === 'rejected')
      expect(one.reason).toMatchObject({ code: 'queue_full', retryAfterMs: 1000 });
  }
  const { items } = await core.engine.list({ verb: 'system.info' }, { size: 100 });
  expect(items).toHaveLength(stored);
}, 30_000);

test('commands are listed newest first, by filter, page by page without a gap', async () => {
  await enrolled(core, 'listed');
  const ids: string[] = [];
  for (let n = 0; n < 5; n++)
    ids.push((await submit({ target: { agents: ['listed'] } }, 'lister')).commandId);
  const seen: string[] = [];
  let token: string | undefined;
  do {
    const page = await core.engine.list(
      { actor: 'lister', agentId: 'listed', state: 'queued' },
      { size: 2, token },
    );
    seen.push(...page.items.map(({ commandId }) => commandId));
    token = page.nextToken;
  } while (token !== undefined);
  expect(seen).toEqual(ids.reverse());
  for (const filter of [
    { verb: 'file.read' },
    { state: 'failed' as const },
    { createdBefore: new Date(0) },
  ]) {
    expect((await core.engine.list({ actor: 'lister', ...filter }, { size: 2 })).items).toEqual([]);
  }
});

test.each(['x', Buffer.from('-'.repeat(36)).toString('base64url'), Buffer.from('a\0').toString('base64url')])(
  'a page token that was never handed out is refused: %s',
  async (token) => {
    const refusal = { code: 'invalid_request', fields: [{ field: 'pageToken' }] };
    await expect(core.engine.list({}, { size: 2, token })).rejects.toMatchObject(refusal);
    await expect(core.agents.list({}, { size: 2, token: 'YQ=' })).rejects.toMatchObject(refusal);
    const [command] = (await core.engine.list({}, { size: 1 })).items;
    await expect(core.engine.get(command?.commandId ?? '', { size: 2, token })).rejects.toMatchObject(
      refusal,
    );
  },
);
