import pg from 'pg';
import { expect, onTestFinished, test } from 'vitest';
import { executionIn, startCore, stopAfterTest } from '../../test/support/app-core.ts';
import { startFileCore } from '../../test/support/app-core-file.ts';
import { enrolled } from '../../test/support/fake-agent.ts';
import { createTestDatabase } from '../../test/support/postgres.ts';
import type { ExecutionState, WatchEvent } from './types.ts';

const { core, database } = await startFileCore();

async function submitted(...agentIds: string[]) {
  const sessions = [];
  for (const agentId of agentIds) {
    const session = await (await enrolled(core, agentId)).connect();
    await session.beat();
    sessions.push(session);
  }
  const input = { verb: 'exec', args: { argv: ['true'] }, target: { agents: agentIds } };
  const { commandId } = await core.engine.submit('tester', input);
  // Where the look at what waits for a new session is still under way, it comes by way of the queue.
  await executionIn(core.engine, commandId, 'sent');
  return { commandId, sessions };
}

function watching(commandId: string, cursor?: string, on = core) {
  const controller = new AbortController();
  const events = on.engine.watch(commandId, cursor, controller.signal)[Symbol.asyncIterator]();
  onTestFinished(async () => {
    controller.abort();
    await events.return?.();
  });
  return { controller, events };
}

/** The states of a watch's next event by agent. */
async function next(events: AsyncIterator<WatchEvent>) {
  const { value, done } = await events.next();
  if (done) return undefined;
  const event: WatchEvent = value;
  const states = Object.fromEntries(event.executions.map(({ agentId, state }) => [agentId, state]));
  return { cursor: event.cursor, states, done: event.command.done, counts: event.command.counts };
}

test('a watch tells first what is known, then every state, and ends when the command is done', async () => {
  const { commandId, sessions } = await submitted('w1', 'w2');
  const [one, two] = sessions;
  if (one === undefined || two === undefined) throw new Error('no session');
  const { events } = watching(commandId);
  expect(await next(events)).toMatchObject({ states: { w1: 'sent', w2: 'sent' }, done: false });
  const order = await one.order();
  await one.acknowledged(one.accepted(order));
  expect(await next(events)).toMatchObject({ states: { w1: 'accepted' } });
  await one.acknowledged(one.running(order));
  expect(await next(events)).toMatchObject({ states: { w1: 'running' } });
  await one.acknowledged(one.result(order));
  expect(await next(events)).toMatchObject({
    states: { w1: 'succeeded' },
    counts: { succeeded: 1, sent: 1 },
    done: false,
  });
  two.result(await two.order(), { outcome: 2, exitCode: 1 });
  expect(await next(events)).toMatchObject({ states: { w2: 'failed' }, done: true });
  expect(await next(events)).toBeUndefined();
  expect(core.bus.listeners).toBe(0);
});

test('a watch of a command that is done tells everything once and ends', async () => {
  const { commandId, sessions } = await submitted('w3');
  for (const session of sessions) session.result(await session.order());
  await executionIn(core.engine, commandId, 'succeeded');
  const { events } = watching(commandId);
  expect(await next(events)).toMatchObject({ states: { w3: 'succeeded' }, done: true });
  expect(await next(events)).toBeUndefined();
});

test('a watch goes on from any cursor without a gap, and ends also where nothing is left to tell', async () => {
  const { commandId, sessions } = await submitted('w4', 'w5');
  const cursors: string[] = [];
  const states: Record<string, ExecutionState>[] = [];
  const { events } = watching(commandId);
  const keep = async () => {
    const event = await next(events);
    if (event === undefined) throw new Error('it ended early');
    cursors.push(event.cursor);
    states.push(event.states);
  };
  await keep();
  for (const session of sessions) {
    const order = await session.order();
    await session.acknowledged(session.running(order));
    await keep();
    await session.acknowledged(session.result(order));
    await keep();
  }
  const last = { w4: 'succeeded', w5: 'succeeded' };
  for (const cursor of cursors) {
    const resumed: Record<string, string> = Object.assign(
      {},
      ...states.slice(0, cursors.indexOf(cursor) + 1),
    );
    const { events: again } = watching(commandId, cursor);
    for (let event = await next(again); event !== undefined; event = await next(again)) {
      Object.assign(resumed, event.states);
    }
    expect(resumed).toEqual(last);
  }
  expect(core.bus.listeners).toBe(1);
});

test('two watchers see the same', async () => {
  const { commandId, sessions } = await submitted('w6');
  const [one, two] = [watching(commandId), watching(commandId)];
  expect(await next(one.events)).toEqual(await next(two.events));
  for (const session of sessions) session.result(await session.order());
  expect(await next(one.events)).toMatchObject({ states: { w6: 'succeeded' } });
  expect(await next(two.events)).toMatchObject({ states: { w6: 'succeeded' } });
});

test('a change that commits after a later one has been told is not skipped', async () => {
  const { commandId, sessions } = await submitted('w7', 'w8');
  const [, two] = sessions;
  if (two === undefined) throw new Error('no session');
  const { events } = watching(commandId);
  await next(events);
  // An older transaction changes the first execution and stays open …
  const slow = new pg.Client({ connectionString: database.url });
  await slow.connect();
  onTestFinished(() => slow.end());
  await slow.query('begin');
  await slow.query(
    `update executions set state = 'running', revision = revision + 1, changed = pg_current_xact_id()
     where command_id = $1 and agent_id = 'w7'`,
    [commandId],
  );
  // … while a younger one changes the second, and is told.
  const order = await two.order();
  await two.acknowledged(two.running(order));
  const told = await next(events);
  expect(told?.states).toEqual({ w8: 'running' });
  await slow.query('commit');
  core.bus.publish('command.changed', commandId);
  expect((await next(events))?.states).toEqual({ w7: 'running' });
  // A reader that broke off in between misses it no more than one that stayed.
  const { events: resumed } = watching(commandId, told?.cursor);
  expect((await next(resumed))?.states).toMatchObject({ w7: 'running' });
});

test('an abort ends a watch that waits and frees its subscription', async () => {
  const before = core.bus.listeners;
  const { commandId } = await submitted('w9');
  const { controller, events } = watching(commandId);
  await next(events);
  const waiting = next(events);
  expect(core.bus.listeners).toBe(before + 1);
  controller.abort();
  expect(await waiting).toBeUndefined();
  expect(core.bus.listeners).toBe(before);
});

test.each(['x', '-1', '99999999999999999999', '1 '])(
  'the cursor %j is refused by its name',
  async (cursor) => {
    const { events } = watching('01a00000-0000-7000-8000-000000000000', cursor);
    await expect(events.next()).rejects.toMatchObject({
      code: 'invalid_request',
      fields: [{ field: 'cursor' }],
    });
  },
);

test('a watch of a command that does not exist fails and leaves no subscription', async () => {
  const before = core.bus.listeners;
  const { events } = watching('01a00000-0000-7000-8000-000000000000');
  await expect(events.next()).rejects.toMatchObject({ code: 'command_unknown' });
  expect(core.bus.listeners).toBe(before);
});

test('a command with many executions is told in parts, and a reader that breaks off in the middle gets all of it', async () => {
  const own = await createTestDatabase();
  onTestFinished(() => own.drop());
  const fleet = stopAfterTest(await startCore(own.url));
  for (let n = 0; n < 150; n++) await enrolled(fleet, `fleet-${n}`);
  const { commandId } = await fleet.engine.submit('tester', { verb: 'system.info', target: { all: true } });
  const { events } = watching(commandId, undefined, fleet);
  const first = await next(events);
  expect(Object.keys(first?.states ?? {})).toHaveLength(64);
  const { events: resumed } = watching(commandId, first?.cursor, fleet);
  const seen = new Set<string>();
  while (seen.size < 150) for (const id of Object.keys((await next(resumed))?.states ?? {})) seen.add(id);
});
