import { describe, expect, test } from 'vitest';
import type { RolloutInput, RolloutState } from '../../src/commands/rollouts/types.ts';
import type { Command, SubmitInput } from '../../src/commands/types.ts';
import { watchUntil } from '../support/app-core.ts';
import { startFileCore } from '../support/app-core-file.ts';
import { ownCore } from '../support/app-core-own.ts';
import { startFleet } from '../support/fleet.ts';

const { core } = await startFileCore();

const submit = (
  site: string,
  rollout: RolloutInput,
  input: Partial<SubmitInput> = {},
  on = core,
): Promise<Command> =>
  on.engine.submit('tester', {
    verb: 'exec',
    args: { argv: ['true'] },
    target: { site },
    rollout,
    ...input,
  });

/** The command, once its rollout is as wanted. */
async function rolloutIs(
  commandId: string,
  wanted: RolloutState | ((command: Command) => boolean),
  on = core,
): Promise<Command> {
  let seen: Command | undefined;
  await watchUntil(on.engine, commandId, (_, { command }) => {
    seen = command;
    return typeof wanted === 'string' ? command.rollout?.state === wanted : wanted(command);
  });
  if (seen === undefined) throw new Error('nothing was told');
  return seen;
}

const names = (site: string, ...numbers: number[]) =>
  numbers.map((n) => `${site}-${String(n).padStart(3, '0')}`);
const counts = (command: Command) => command.rollout?.counts;

describe('a rollout', () => {
  test('goes to its canary, then batch by batch, and is completed when all have ended', async () => {
    const fleet = await startFleet(core, 'steps', 7);
    const command = await submit('steps', { canary: 1, batch: { agents: 3 } });
    expect(command).toMatchObject({
      counts: { held: 7 },
      rollout: { state: 'running', released: 0, counts: { waiting: 7 } },
    });
    await fleet.came(1);
    await fleet.settled();
    fleet.answer('steps-000');
    await fleet.came(4);
    fleet.answer('steps-001');
    fleet.answer('steps-002');
    await rolloutIs(command.commandId, ({ counts }) => counts.succeeded === 3);
    await fleet.settled();
    fleet.answerAll();
    const done = await rolloutIs(command.commandId, 'completed');
    expect(done).toMatchObject({
      done: true,
      counts: { succeeded: 7 },
      rollout: { released: 7, counts: { succeeded: 7, failed: 0, undelivered: 0, inFlight: 0, waiting: 0 } },
    });
    const stages = [fleet.events.slice(0, 2), fleet.events.slice(2, 8), fleet.events.slice(8)];
    expect(stages.map((events) => events.sort())).toEqual(
      [[0], [1, 2, 3], [4, 5, 6]].map((numbers) => {
        const agents = names('steps', ...numbers);
        return [...agents.map((agent) => `+${agent}`), ...agents.map((agent) => `-${agent}`)];
      }),
    );
  });

  test('has at most so many under way as its plan says', async () => {
    const fleet = await startFleet(core, 'narrow', 12);
    const command = await submit('narrow', { canary: 0, batch: { agents: 12 }, maxInFlight: 3 });
    await fleet.came(3);
    await fleet.settled();
    fleet.answer('narrow-001');
    await fleet.came(4);
    await fleet.settled();
    fleet.answerAll();
    await rolloutIs(command.commandId, 'completed');
    let [open, most] = [0, 0];
    for (const event of fleet.events) {
      open += event.startsWith('+') ? 1 : -1;
      most = Math.max(most, open);
    }
    expect({ orders: fleet.orders.length, most }).toEqual({ orders: 12, most: 3 });
  });

  test('is stopped by a canary that fails; by force it goes on', async () => {
    const fleet = await startFleet(core, 'canary', 4);
    const { commandId } = await submit('canary', { batch: { agents: 10 } });
    fleet.answer('canary-000', 'FAILED');
    const stopped = await rolloutIs(commandId, 'stopped');
    expect(stopped).toMatchObject({
      done: false,
      counts: { failed: 1, held: 3 },
      rollout: {
        reason: 'the canary did not succeed: 1 of 1 failed or could not be delivered',
        counts: { failed: 1, waiting: 3 },
      },
    });
    await expect(core.engine.resumeRollout('alice', commandId, { force: false })).rejects.toMatchObject({
      code: 'rollout_state',
      message: expect.stringMatching(/stopped .*force/),
    });
    await fleet.settled();
    expect(fleet.orders).toEqual(names('canary', 0));
    const resumed = await core.engine.resumeRollout('alice', commandId, { force: true });
    expect(resumed.rollout).toMatchObject({
      state: 'running',
      reason: 'resumed by force by alice',
      released: 4,
    });
    fleet.answerAll();
    const done = await rolloutIs(commandId, 'completed');
    expect(counts(done)).toMatchObject({ failed: 1, succeeded: 3 });
  });

  test('is stopped in its second batch by the threshold; what was let go and not handed over is cancelled', async () => {
    // The last of the second batch is not there.
    const fleet = await startFleet(core, 'threshold', 16, [10]);
    const failureThreshold = { percent: 20, minimumSample: 7 };
    const { commandId } = await submit('threshold', { batch: { agents: 5 }, failureThreshold });
    for (const name of names('threshold', 0, 1, 2, 3, 4)) fleet.answer(name);
    // One in six is not enough, whatever the share.
    fleet.answer('threshold-005', 'FAILED');
    await fleet.came(10);
    await rolloutIs(commandId, ({ counts }) => counts.failed === 1);
    await fleet.settled();
    fleet.answer('threshold-006', 'TIMED_OUT');
    const { rollout, counts: states } = await rolloutIs(commandId, 'stopped');
    expect(rollout).toMatchObject({
      reason: '2 of 7 failed (28.6 %); the threshold is 20 % of at least 7',
      released: 11,
      counts: { succeeded: 5, failed: 2, undelivered: 1, inFlight: 3, waiting: 5 },
    });
    expect(states).toMatchObject({ cancelled: 1, held: 5 });
    // What agents have goes on to its end, and nothing follows.
    fleet.answerAll();
    const after = await rolloutIs(commandId, (command) => counts(command)?.inFlight === 0);
    expect(after.rollout).toMatchObject({ state: 'stopped', counts: { succeeded: 8, waiting: 5 } });
    await fleet.settled();
    expect(fleet.orders).toHaveLength(10);
    const aborted = await core.engine.abortRollout('alice', commandId, 'bad build', { stopRunning: false });
    expect(aborted).toMatchObject({
      done: true,
      counts: { succeeded: 8, cancelled: 6 },
      rollout: { state: 'aborted', reason: 'aborted by alice: bad build', counts: { undelivered: 6 } },
    });
  });

  test('pauses after its canary if asked to', async () => {
    const fleet = await startFleet(core, 'look', 3);
    const { commandId } = await submit('look', { pauseAfterCanary: true, batch: { agents: 1 } });
    fleet.answerAll();
    const paused = await rolloutIs(commandId, 'paused');
    expect(paused.rollout).toMatchObject({ reason: expect.stringMatching(/canary succeeded/), released: 1 });
    await core.engine.resumeRollout('alice', commandId, { force: false });
    await rolloutIs(commandId, 'completed');
  });

  test('that is paused takes back what no agent has, and goes on where it was', async () => {
    const fleet = await startFleet(core, 'paused', 6, [1]);
    const { commandId } = await submit('paused', { canary: 0, batch: { agents: 3 } });
    await fleet.came(2);
    const paused = await core.engine.pauseRollout('alice', commandId, 'lunch');
    expect(paused).toMatchObject({
      counts: { sent: 2, held: 4 },
      rollout: { state: 'paused', reason: 'paused by alice: lunch', released: 3 },
    });
    expect(await core.engine.pauseRollout('bob', commandId, '')).toMatchObject({
      rollout: { reason: 'paused by alice: lunch' },
    });
    const away = fleet.agents[1];
    if (away === undefined) throw new Error('no such agent');
    await fleet.connect(away);
    fleet.answerAll();
    await rolloutIs(commandId, ({ counts }) => counts.succeeded === 2);
    await fleet.settled();
    expect(fleet.orders).toHaveLength(2);
    // However long it is paused, what was let go waits as long as the command may.
    core.clock.advance(3_600_000);
    await core.engine.sweeper.sweep();
    await core.engine.resumeRollout('bob', commandId, { force: false });
    await rolloutIs(commandId, 'completed');
    expect(fleet.orders[2]).toBe('paused-001');
    await expect(core.engine.pauseRollout('alice', commandId, '')).rejects.toMatchObject({
      code: 'rollout_state',
    });
  });

  test.each([false, true])(
    'that is aborted cancels what no agent has; stops what runs: %s',
    async (stopRunning) => {
      const site = stopRunning ? 'abort-all' : 'abort';
      const fleet = await startFleet(core, site, 4, [1]);
      const { commandId } = await submit(site, { canary: 0, batch: { agents: 2 } });
      await fleet.came(1);
      const aborted = await core.engine.abortRollout('alice', commandId, '', { stopRunning });
      expect(aborted).toMatchObject({
        done: false,
        counts: { sent: 1, cancelled: 3 },
        rollout: { state: 'aborted', reason: 'aborted by alice' },
      });
      const session = fleet.sessions.get(`${site}-000`);
      if (stopRunning) await session?.next('cancel');
      await fleet.settled();
      expect(session?.heard.includes('cancel')).toBe(stopRunning);
      fleet.answerAll(stopRunning ? 'CANCELLED' : 'SUCCEEDED');
      await rolloutIs(commandId, ({ done }) => done);
      expect(fleet.orders).toHaveLength(1);
      await expect(core.engine.resumeRollout('alice', commandId, { force: true })).rejects.toMatchObject({
        code: 'rollout_state',
      });
    },
  );

  test('whose command is cancelled is aborted', async () => {
    const fleet = await startFleet(core, 'cancelled', 4);
    const { commandId } = await submit('cancelled', {});
    await fleet.came(1);
    await core.engine.cancel('alice', commandId, 'no');
    fleet.answerAll('CANCELLED');
    const done = await rolloutIs(commandId, ({ done }) => done);
    expect(done).toMatchObject({
      counts: { cancelled: 4 },
      rollout: { state: 'aborted', reason: 'cancelled by alice: no', counts: { failed: 1, undelivered: 3 } },
    });
  });

  test('counts an agent that is not there as undelivered and goes on', async () => {
    const fleet = await startFleet(core, 'offline', 5, [2]);
    const { commandId } = await submit('offline', { batch: { agents: 2 }, deliveryTimeoutMs: 60_000 });
    fleet.answerAll();
    await rolloutIs(commandId, ({ counts }) => counts.succeeded === 2);
    core.clock.advance(59_999);
    await core.engine.sweeper.sweep();
    await fleet.settled();
    expect(fleet.orders).toHaveLength(2);
    core.clock.advance(1);
    await core.engine.sweeper.sweep();
    const done = await rolloutIs(commandId, 'completed');
    expect(counts(done)).toMatchObject({ succeeded: 4, undelivered: 1, failed: 0 });
  });

  test('is stopped by undelivered ones where its plan says so', async () => {
    const fleet = await startFleet(core, 'unreached', 9, [1, 2]);
    const { commandId } = await submit('unreached', {
      batch: { agents: 4 },
      deliveryFailureThreshold: { percent: 40, minimumSample: 5 },
    });
    fleet.answerAll();
    await rolloutIs(commandId, ({ counts }) => counts.succeeded === 3);
    core.clock.advance(300_000);
    await core.engine.sweeper.sweep();
    const { rollout } = await rolloutIs(commandId, 'stopped');
    expect(rollout?.reason).toBe('2 of 5 could not be delivered (40 %); the threshold is 40 % of at least 5');
  });

  test('ends when its time to live is over before it got to all', async () => {
    const fleet = await startFleet(core, 'overdue', 4);
    const { commandId } = await submit('overdue', { pauseAfterCanary: true }, { timeToLiveMs: 10_000 });
    fleet.answerAll();
    await rolloutIs(commandId, 'paused');
    core.clock.advance(10_000);
    await core.engine.sweeper.sweep();
    const done = await rolloutIs(commandId, 'completed');
    expect(done).toMatchObject({ done: true, rollout: { counts: { succeeded: 1, undelivered: 3 } } });
  });

  test('waits for an agent in maintenance, and goes on when it is back', async () => {
    const fleet = await startFleet(core, 'service', 3);
    await core.agents.setMaintenance('service-001', true, 'new disk');
    const { commandId } = await submit('service', { batch: { agents: 1 } });
    fleet.answerAll();
    await rolloutIs(commandId, ({ rollout }) => rollout?.released === 2);
    const { executions } = await core.engine.get(commandId, { size: 10, token: undefined });
    expect(executions.items[1]?.transitions.at(-1)?.cause).toBe('the agent is in maintenance: new disk');
    await core.agents.setMaintenance('service-001', false, '');
    await rolloutIs(commandId, 'completed');
    const after = await core.engine.get(commandId, { size: 10, token: undefined });
    expect(after.executions.items[1]?.transitions.map(({ state }) => state)).toEqual([
      'held',
      'held',
      'held',
      'queued',
      'sent',
      'accepted',
      'succeeded',
    ]);
  });

  test('lets go again what was handed over and never arrived', async () => {
    const fleet = await startFleet(core, 'broken', 2);
    const { commandId } = await submit('broken', {});
    await fleet.came(1);
    const [agent] = fleet.agents;
    if (agent === undefined) throw new Error('no such agent');
    fleet.sessions.get(agent.agentId)?.destroy();
    await fleet.connect(agent);
    await fleet.came(2);
    fleet.sessions.get(agent.agentId)?.destroy();
    // What comes back while it is paused, or after it was aborted, stays where it is.
    await core.engine.pauseRollout('alice', commandId, '');
    await fleet.connect(agent);
    await rolloutIs(commandId, ({ counts }) => counts.held === 2);
    await fleet.settled();
    await core.engine.resumeRollout('alice', commandId, { force: false });
    await fleet.came(3);
    fleet.sessions.get(agent.agentId)?.destroy();
    await core.engine.abortRollout('alice', commandId, '', { stopRunning: false });
    await fleet.connect(agent);
    await rolloutIs(commandId, ({ counts }) => counts.cancelled === 2);
    await fleet.settled();
    expect(fleet.orders).toHaveLength(3);
  });

  test('goes on after a restart of the server', async () => {
    const own = await ownCore();
    const before = await own.start();
    const fleet = await startFleet(before, 'restart', 6);
    const { commandId } = await submit('restart', { batch: { agents: 2 } }, {}, before);
    const paused = await submit('restart', { pauseAfterCanary: true, batch: { agents: 9 } }, {}, before);
    fleet.answer('restart-000');
    fleet.answer('restart-001');
    // The canary of the other one and two of this one’s batch.
    await fleet.came(4);
    await rolloutIs(commandId, ({ counts }) => counts.succeeded === 2, before);
    await rolloutIs(paused.commandId, 'paused', before);
    await before.stop();
    const after = await own.start();
    after.engine.start();
    fleet.answerAll();
    await Promise.all(fleet.agents.map((agent) => fleet.connect(agent, after)));
    const done = await rolloutIs(commandId, 'completed', after);
    // What was handed over before the end of the server is offered again, because its agent never answered.
    expect(counts(done)).toMatchObject({ succeeded: 6 });
    await after.engine.resumeRollout('alice', paused.commandId, { force: false });
    await rolloutIs(paused.commandId, 'completed', after);
  });

  test('is told of by its command, and a command that is none is named', async () => {
    await startFleet(core, 'plain', 1);
    const plain = await core.engine.submit('tester', { verb: 'system.info', target: { site: 'plain' } });
    expect(plain.rollout).toBeUndefined();
    await expect(core.engine.pauseRollout('alice', plain.commandId, '')).rejects.toMatchObject({
      code: 'rollout_unknown',
    });
    const { commandId, timeToLiveMs } = await submit('plain', { batch: { percent: 50 } });
    expect(timeToLiveMs).toBe(24 * 3_600_000);
    const { items } = await core.engine.listRollouts({ state: 'running' }, { size: 1, token: undefined });
    expect(items.map((item) => item.commandId)).toEqual([commandId]);
    expect((await core.engine.getRollout(commandId)).rollout?.plan).toEqual({
      canary: 1,
      batch: { percent: 50 },
      maxInFlight: undefined,
      failureThreshold: { percent: 10, minimumSample: 5 },
      deliveryFailureThreshold: undefined,
      pauseAfterCanary: false,
      deliveryTimeoutMs: 300_000,
    });
  });

  test('is part of what an idempotency key stands for', async () => {
    await startFleet(core, 'same', 2);
    const first = await submit('same', { canary: 2 }, { idempotencyKey: 'once' });
    const again = await submit('same', { canary: 2 }, { idempotencyKey: 'once' });
    expect(again.commandId).toBe(first.commandId);
    await expect(submit('same', { canary: 1 }, { idempotencyKey: 'once' })).rejects.toMatchObject({
      code: 'idempotency_conflict',
    });
  });
});
