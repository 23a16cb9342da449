import { describe, expect, test } from 'vitest';
import type { Command, CommandFilter, SubmitInput } from '../../src/commands/types.ts';
import { firstIdAt } from '../../src/lib/ids.ts';
import { statement } from '../../src/storage/database.ts';
import { watchUntil } from '../support/app-core.ts';
import { startFileCore } from '../support/app-core-file.ts';
import { ownCore } from '../support/app-core-own.ts';
import { startFleet } from '../support/fleet.ts';

const { core } = await startFileCore();

const submit = (site: string, input: Partial<SubmitInput> = {}, actor = 'alice', on = core) =>
  on.engine.submit(actor, { verb: 'exec', args: { argv: ['true'] }, target: { site }, ...input });
const done = (commandId: string, on = core) =>
  watchUntil(on.engine, commandId, (_, event) => event.command.done);

async function pages(filter: CommandFilter, size: number, between?: () => Promise<unknown>) {
  const ids: string[] = [];
  let token: string | undefined;
  do {
    const page = await core.engine.list(filter, { size, token });
    ids.push(...page.items.map((command: Command) => command.commandId));
    token = page.nextToken;
    if (token !== undefined) await between?.();
  } while (token !== undefined);
  return ids;
}

describe('the list of commands', () => {
  test('is found by each filter, alone and together', async () => {
    await startFleet(core, 'filters', 2);
    await startFleet(core, 'elsewhere', 1);
    core.clock.advance(1000);
    const from = new Date(core.clock.now());
    const plain = await submit('filters', { priority: 'low' });
    const other = await submit('filters', { correlationId: 'order-7', origin: 'schedule:nightly' }, 'bob');
    const single = await submit('x', {
      target: { agents: ['elsewhere-000'] },
      verb: 'system.info',
      args: {},
    });
    const ids = async (filter: CommandFilter) => pages({ createdAfter: from, ...filter }, 50);
    expect(await ids({})).toEqual([single.commandId, other.commandId, plain.commandId]);
    expect(await ids({ site: 'filters' })).toEqual([other.commandId, plain.commandId]);
    expect(await ids({ site: 'elsewhere' })).toEqual([single.commandId]);
    expect(await ids({ priority: 'low' })).toEqual([plain.commandId]);
    expect(await ids({ correlationId: 'order-7' })).toEqual([other.commandId]);
    expect(await ids({ origin: 'schedule:nightly' })).toEqual([other.commandId]);
    expect(await ids({ agentId: 'filters-001', actor: 'bob', priority: 'normal' })).toEqual([
      other.commandId,
    ]);
    expect(await ids({ agentId: 'filters-001', actor: 'bob', priority: 'low' })).toEqual([]);
    expect(await ids({ verb: 'system.info' })).toEqual([single.commandId]);
    expect(await ids({ awaitingApproval: true })).toEqual([]);
    expect(await ids({ createdBefore: from })).not.toContain(plain.commandId);
  });

  test.each<[string, CommandFilter]>([
    ...(['verb', 'actor', 'correlationId', 'origin'] as const).map((field): [string, CommandFilter] => [
      field,
      { [field]: 'a\0b' },
    ]),
    ['createdAfter', { createdAfter: new Date(Number.NaN) }],
    ['createdBefore', { createdBefore: new Date(Number.NaN) }],
  ])('refuses a %s that cannot be looked for', async (field, filter) => {
    const refused = { code: 'invalid_request', message: expect.stringMatching(`^filter.${field}: `) };
    await expect(core.engine.list(filter, { size: 10 })).rejects.toMatchObject(refused);
  });

  test('neither skips nor repeats what was there, while more is written', async () => {
    await startFleet(core, 'paged', 1);
    const before: string[] = [];
    for (let n = 0; n < 25; n++) before.push((await submit('paged')).commandId);
    const seen = await pages({ site: 'paged' }, 4, () =>
      Promise.all(Array.from({ length: 5 }, () => submit('paged'))),
    );
    expect(seen).toEqual(before.toReversed());
  });
});

describe('trying a command again', () => {
  test('submits it anew where it did not succeed', async () => {
    const fleet = await startFleet(core, 'again', 3);
    fleet.answer('again-000');
    fleet.answer('again-001', 'FAILED');
    fleet.answer('again-002', 'TIMED_OUT');
    const first = await submit('again', { priority: 'high', timeoutMs: 5000, correlationId: 'c-1' });
    await done(first.commandId);
    fleet.answerAll();
    const second = await core.engine.retry('bob', first.commandId, {});
    expect(second).toMatchObject({
      actor: 'bob',
      retryOf: first.commandId,
      target: { agents: ['again-001', 'again-002'] },
      args: first.args,
      priority: 'high',
      timeoutMs: 5000,
      correlationId: 'c-1',
    });
    await done(second.commandId);
    const { command } = await core.engine.get(second.commandId, { size: 10, token: undefined });
    expect(command).toMatchObject({ counts: { succeeded: 2 }, retryOf: first.commandId });
    const failed = await core.engine.retry('bob', first.commandId, { states: ['failed'] });
    expect(failed.target).toEqual({ agents: ['again-001'] });
    await expect(core.engine.retry('bob', second.commandId, {})).rejects.toMatchObject({
      code: 'command_state',
    });
  });

  test('is refused while it is not done', async () => {
    await startFleet(core, 'undone', 1);
    const { commandId } = await submit('undone');
    await expect(core.engine.retry('bob', commandId, {})).rejects.toMatchObject({ code: 'command_state' });
  });

  test('with the same key is done once', async () => {
    const fleet = await startFleet(core, 'keyed', 1);
    fleet.answerAll('FAILED');
    const { commandId } = await submit('keyed');
    await done(commandId);
    const options = { idempotencyKey: 'again-1' };
    const answers = await Promise.all([
      core.engine.retry('bob', commandId, options),
      core.engine.retry('bob', commandId, options),
    ]);
    expect(answers[0].commandId).toBe(answers[1].commandId);
  });

  test('leaves out what perhaps happened and must not happen twice, unless it is asked for', async () => {
    const fleet = await startFleet(core, 'perhaps', 2);
    fleet.answerAll('UNKNOWN');
    const { commandId } = await submit('perhaps');
    await done(commandId);
    await expect(core.engine.retry('bob', commandId, {})).rejects.toThrow('ask for outcome_unknown by name');
    const { target } = await core.engine.retry('bob', commandId, { states: ['outcome_unknown'] });
    expect(target).toEqual({ agents: ['perhaps-000', 'perhaps-001'] });
  });
});

test('statistics of a time that is none are refused', async () => {
  const [from, none] = [new Date(0), new Date(Number.NaN)];
  for (const span of [
    { from, to: none },
    { from: none, to: from },
    { from, to: from },
  ]) {
    const refused = { code: 'invalid_request', message: 'to: must be later than from' };
    await expect(core.engine.statistics({ by: 'verb', ...span })).rejects.toMatchObject(refused);
  }
});

test('statistics count how executions ended and how long they took', async () => {
  const { start } = await ownCore();
  const own = await start();
  const berlin = await startFleet(own, 'berlin', 2);
  const oslo = await startFleet(own, 'oslo', 1);
  berlin.answer('berlin-000');
  berlin.answer('berlin-001', 'FAILED');
  oslo.answerAll();
  const commands = [
    await submit('berlin', {}, 'alice', own),
    await submit('oslo', { priority: 'low' }, 'bob', own),
  ];
  for (const { commandId } of commands) await done(commandId, own);
  const hour = 3_600_000;
  const span = { from: new Date(Date.now() - hour), to: new Date(Date.now() + hour) };
  const by = (group: 'verb' | 'site' | 'agent' | 'actor' | 'priority' | 'state') =>
    own.engine.statistics({ by: group, ...span });
  expect(await by('verb')).toMatchObject([{ key: 'exec', total: 3, succeeded: 2, failed: 1 }]);
  expect(await by('site')).toMatchObject([
    { key: 'berlin', total: 2, succeeded: 1, failed: 1 },
    { key: 'oslo', total: 1, succeeded: 1, failed: 0 },
  ]);
  expect((await by('agent')).map((group) => group.key)).toEqual(['berlin-000', 'berlin-001', 'oslo-000']);
  expect((await by('actor')).map((group) => [group.key, group.total])).toEqual([
    ['alice', 2],
    ['bob', 1],
  ]);
  expect((await by('priority')).map((group) => group.key)).toEqual(['normal', 'low']);
  expect((await by('state')).map((group) => group.key)).toEqual(['succeeded', 'failed']);
  const [all] = await by('verb');
  expect(all?.waitMs?.p95).toBeGreaterThanOrEqual(all?.waitMs?.p50 ?? Number.NaN);
  expect(await own.engine.statistics({ by: 'verb', from: new Date(0), to: span.from })).toEqual([]);
  await expect(own.engine.statistics({ by: 'verb', from: span.to, to: span.from })).rejects.toMatchObject({
    code: 'invalid_request',
  });
});

describe('retention', () => {
  test('deletes what ended long ago with all that belongs to it, and nothing that is open', async () => {
    const { start } = await ownCore({ keepMs: 86_400_000 });
    const own = await start();
    const fleet = await startFleet(own, 'kept', 2);
    fleet.answer('kept-000');
    const ended = await submit('x', { target: { agents: ['kept-000'] } }, 'alice', own);
    const rolled = await submit(
      'x',
      { target: { agents: ['kept-000'] }, rollout: { canary: 1 } },
      'alice',
      own,
    );
    await done(ended.commandId, own);
    await done(rolled.commandId, own);
    const open = await submit('x', { target: { agents: ['kept-001'] } }, 'alice', own);
    expect(await own.engine.retention.clean()).toBe(0);
    own.clock.advance(2 * 86_400_000);
    expect(await own.engine.retention.clean()).toBe(2);
    const { items } = await own.engine.list({}, { size: 10, token: undefined });
    expect(items.map((command) => command.commandId)).toEqual([open.commandId]);
    expect(await own.count('executions')).toBe(1);
    const [{ n } = { n: -1 }] = await own.database.query<{ n: number }>(
      statement(
        'orphans',
        `select ((select count(*) from rollouts) + (select count(*) from approvals)
         + (select count(*) from execution_output))::int as n`,
      ),
      [],
    );
    expect(n).toBe(0);
    await expect(own.engine.get(ended.commandId, { size: 1, token: undefined })).rejects.toMatchObject({
      code: 'command_unknown',
    });
  });

  test('is off where it is set to nothing', async () => {
    const { start } = await ownCore({ keepMs: 0 });
    const own = await start();
    const fleet = await startFleet(own, 'ever', 1);
    fleet.answerAll();
    const { commandId } = await submit('ever', {}, 'alice', own);
    await done(commandId, own);
    own.clock.advance(1e12);
    expect(await own.engine.retention.clean()).toBe(0);
    expect(await own.count('commands')).toBe(1);
  });
});

test('the lowest id of a moment sorts before every id that was made then', () => {
  expect(firstIdAt(0)).toBe('00000000-0000-7000-8000-000000000000');
  expect(firstIdAt(1_700_000_000_000)).toBe('018bcfe5-6800-7000-8000-000000000000');
  expect(firstIdAt(-5)).toBe(firstIdAt(0));
});
