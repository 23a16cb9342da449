import { afterAll, beforeAll, expect, test } from 'vitest';
import type { CommandBody } from '#gen/viworks/agent/v1/command_pb.js';
import { ageingStepMs } from '../../src/commands/submission/queue.ts';
import type { Priority, SubmitInput } from '../../src/commands/types.ts';
import { type Core, type CoreOptions, executionIn, startCore, stopAfterTest } from '../support/app-core.ts';
import { enrolled, type FakeSession } from '../support/fake-agent.ts';
import { createTestDatabase, lockTable, type TestDatabase } from '../support/postgres.ts';

/** The order of the queue and its limits: of an agent, of a verb, and of all. */

let database: TestDatabase;

beforeAll(async () => {
  database = await createTestDatabase();
});

afterAll(() => database.drop());

const newCore = async (options: CoreOptions = {}) => stopAfterTest(await startCore(database.url, options));
const named = (order: CommandBody) =>
  Buffer.from(order.args)
    .toString('latin1')
    .replace(/[^a-z0-9-]/g, '');
const submitter =
  (core: Core, agentId: string) =>
  (name: string, input: Partial<SubmitInput> = {}) =>
    core.engine.submit('tester', {
      verb: 'exec',
      args: { argv: [name] },
      target: { agents: [agentId] },
      ...input,
    });

/** Finishes each order as it comes; the names in the order in which they came. */
async function serve(session: FakeSession, count: number): Promise<string[]> {
  const names: string[] = [];
  while (names.length < count) {
    const order = await session.order();
    names.push(named(order));
    session.result(order);
  }
  return names;
}

test('higher priorities go first, and within one the first that came', async () => {
  const core = await newCore();
  const agent = await enrolled(core, 'ordered');
  const submit = submitter(core, 'ordered');
  const wanted: [string, Priority][] = [
    ['low-1', 'low'],
    ['normal-1', 'normal'],
    ['critical-1', 'critical'],
    ['normal-2', 'normal'],
    ['high-1', 'high'],
    ['critical-2', 'critical'],
    ['low-2', 'low'],
  ];
  for (const [name, priority] of wanted) await submit(name, { priority });
  const session = await agent.connect({ offer: { executionCredit: 1 } });
  expect(await serve(session, wanted.length)).toEqual([
    'critical-1',
    'critical-2',
    'high-1',
    'normal-1',
    'normal-2',
    'low-1',
    'low-2',
  ]);
});

test('a low one moves under a flood of critical ones', async () => {
  const core = await newCore();
  const agent = await enrolled(core, 'flooded');
  const submit = submitter(core, 'flooded');
  await submit('low', { priority: 'low' });
  for (let n = 0; n < 8; n++) {
    await submit(`critical-${n}`, { priority: 'critical' });
    core.clock.advance(ageingStepMs);
  }
  const session = await agent.connect({ offer: { executionCredit: 1 } });
  const order = await serve(session, 9);
  // Three steps lie between the two priorities: what came that much later, or later still, is behind it.
  expect(order.slice(0, 5)).toEqual(['critical-0', 'critical-1', 'critical-2', 'low', 'critical-3']);
});

test('an agent has no more at once than the control plane allows, whatever it grants', async () => {
  const core = await newCore({ inFlight: { perAgent: 2 } });
  const agent = await enrolled(core, 'greedy');
  const session = await agent.connect({ offer: { executionCredit: 100 } });
  const submit = submitter(core, 'greedy');
  for (const name of ['a', 'b', 'c']) await submit(name);
  const [first, second] = [await session.order(), await session.order()];
  await session.beat();
  expect(session.heard.filter((kind) => kind === 'command')).toHaveLength(2);
  session.result(second);
  expect(named(await session.order())).toBe('c');
  session.result(first);
});

test('what is on its way out of the queue counts already', async () => {
  const core = await newCore({ inFlight: { total: 1 } });
  const [leaving, waiting, late] = await Promise.all(
    ['leaving', 'waiting', 'late'].map(async (agentId) => (await enrolled(core, agentId)).connect()),
  );
  await submitter(core, 'leaving')('one');
  await leaving?.order();
  await submitter(core, 'waiting')('two');
  const lock = await lockTable(database.url, 'executions');
  // Its room goes to who waits, as soon as the statement that takes it out of the queue gets through.
  leaving?.destroy();
  await lock.blocks('update executions');
  const submitted = submitter(core, 'late')('three');
  await lock.blocks('insert into commands');
  await lock.release();
  expect((await submitted).counts).toEqual({ queued: 1 });
  const order = await (waiting as FakeSession).order();
  expect(named(order)).toBe('two');
  waiting?.result(order);
  expect(named(await (late as FakeSession).order())).toBe('three');
});

test('a verb with a limit waits for room, and others overtake it', async () => {
  const core = await newCore({ inFlight: { perVerb: new Map([['exec', 2]]) } });
  const sessions = new Map<string, FakeSession>();
  for (const agentId of ['limited-1', 'limited-2', 'limited-3']) {
    sessions.set(agentId, await (await enrolled(core, agentId)).connect());
  }
  const at = (agentId: string) => sessions.get(agentId) as FakeSession;
  await submitter(core, 'limited-1')('one');
  await submitter(core, 'limited-2')('two');
  const [one] = await Promise.all([at('limited-1').order(), at('limited-2').order()]);
  const third = await submitter(core, 'limited-3')('three');
  const info = await submitter(core, 'limited-3')('', { verb: 'system.info', args: {} });
  expect(third.counts).toEqual({ queued: 1 });
  const overtaking = await at('limited-3').order();
  expect(overtaking.verb).toBe('system.info');
  at('limited-3').result(overtaking);
  await executionIn(core.engine, info.commandId, 'succeeded');
  await executionIn(core.engine, third.commandId, 'queued');
  at('limited-1').result(one);
  expect(named(await at('limited-3').order())).toBe('three');
});

test('the limit of all agents holds, and room that a broken session leaves is used', async () => {
  const core = await newCore({ inFlight: { total: 2 } });
  const [one, two, three] = await Promise.all(
    ['all-1', 'all-2', 'all-3'].map(async (agentId) => (await enrolled(core, agentId)).connect()),
  );
  await submitter(core, 'all-1')('one');
  await submitter(core, 'all-2')('two');
  await Promise.all([one?.order(), two?.order()]);
  const waiting = await submitter(core, 'all-3')('three');
  expect(waiting.counts).toEqual({ queued: 1 });
  one?.destroy();
  expect(named((await three?.order()) as CommandBody)).toBe('three');
});

test('a full queue refuses whole, says which limit, and takes more when there is room', async () => {
  const core = await newCore({ queue: { perAgent: 3, perVerb: new Map([['system.info', 1]]) } });
  const agent = await enrolled(core, 'full');
  await enrolled(core, 'empty');
  const submit = submitter(core, 'full');
  for (const name of ['a', 'b', 'c']) await submit(name);
  const before = await core.count('executions');
  const refusal = { code: 'queue_full', retryAfterMs: 1000 };
  await expect(submit('d')).rejects.toMatchObject({
    ...refusal,
    fields: [{ field: 'target', problem: '3 executions wait for full already, and 3 may.' }],
  });
  await expect(submit('d', { target: { agents: ['empty', 'full'] } })).rejects.toMatchObject(refusal);
  expect(await core.count('executions')).toBe(before);
  const info = { verb: 'system.info', args: {}, target: { agents: ['empty'] } };
  await submit('', info);
  await expect(submit('', info)).rejects.toMatchObject({ ...refusal, fields: [{ field: 'verb' }] });

  const session = await agent.connect();
  expect(await serve(session, 3)).toEqual(['a', 'b', 'c']);
  // Refusals under a flood do not count the queue again each time.
  core.clock.advance(250);
  await submit('e');
  expect(await serve(session, 1)).toEqual(['e']);
});

test('a queue through which much goes quickly is not taken for full', async () => {
  const core = await newCore({ queue: { perAgent: 10 } });
  const session = await (await enrolled(core, 'quick')).connect({ offer: { executionCredit: 1 } });
  const submit = submitter(core, 'quick');
  for (let n = 0; n < 15; n++) {
    await Promise.all([submit('a'), submit('b')]);
    await serve(session, 2);
  }
});

test('many submits at once pass no limit together', async () => {
  const core = await newCore({ queue: { perAgent: 10 } });
  await enrolled(core, 'rushed');
  const submit = submitter(core, 'rushed');
  const outcomes = await Promise.allSettled(Array.from({ length: 30 }, (_, n) => submit(`n-${n}`)));
  const accepted = outcomes.filter((outcome) => outcome.status === 'fulfilled');
  expect(accepted).toHaveLength(10);
  for (const outcome of outcomes) {
    if (outcome.status === 'rejected') expect(outcome.reason).toMatchObject({ code: 'queue_full' });
  }
});
