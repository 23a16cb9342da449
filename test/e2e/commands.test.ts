import { describe, expect, test } from 'vitest';
import { Result_Outcome as Outcome } from '#gen/viworks/agent/v1/command_pb.js';
import type { SubmitInput } from '../../src/commands/types.ts';
import { newId } from '../../src/lib/ids.ts';
import { statement } from '../../src/storage/database.ts';
import { executionIn, statesOf, submitTo, watchUntil } from '../support/app-core.ts';
import { startFileCore } from '../support/app-core-file.ts';
import { connected, enrolled, spoken } from '../support/fake-agent.ts';

const { core } = await startFileCore();

const later = 31_000;

const submit = (agentId: string, input?: Partial<SubmitInput>) => submitTo(core, agentId, input);

describe('delivery', () => {
  test.each(['connect', 'websocket'] as const)(
    'a command for a connected agent goes there at once and ends with its result, over %s',
    async (transport) => {
      const { session } = await connected(core, `fast-${transport}`, { transport });
      await session.beat();
      const command = await submit(`fast-${transport}`, { args: { argv: ['echo', 'x'] } });
      const order = await session.order();
      expect(order).toMatchObject({
        agentId: `fast-${transport}`,
        incarnation: 1,
        attempt: 1,
        commandId: command.commandId,
        verb: 'exec',
      });
      session.accepted(order);
      session.running(order);
      const sequence = session.result(order, { stdout: { data: Buffer.from('x\n'), totalBytes: 2n } });
      await session.acknowledged(sequence);
      const execution = await executionIn(core.engine, command.commandId, 'succeeded');
      expect(statesOf(execution)).toEqual(['queued', 'sent', 'accepted', 'running', 'succeeded']);
      expect(execution.result).toMatchObject({ exitCode: 0, output: {} });
      expect(Buffer.from(execution.result?.stdout?.data ?? []).toString()).toBe('x\n');
    },
  );

  test('what is submitted while the agent is away waits and is delivered when it connects', async () => {
    const agent = await enrolled(core, 'away');
    const command = await submit('away');
    expect(command.counts).toEqual({ queued: 1 });
    const session = await agent.connect();
    session.result(await session.order());
    await executionIn(core.engine, command.commandId, 'succeeded');
  });

  test('a backlog is delivered by priority, and within one priority in the order of submits', async () => {
    const agent = await enrolled(core, 'backlog');
    const names: string[] = [];
    const ids = new Map<string, string>();
    for (const priority of ['low', 'normal', 'critical', 'normal', 'high', 'critical'] as const) {
      const name = `${priority}-${names.filter((n) => n.startsWith(priority)).length}`;
      names.push(name);
      ids.set((await submit('backlog', { priority })).commandId, name);
    }
    const session = await agent.connect();
    const got: (string | undefined)[] = [];
    for (const _ of names) got.push(ids.get((await session.order()).commandId));
    expect(got).toEqual(['critical-0', 'critical-1', 'high-0', 'normal-0', 'normal-1', 'low-0']);
  });

  test('never more executions are out than the agent gave credit for, and each result brings the next', async () => {
    const agent = await enrolled(core, 'window');
    const commands = [];
    for (let n = 0; n < 5; n++) commands.push(await submit('window'));
    const session = await agent.connect({ offer: { executionCredit: 2 } });
    const first = await session.order();
    const second = await session.order();
    commands.push(await submit('window'));
    await session.beat();
    expect(spoken(session).filter((kind) => kind === 'command')).toHaveLength(2);
    session.result(second);
    const third = await session.order();
    await session.beat();
    expect(spoken(session).filter((kind) => kind === 'command')).toHaveLength(3);
    // More credit in the middle of the session counts at once.
    session.send({ case: 'credit', value: { executions: 10 } });
    const rest = [await session.order(), await session.order(), await session.order()];
    for (const order of [first, third, ...rest]) session.result(order);
    for (const { commandId } of commands) await executionIn(core.engine, commandId, 'succeeded');
    const order = [first, second, third, ...rest].map(({ commandId }) => commandId);
    expect(order).toEqual(commands.map(({ commandId }) => commandId));
  });

  test('an agent that announces its departure gets nothing more, and finds it when it is back', async () => {
    const { agent, session } = await connected(core, 'leaving');
    session.send({ case: 'drain', value: { reason: 'update' } });
    await session.beat();
    const command = await submit('leaving');
    await session.beat();
    expect(spoken(session)).not.toContain('command');
    session.close();
    const next = await agent.connect();
    expect((await next.order()).commandId).toBe(command.commandId);
  });

  test('an agent that never acknowledges is offered the execution again after the deadline', async () => {
    const { session } = await connected(core, 'mute');
    await session.beat();
    const command = await submit('mute', { verb: 'system.info', args: {} });
    const order = await session.order();
    core.clock.advance(later);
    await core.engine.sweeper.sweep();
    const again = await session.order();
    expect(again).toEqual(order);
    session.result(again);
    const execution = await executionIn(core.engine, command.commandId, 'succeeded');
    expect(statesOf(execution)).toEqual(['queued', 'sent', 'queued', 'sent', 'succeeded']);
  });

  test('an execution whose session broke before the COMMAND was acknowledged is offered to the next one', async () => {
    const { agent, session } = await connected(core, 'broken');
    await session.beat();
    const command = await submit('broken');
    const order = await session.order();
    session.destroy();
    const next = await agent.connect();
    expect((await next.order()).executionId).toBe(order.executionId);
    expect((await executionIn(core.engine, command.commandId, 'sent')).attempt).toBe(1);
  });
});

describe('deadlines', () => {
  test('a command for an agent that stays away expires with its time to live', async () => {
    const agent = await enrolled(core, 'gone');
    const command = await submit('gone', { timeToLiveMs: 5000 });
    core.clock.advance(4999);
    await core.engine.sweeper.sweep();
    await executionIn(core.engine, command.commandId, 'queued');
    core.clock.advance(1);
    await core.engine.sweeper.sweep();
    const { transitions } = await executionIn(core.engine, command.commandId, 'expired');
    expect(transitions.at(-1)?.cause).toMatch(/time to live/);
    const session = await agent.connect();
    await session.beat();
    expect(spoken(session)).not.toContain('command');
  });

  test('the agent’s own time limit ends as timed_out, with what it said', async () => {
    const { session } = await connected(core, 'slow');
    await session.beat();
    const command = await submit('slow', { timeoutMs: 1000 });
    const order = await session.order();
    expect(order.timeout).toMatchObject({ seconds: 1n });
    session.result(order, {
      outcome: Outcome.TIMED_OUT,
      failure: { code: 'timeout', message: 'after 1 s' },
    });
    const execution = await executionIn(core.engine, command.commandId, 'timed_out');
    expect(execution.result?.failure).toEqual({ code: 'timeout', message: 'after 1 s' });
  });

  test('no result after time-out and grace becomes outcome_unknown, and a late result still counts', async () => {
    const { session } = await connected(core, 'late');
    await session.beat();
    const command = await submit('late', {
      verb: 'file.read',
      args: { path: '/etc/hosts' },
      timeoutMs: 1000,
    });
    const order = await session.order();
    await session.acknowledged(session.running(order));
    core.clock.advance(later + 1000);
    await core.engine.sweeper.sweep();
    await executionIn(core.engine, command.commandId, 'outcome_unknown');
    await session.acknowledged(session.result(order));
    const execution = await executionIn(core.engine, command.commandId, 'succeeded');
    expect(statesOf(execution).slice(-2)).toEqual(['outcome_unknown', 'succeeded']);
    expect(execution.result?.output).toBeDefined();
  });

  test('what was handed over and never acknowledged until its time to live is over is not run again if it may only run once', async () => {
    const { session } = await connected(core, 'once');
    await session.beat();
    const command = await submit('once', { timeToLiveMs: 1000 });
    await session.order();
    core.clock.advance(later);
    await core.engine.sweeper.sweep();
    await executionIn(core.engine, command.commandId, 'outcome_unknown');
  });
});

describe('cancel', () => {
  test('what is queued is cancelled and never delivered; repeating it changes nothing', async () => {
    const agent = await enrolled(core, 'cancel-queued');
    const command = await submit('cancel-queued');
    const answer = await core.engine.cancel('alice', command.commandId, 'wrong site');
    expect(answer).toMatchObject({ done: true, counts: { cancelled: 1 } });
    const execution = await executionIn(core.engine, command.commandId, 'cancelled');
    expect(execution.transitions.at(-1)?.cause).toBe('cancelled by alice: wrong site');
    await core.engine.cancel('alice', command.commandId, 'again');
    expect(await executionIn(core.engine, command.commandId, 'cancelled')).toEqual(execution);
    const session = await agent.connect();
    await session.beat();
    expect(spoken(session)).not.toContain('command');
  });

  test('what runs is told to stop and ends by what the agent says', async () => {
    const { session } = await connected(core, 'cancel-running');
    await session.beat();
    const command = await submit('cancel-running');
    const order = await session.order();
    await session.acknowledged(session.running(order));
    await core.engine.cancel('alice', command.commandId, '');
    expect(await session.next('cancel')).toMatchObject({
      executionId: order.executionId,
      attempt: 1,
      reason: 'cancelled by alice',
    });
    await executionIn(core.engine, command.commandId, 'running');
    session.result(order, { outcome: Outcome.CANCELLED });
    await executionIn(core.engine, command.commandId, 'cancelled');
  });

  test.each([
    ['still runs it', 'RUNNING'],
    ['never had it', undefined],
  ] as const)(
    'what is cancelled while the agent is away is settled when it comes back and %s',
    async (_, phase) => {
      const name = `cancelled-${phase ?? 'never'}`.toLowerCase();
      const { agent, session } = await connected(core, name);
      await session.beat();
      const command = await submit(name);
      const order = await session.order();
      session.destroy();
      await core.engine.cancel('alice', command.commandId, 'late');
      const account = phase === undefined ? [] : [{ order, phase }];
      const next = await agent.connect({ account });
      if (phase !== undefined) {
        expect(await next.next('cancel')).toMatchObject({ executionId: order.executionId });
        next.result(order, { outcome: Outcome.CANCELLED });
      }
      await executionIn(core.engine, command.commandId, 'cancelled');
      await next.beat();
      expect(spoken(next)).not.toContain('command');
    },
  );

  test('what the agent hands back after a cancel is not offered again', async () => {
    const { session } = await connected(core, 'cancel-back');
    await session.beat();
    const command = await submit('cancel-back');
    const order = await session.order();
    await core.engine.cancel('alice', command.commandId, '');
    await session.next('cancel');
    session.result(order, { outcome: Outcome.REJECTED, failure: { code: 'resource_exhausted' } });
    await executionIn(core.engine, command.commandId, 'cancelled');
    await session.beat();
    expect(spoken(session).filter((kind) => kind === 'command')).toHaveLength(1);
  });

  test('a command that does not exist is named', async () => {
    await expect(core.engine.cancel('alice', newId(), '')).rejects.toMatchObject({ code: 'command_unknown' });
  });
});

describe('maintenance', () => {
  test('commands are held and released again; what the agent has goes on', async () => {
    const { session } = await connected(core, 'kept');
    await session.beat();
    const before = await submit('kept');
    const order = await session.order();
    await core.agents.setMaintenance('kept', true, 'new disk');
    const held = await submit('kept');
    expect(held.counts).toEqual({ held: 1 });
    await session.acknowledged(session.result(order));
    await executionIn(core.engine, before.commandId, 'succeeded');
    await session.beat();
    expect(spoken(session).filter((kind) => kind === 'command')).toHaveLength(1);
    await core.agents.setMaintenance('kept', false, '');
    const late = await session.order();
    expect(late.commandId).toBe(held.commandId);
    session.result(late);
    const execution = await executionIn(core.engine, held.commandId, 'succeeded');
    expect(statesOf(execution)).toEqual(['held', 'queued', 'sent', 'succeeded']);
  });

  test('an agent that connects in maintenance gets nothing until it is over', async () => {
    const agent = await enrolled(core, 'parked');
    const queued = await submit('parked');
    await core.agents.setMaintenance('parked', true, 'move');
    await executionIn(core.engine, queued.commandId, 'held');
    const session = await agent.connect();
    await session.beat();
    expect(spoken(session)).not.toContain('command');
    await core.agents.setMaintenance('parked', false, '');
    expect((await session.order()).commandId).toBe(queued.commandId);
  });

  test('what is still held for a maintenance that is over, goes', async () => {
    const agent = await enrolled(core, 'left-held');
    await core.agents.setMaintenance('left-held', true, 'move');
    const held = await submit('left-held');
    // As a server leaves it that ends between the two.
    const over = 'update agents set maintenance = false where agent_id = $1';
    await core.database.query(statement('test_maintenance_over', over), ['left-held']);
    const session = await agent.connect();
    await session.beat();
    const next = await submit('left-held');
    const order = await session.order();
    expect(order.commandId).toBe(next.commandId);
    await session.acknowledged(session.result(order));
    core.clock.advance(later);
    await core.engine.sweeper.sweep();
    expect((await session.order()).commandId).toBe(held.commandId);
  });

  test('what is held for want of an acknowledgement, and ran all the same, ends with its result', async () => {
    const { session } = await connected(core, 'ran-held');
    await session.beat();
    const command = await submit('ran-held');
    const order = await session.order();
    await core.agents.setMaintenance('ran-held', true, 'x');
    core.clock.advance(later);
    await core.engine.sweeper.sweep();
    await core.agents.setMaintenance('ran-held', true, 'x');
    await executionIn(core.engine, command.commandId, 'held');
    await session.acknowledged(session.result(order));
    await executionIn(core.engine, command.commandId, 'succeeded');
    await core.agents.setMaintenance('ran-held', false, '');
    await session.beat();
    expect(spoken(session).filter((kind) => kind === 'command')).toHaveLength(1);
  });

  test('what is held expires as well, and may be cancelled', async () => {
    await enrolled(core, 'stuck');
    await core.agents.setMaintenance('stuck', true, 'x');
    const expiring = await submit('stuck', { timeToLiveMs: 1000 });
    const cancelled = await submit('stuck');
    await core.engine.cancel('alice', cancelled.commandId, '');
    await executionIn(core.engine, cancelled.commandId, 'cancelled');
    core.clock.advance(1000);
    await core.engine.sweeper.sweep();
    await executionIn(core.engine, expiring.commandId, 'expired');
  });
});

test('a command for a whole site ends when its last execution ends', async () => {
  const sessions = [];
  for (const agentId of ['site-a', 'site-b', 'site-c']) {
    const agent = await enrolled(core, agentId, { site: 'three' });
    sessions.push(await agent.connect());
  }
  const { commandId } = await core.engine.submit('tester', {
    verb: 'system.info',
    target: { site: 'three' },
  });
  for (const session of sessions) session.result(await session.order());
  const all = await watchUntil(core.engine, commandId, (_, { command }) => command.done);
  expect(all.map(({ agentId, state }) => [agentId, state])).toEqual([
    ['site-a', 'succeeded'],
    ['site-b', 'succeeded'],
    ['site-c', 'succeeded'],
  ]);
});
