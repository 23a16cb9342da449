import { expect, test } from 'vitest';
import { Result_Outcome as Outcome } from '#gen/viworks/agent/v1/command_pb.js';
import type { SubmitInput } from '../../src/commands/types.ts';
import { newId } from '../../src/lib/ids.ts';
import { executionIn, statesOf, submitTo } from '../support/app-core.ts';
import { startFileCore } from '../support/app-core-file.ts';
import { connected, enrolled, spoken } from '../support/fake-agent.ts';

/** Agents that say what is wrong, odd or unwelcome, on purpose or not. */

const { core } = await startFileCore();

const submit = (agentId: string, input?: Partial<SubmitInput>) => submitTo(core, agentId, input);

const nested = (depth: number) => Buffer.from(`${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`);

test('a result that comes twice is acknowledged twice and counts once', async () => {
  const { session } = await connected(core, 'twice');
  await session.beat();
  const command = await submit('twice');
  const order = await session.order();
  session.result(order);
  await session.acknowledged(session.result(order, { outcome: Outcome.FAILED, exitCode: 9 }));
  const execution = await executionIn(core.engine, command.commandId, 'succeeded');
  expect(statesOf(execution)).toEqual(['queued', 'sent', 'succeeded']);
  expect(execution.result?.exitCode).toBe(0);
});

test('progress after the result changes nothing', async () => {
  const { session } = await connected(core, 'backwards');
  await session.beat();
  const command = await submit('backwards');
  const order = await session.order();
  session.result(order);
  session.accepted(order);
  await session.acknowledged(session.running(order));
  expect(statesOf(await executionIn(core.engine, command.commandId, 'succeeded'))).toEqual([
    'queued',
    'sent',
    'succeeded',
  ]);
});

test('a result for an execution of another agent changes nothing', async () => {
  const { session } = await connected(core, 'victim');
  const { session: thief } = await connected(core, 'thief');
  await session.beat();
  const command = await submit('victim');
  const order = await session.order();
  await thief.acknowledged(thief.result(order, { exitCode: 66 }));
  await executionIn(core.engine, command.commandId, 'sent');
  session.result(order);
  expect((await executionIn(core.engine, command.commandId, 'succeeded')).result?.exitCode).toBe(0);
});

test('a result of another attempt changes nothing', async () => {
  const { session } = await connected(core, 'attempts');
  await session.beat();
  const command = await submit('attempts');
  const order = await session.order();
  await session.acknowledged(session.result({ ...order, attempt: 2 }));
  await session.acknowledged(session.result({ ...order, attempt: 0xffff_ffff }));
  session.accepted({ ...order, attempt: 0xffff_ffff });
  await session.acknowledged(session.running({ ...order, attempt: 7 }));
  await executionIn(core.engine, command.commandId, 'sent');
});

test.each([
  ['bytes that are no result', { output: Buffer.from('\xff\xff\xff', 'latin1') }],
  ['text with NUL', { signal: 'SIG\0', failure: { code: 'a\0', message: 'b\0\ud800' } }],
  [
    'counts and times out of all range',
    {
      stdout: { data: Buffer.from('x'), totalBytes: 0xffff_ffff_ffff_ffffn },
      stderr: { data: Buffer.from('x'), totalBytes: 2n ** 62n },
      startedAt: { seconds: 2n ** 62n, nanos: 0 },
      finishedAt: { seconds: -(2n ** 40n), nanos: -5 },
    },
  ],
  [
    'times of another age',
    { startedAt: { seconds: 10_000_000_000n }, finishedAt: { seconds: 250_000_000_000n } },
  ],
  ['JSON of great depth', { outputEncoding: 2, output: nested(20_000) }],
  ['JSON of some depth', { outputEncoding: 2, output: nested(3000) }],
  ['JSON that is no object', { outputEncoding: 2, output: Buffer.from('"\\u0000"') }],
])('%s in a result do not keep it from being stored', async (what, init) => {
  const name = `garbage-${what.replaceAll(/[^a-z]/g, '')}`;
  const { session } = await connected(core, name);
  await session.beat();
  const command = await submit(name);
  await session.acknowledged(session.result(await session.order(), init));
  const execution = await executionIn(core.engine, command.commandId, 'succeeded');
  expect(execution.result?.output ?? {}).toBeTypeOf('object');
  expect(execution.result?.output).not.toBeInstanceOf(Array);
  await session.beat();
});

test('a flood of results is acknowledged to the last one', async () => {
  const { session } = await connected(core, 'flood');
  let last = 0n;
  for (let n = 0; n < 5000; n++) last = session.result({ executionId: newId(), attempt: 1 });
  await session.acknowledged(last);
  await session.beat();
});

test('a rejection ends the execution with the agent’s reason', async () => {
  const { session } = await connected(core, 'refuses');
  await session.beat();
  const command = await submit('refuses');
  session.result(await session.order(), {
    outcome: Outcome.REJECTED,
    failure: { code: 'invalid_args', message: 'no such program' },
  });
  const execution = await executionIn(core.engine, command.commandId, 'failed');
  expect(execution.transitions.at(-1)?.cause).toBe('refused by the agent: no such program');
});

test.each([
  ['refuses', Outcome.REJECTED, 'refused by the agent: '],
  ['fails', Outcome.FAILED, ''],
  ['does-not-know', Outcome.UNKNOWN, ''],
])(
  'a reason of an agent that %s is cut without breaking what it is made of',
  async (what, outcome, before) => {
    const { session } = await connected(core, `long-reason-${what}`);
    await session.beat();
    const command = await submit(`long-reason-${what}`);
    const message = `${'a'.repeat(199)}😀 and more`;
    const sequence = session.result(await session.order(), { outcome, failure: { code: 'odd', message } });
    await session.acknowledged(sequence);
    const state = outcome === Outcome.UNKNOWN ? 'outcome_unknown' : 'failed';
    const execution = await executionIn(core.engine, command.commandId, state);
    expect(execution.transitions.at(-1)?.cause).toBe(`${before}${'a'.repeat(199)}\ufffd`);
    expect(execution.result?.failure?.message).toBe(message);
  },
);

test('an agent without room keeps its place: the execution is offered again when another one ends, and does not expire early', async () => {
  const { session } = await connected(core, 'full');
  await session.beat();
  const first = await submit('full');
  const one = await session.order();
  const second = await submit('full');
  const two = await session.order();
  const full = { outcome: Outcome.REJECTED, failure: { code: 'resource_exhausted', message: 'full' } };
  await session.acknowledged(session.result(two, full));
  await session.beat();
  expect(spoken(session).filter((kind) => kind === 'command')).toHaveLength(2);
  core.clock.advance(5000);
  await core.engine.sweeper.sweep();
  await executionIn(core.engine, second.commandId, 'queued');
  session.result(one);
  await executionIn(core.engine, first.commandId, 'succeeded');
  const again = await session.order();
  // The agent's ledger has closed the first attempt.
  expect(again).toMatchObject({ executionId: two.executionId, attempt: 2 });
  session.result(again);
  await executionIn(core.engine, second.commandId, 'succeeded');
});

test('two sessions of one agent that push each other out again and again lose nothing and run nothing twice', async () => {
  const agent = await enrolled(core, 'fighting');
  /** What the machine has done, as its ledger knows it: whichever session is asked answers from it. */
  const runs = new Map<string, number>();
  let stopped = false;
  const open = new Set<Awaited<ReturnType<typeof agent.connect>>>();
  async function live(): Promise<void> {
    while (!stopped) {
      const account = [...runs.keys()].map((key) => {
        const [executionId = '', attempt] = key.split('/');
        return { order: { executionId, attempt: Number(attempt) }, phase: 'FINISHED' as const };
      });
      try {
        const session = await agent.connect({ account });
        open.add(session);
        if (stopped) session.close();
        for (const { order } of account) session.result(order);
        for (;;) {
          const order = await session.order();
          const key = `${order.executionId}/${order.attempt}`;
          const known = runs.get(key);
          runs.set(key, known ?? 1);
          session.accepted(order);
          session.result(order);
        }
      } catch {
        // Pushed out by the other one.
      }
    }
  }
  const fighters = [live(), live()];
  const commands = [];
  for (let n = 0; n < 40; n++) commands.push(await submit('fighting'));
  const executions = await Promise.all(
    commands.map(({ commandId }) => executionIn(core.engine, commandId, 'succeeded')),
  );
  stopped = true;
  for (const session of open) session.close();
  await Promise.all(fighters);
  for (const { executionId } of executions) {
    const tried = [...runs.keys()].filter((key) => key.startsWith(executionId));
    expect(tried).toHaveLength(1);
  }
  expect((await core.agents.get('fighting')).agent.epoch).toBeGreaterThan(2);
});
