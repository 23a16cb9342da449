import { expect, test } from 'vitest';
import { Result_Outcome as Outcome } from '#gen/viworks/agent/v1/command_pb.js';
import type { SubmitInput } from '../../src/commands/types.ts';
import { executionIn, statesOf } from '../support/app-core.ts';
import { startFileCore } from '../support/app-core-file.ts';
import { enrolled } from '../support/fake-agent.ts';

/** Attempts that fail, and what follows them. */

const { core } = await startFileCore();

const read = { verb: 'system.info', args: {} };
const failure = { outcome: Outcome.FAILED, failure: { code: 'exit_code', message: 'exit code 1' } };

async function connected(agentId: string) {
  return (await enrolled(core, agentId)).connect();
}
const submit = (agentId: string, input: Partial<SubmitInput>) =>
  core.engine.submit('tester', { ...read, target: { agents: [agentId] }, ...input });

/** Waits until the execution waits for its retry, and lets that time pass. */
async function passBackoff(commandId: string) {
  const held = await executionIn(core.engine, commandId, 'held');
  core.clock.advance(60_000);
  await core.engine.sweeper.sweep();
  return held;
}

test('a read that fails is tried again with a new attempt until it succeeds', async () => {
  const session = await connected('flaky');
  const { commandId } = await submit('flaky', { maxRetries: 3 });
  for (const attempt of [1, 2]) {
    const order = await session.order();
    expect(order.attempt).toBe(attempt);
    await session.acknowledged(session.result(order, failure));
    const held = await passBackoff(commandId);
    expect(held.transitions.at(-1)?.cause).toMatch(new RegExp(`^exit code 1; retry ${attempt} of 3 in \\d`));
  }
  const last = await session.order();
  expect(last.attempt).toBe(3);
  session.result(last);
  const execution = await executionIn(core.engine, commandId, 'succeeded');
  const once = ['sent', 'held', 'queued'];
  expect(statesOf(execution)).toEqual(['queued', ...once, ...once, 'sent', 'succeeded']);
});

test('when the retries are used up, the failure is the end', async () => {
  const session = await connected('hopeless');
  const { commandId } = await submit('hopeless', { maxRetries: 1 });
  session.result(await session.order(), failure);
  await passBackoff(commandId);
  session.result(await session.order(), { ...failure, exitCode: 7 });
  const execution = await executionIn(core.engine, commandId, 'failed');
  expect(execution.attempt).toBe(2);
  expect(execution.result?.exitCode).toBe(7);
});

test('what must happen once is never tried again after it began', async () => {
  const session = await connected('careful');
  const { commandId } = await submit('careful', { verb: 'exec', args: { argv: ['true'] }, maxRetries: 5 });
  session.result(await session.order(), failure);
  const execution = await executionIn(core.engine, commandId, 'failed');
  expect(execution.attempt).toBe(1);
});

test('a failure that time does not mend is not tried again', async () => {
  const session = await connected('forbidden');
  const { commandId } = await submit('forbidden', { maxRetries: 5 });
  const denied = { code: 'permission_denied', message: 'EACCES' };
  session.result(await session.order(), { outcome: Outcome.FAILED, failure: denied });
  expect((await executionIn(core.engine, commandId, 'failed')).attempt).toBe(1);
});

test('a late word of the attempt before changes nothing of the one that waits', async () => {
  const session = await connected('stammering');
  const { commandId } = await submit('stammering', { maxRetries: 1 });
  const first = await session.order();
  session.result(first, failure);
  await executionIn(core.engine, commandId, 'held');
  await session.acknowledged(session.running(first));
  await session.acknowledged(session.result(first));
  await passBackoff(commandId);
  const second = await session.order();
  expect(second.attempt).toBe(2);
  session.result(second);
  await executionIn(core.engine, commandId, 'succeeded');
});

test('cancelled while it waits for its retry, it is not offered again', async () => {
  const session = await connected('called-off');
  const { commandId } = await submit('called-off', { maxRetries: 3 });
  session.result(await session.order(), failure);
  await executionIn(core.engine, commandId, 'held');
  await core.engine.cancel('tester', commandId, 'enough');
  const execution = await executionIn(core.engine, commandId, 'cancelled');
  expect(execution.transitions.at(-1)?.cause).toBe('cancelled by tester: enough');
});

test('a wait that would outlast the time to live is not begun', async () => {
  const session = await connected('in-a-hurry');
  // The shortest wait before a first retry is half a second.
  const { commandId } = await submit('in-a-hurry', { maxRetries: 3, timeToLiveMs: 400 });
  session.result(await session.order(), failure);
  expect((await executionIn(core.engine, commandId, 'failed')).attempt).toBe(1);
});

test('the end of a maintenance does not cut the wait short, and nothing is offered during one', async () => {
  const session = await connected('serviced');
  const { commandId } = await submit('serviced', { maxRetries: 1 });
  session.result(await session.order(), failure);
  await executionIn(core.engine, commandId, 'held');
  await core.agents.setMaintenance('serviced', true, 'disk');
  await core.agents.setMaintenance('serviced', false, '');
  await executionIn(core.engine, commandId, 'held');
  await core.agents.setMaintenance('serviced', true, 'disk');
  core.clock.advance(60_000);
  await core.engine.sweeper.sweep();
  await executionIn(core.engine, commandId, 'queued');
  await core.agents.setMaintenance('serviced', false, '');
  session.result(await session.order());
  await executionIn(core.engine, commandId, 'succeeded');
});
