import { describe, expect, onTestFinished, test } from 'vitest';
import type { SubmitInput } from '../../src/commands/types.ts';
import { startCore, stopAfterTest, watchUntil } from '../support/app-core.ts';
import { startFileCore } from '../support/app-core-file.ts';
import { databaseWire } from '../support/database-wire.ts';
import { startFleet } from '../support/fleet.ts';
import { createTestDatabase } from '../support/postgres.ts';

/** What is dangerous waits for a second person. Here everything that changes something is. */

const { core } = await startFileCore({ approval: 'elevated' });

const submit = (site: string, input: Partial<SubmitInput> = {}) =>
  core.engine.submit('alice', { verb: 'exec', args: { argv: ['true'] }, target: { site }, ...input });
const approve = (commandId: string, actor = 'bob') => core.engine.decide(actor, commandId, 'approved', '');
const reject = (commandId: string, actor = 'bob') => core.engine.decide(actor, commandId, 'rejected', 'no');
const done = (commandId: string) => watchUntil(core.engine, commandId, (_, event) => event.command.done);
const get = (commandId: string) => core.engine.get(commandId, { size: 100, token: undefined });

describe('a command that needs approval', () => {
  test('waits for a second person, and goes when that one approves', async () => {
    const fleet = await startFleet(core, 'basic', 2);
    fleet.answerAll();
    const { commandId, approval, counts } = await submit('basic');
    expect(counts).toEqual({ held: 2 });
    expect(approval).toMatchObject({ state: 'pending', requestedBy: 'alice' });
    await fleet.settled();
    expect(fleet.orders).toEqual([]);
    const ended = done(commandId);
    expect((await approve(commandId)).approval).toMatchObject({ state: 'approved', decidedBy: 'bob' });
    await ended;
    const { command, executions } = await get(commandId);
    expect(command.counts).toEqual({ succeeded: 2 });
    expect(executions.items[0]?.transitions.map((t) => [t.state, t.cause]).slice(0, 2)).toEqual([
      ['held', 'waits for the approval of a second person'],
      ['queued', 'approved by bob'],
    ]);
    // The same word again changes nothing, another one is refused.
    expect((await approve(commandId)).approval?.decidedBy).toBe('bob');
    await expect(reject(commandId)).rejects.toMatchObject({ code: 'approval_state' });
    await expect(approve(commandId, 'carol')).rejects.toMatchObject({ code: 'approval_state' });
  });

  test('cannot be approved or rejected by who submitted it', async () => {
    await startFleet(core, 'own', 1);
    const { commandId } = await submit('own');
    await expect(approve(commandId, 'alice')).rejects.toMatchObject({ code: 'approval_own' });
    await expect(reject(commandId, 'alice')).rejects.toMatchObject({ code: 'approval_own' });
    expect((await get(commandId)).command.counts).toEqual({ held: 1 });
  });

  test('ends where it is rejected, and nothing is sent', async () => {
    const fleet = await startFleet(core, 'rejected', 2);
    const { commandId } = await submit('rejected');
    const command = await reject(commandId);
    expect(command).toMatchObject({
      done: true,
      counts: { cancelled: 2 },
      approval: { state: 'rejected', decidedBy: 'bob', reason: 'no' },
    });
    await fleet.settled();
    expect(fleet.orders).toEqual([]);
    await expect(approve(commandId, 'carol')).rejects.toThrow('rejected by bob');
  });

  test('of many who decide at once, one does', async () => {
    const fleet = await startFleet(core, 'race', 3);
    fleet.answerAll();
    const { commandId } = await submit('race');
    const outcomes = await Promise.allSettled(
      Array.from({ length: 10 }, (_, n) =>
        n % 2 === 0 ? approve(commandId, `person-${n}`) : reject(commandId, `person-${n}`),
      ),
    );
    const won = outcomes.flatMap((o) => (o.status === 'fulfilled' ? [o.value.approval?.state] : []));
    expect(won).toHaveLength(1);
    await done(commandId);
    const { counts } = (await get(commandId)).command;
    expect(counts).toEqual(won[0] === 'approved' ? { succeeded: 3 } : { cancelled: 3 });
  });

  test('is withdrawn by its cancellation', async () => {
    await startFleet(core, 'withdrawn', 1);
    const { commandId } = await submit('withdrawn');
    const command = await core.engine.cancel('alice', commandId, 'a mistake');
    expect(command).toMatchObject({ done: true, counts: { cancelled: 1 }, approval: { state: 'withdrawn' } });
    await expect(approve(commandId)).rejects.toMatchObject({ code: 'approval_state' });
  });

  test('expires where nobody decides in time', async () => {
    await startFleet(core, 'late', 1);
    const { commandId } = await submit('late', { timeToLiveMs: 60_000 });
    core.clock.advance(61_000);
    await core.engine.sweeper.sweep();
    const { command } = await get(commandId);
    expect(command).toMatchObject({ done: true, counts: { expired: 1 }, approval: { state: 'expired' } });
    await expect(approve(commandId)).rejects.toThrow('its time is over');
    const { items } = await core.engine.list({ awaitingApproval: true, site: 'late' }, page());
    expect(items).toEqual([]);
  });

  test('waits on where its agent is in maintenance', async () => {
    const fleet = await startFleet(core, 'upkeep', 1);
    fleet.answerAll();
    const { commandId } = await submit('upkeep');
    await core.agents.setMaintenance('upkeep-000', true, 'new disk');
    expect((await approve(commandId)).counts).toEqual({ held: 1 });
    expect((await get(commandId)).executions.items[0]?.transitions.at(-1)).toMatchObject({
      state: 'held',
      cause: 'approved by bob; the agent is in maintenance',
    });
    const ended = done(commandId);
    await core.agents.setMaintenance('upkeep-000', false, '');
    await ended;
    expect((await get(commandId)).command.counts).toEqual({ succeeded: 1 });
  });

  test('is not let go by the end of a maintenance', async () => {
    const fleet = await startFleet(core, 'upkeep2', 1);
    const { commandId } = await submit('upkeep2');
    await core.agents.setMaintenance('upkeep2-000', true, 'new disk');
    await core.agents.setMaintenance('upkeep2-000', false, '');
    await fleet.settled();
    expect(fleet.orders).toEqual([]);
    expect((await get(commandId)).command.counts).toEqual({ held: 1 });
  });

  test('begins its rollout when it is approved', async () => {
    const fleet = await startFleet(core, 'steps', 4);
    fleet.answerAll();
    const { commandId } = await submit('steps', { rollout: { canary: 1, batch: { agents: 2 } } });
    await fleet.settled();
    expect(fleet.orders).toEqual([]);
    const ended = done(commandId);
    await approve(commandId);
    await ended;
    expect((await get(commandId)).command).toMatchObject({
      counts: { succeeded: 4 },
      rollout: { state: 'completed' },
    });
    expect(fleet.events.slice(0, 2)).toEqual(['+steps-000', '-steps-000']);
  });

  test('is found by those who look for it', async () => {
    await startFleet(core, 'found', 1);
    const { commandId } = await submit('found');
    const list = async (awaitingApproval: boolean) =>
      (await core.engine.list({ awaitingApproval, site: 'found' }, page())).items.map((c) => c.commandId);
    expect(await list(true)).toEqual([commandId]);
    expect(await list(false)).toEqual([]);
  });

  test('says so to those who watch it', async () => {
    const fleet = await startFleet(core, 'watched', 1);
    fleet.answerAll();
    const { commandId } = await submit('watched');
    const told: (string | undefined)[] = [];
    const ended = watchUntil(core.engine, commandId, (_, { command }) => {
      told.push(command.approval?.state);
      if (told.length === 1) void approve(commandId);
      return command.done;
    });
    await ended;
    expect(told[0]).toBe('pending');
    expect(told.at(-1)).toBe('approved');
  });
});

test('what only reads needs nobody, and says so', async () => {
  await startFleet(core, 'reading', 1);
  const { commandId, approval } = await submit('reading', { verb: 'system.info', args: {} });
  expect(approval).toBeUndefined();
  await expect(approve(commandId)).rejects.toMatchObject({ code: 'approval_unknown' });
});

test('a dry run says what waits for approval', async () => {
  await startFleet(core, 'dry', 1);
  const plan = await core.engine.plan({ verb: 'exec', args: { argv: ['true'] }, target: { site: 'dry' } });
  expect(plan.chosen).toEqual([
    { agentId: 'dry-000', state: 'held', reason: 'waits for the approval of a second person' },
  ]);
});

const page = () => ({ size: 100, token: undefined });

test('what was approved goes, also where the database went away with the answer', async () => {
  const own = await createTestDatabase();
  onTestFinished(() => own.drop());
  const wire = await databaseWire(own.url);
  const onWire = stopAfterTest(await startCore(wire.url, { approval: 'elevated' }));
  const fleet = await startFleet(onWire, 'wire', 1);
  fleet.answerAll();
  const input = { verb: 'exec', args: { argv: ['true'] }, target: { site: 'wire' } };
  // Before, the agent has taken all that was queued for it.
  const { commandId: first } = await onWire.engine.submit('alice', input);
  await onWire.engine.decide('bob', first, 'approved', '');
  await watchUntil(onWire.engine, first, (_, event) => event.command.done);

  const { commandId } = await onWire.engine.submit('alice', input);
  wire.breakAt('commit', 'after');
  const decided = onWire.engine.decide('bob', commandId, 'approved', '');
  await expect(decided).rejects.toMatchObject({ code: 'database_unavailable' });
  onWire.clock.advance(30_000);
  await onWire.engine.sweeper.sweep();
  await watchUntil(onWire.engine, commandId, (_, event) => event.command.counts.succeeded === 1);
});

test('whatever comes at the same moment, what was cancelled ends', async () => {
  const fleet = await startFleet(core, 'moment', 5);
  fleet.answerAll();
  for (let round = 0; round < 40; round++) {
    const { commandId } = await submit('moment');
    const refused = () => {};
    const first = [approve(commandId).catch(refused), reject(commandId, 'carol').catch(refused)];
    const cancelled = core.engine.cancel('alice', commandId, '');
    await Promise.all([...first, cancelled, approve(commandId, 'eve').catch(refused)]);
    await done(commandId);
  }
});
