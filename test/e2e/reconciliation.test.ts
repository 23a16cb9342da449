import { expect, test } from 'vitest';
import type { ExecutionState } from '../../src/commands/types.ts';
import { type Core, executionIn, statesOf, submitTo } from '../support/app-core.ts';
import { startFileCore } from '../support/app-core-file.ts';
import { ownCore } from '../support/app-core-own.ts';
import { enrolled, type FakeSession, spoken } from '../support/fake-agent.ts';

/** What the server believes after an agent has come back with its account, in a new session or to a new server. */

const { core } = await startFileCore();

const submit = (agentId: string, verb = 'exec', on = core) =>
  submitTo(on, agentId, verb === 'exec' ? {} : { verb, args: {} });

const cases: [string, string, string | undefined, Parameters<typeof expectAfter>[1]][] = [
  ['sent', 'exec', undefined, 'offered again'],
  ['sent', 'exec', 'RUNNING', 'running'],
  ['sent', 'exec', 'FINISHED', 'accepted'],
  ['accepted', 'exec', undefined, 'outcome_unknown'],
  ['accepted', 'system.info', undefined, 'offered again'],
  ['accepted', 'exec', 'RUNNING', 'running'],
  ['running', 'exec', undefined, 'outcome_unknown'],
  ['running', 'system.info', undefined, 'offered again'],
  ['running', 'exec', 'RUNNING', 'running'],
  ['running', 'exec', 'FINISHED', 'running'],
  ['running', 'exec', 'UNKNOWN', 'running'],
];

async function expectAfter(
  on: Core,
  what: 'offered again' | ExecutionState,
  commandId: string,
  session: FakeSession,
  order: Awaited<ReturnType<FakeSession['order']>>,
): Promise<void> {
  if (what === 'outcome_unknown') {
    await executionIn(on.engine, commandId, what);
    await session.beat();
    expect(spoken(session)).not.toContain('command');
    return;
  }
  if (what === 'offered again') expect((await session.order()).executionId).toBe(order.executionId);
  else await executionIn(on.engine, commandId, what);
  await session.acknowledged(session.result(order));
  await executionIn(on.engine, commandId, 'succeeded');
  await session.beat();
  const offers = what === 'offered again' ? 1 : 0;
  expect(spoken(session).filter((kind) => kind === 'command')).toHaveLength(offers);
}

async function bring(on: Core, session: FakeSession, agentId: string, verb: string, state: string) {
  const { commandId } = await submit(agentId, verb, on);
  const order = await session.order();
  if (state !== 'sent') await session.acknowledged(session.accepted(order));
  if (state === 'running') await session.acknowledged(session.running(order));
  return { commandId, order };
}

test.each(cases)('%s %s, and its account says %s: %s', async (state, verb, phase, what) => {
  const agentId = `back-${state}-${verb}-${phase}`.toLowerCase();
  const agent = await enrolled(core, agentId);
  const session = await agent.connect();
  await session.beat();
  const { commandId, order } = await bring(core, session, agentId, verb, state);
  session.destroy();
  const account = phase === undefined ? [] : [{ order, phase: phase as 'RUNNING' }];
  await expectAfter(core, what, commandId, await agent.connect({ account }), order);
});

test('after a restart of the server the same holds for all of them, and what waited is there', async () => {
  const own = await ownCore();
  const before = await own.start();
  const known = [];
  for (const [index, [state, verb, phase, what]] of cases.entries()) {
    const agent = await enrolled(before, `restart-${index}`);
    const session = await agent.connect();
    await session.beat();
    known.push({ agent, phase, what, ...(await bring(before, session, agent.agentId, verb, state)) });
  }
  const waiting = await enrolled(before, 'restart-queued');
  const queued = await submit('restart-queued', 'exec', before);
  await enrolled(before, 'restart-held');
  await before.agents.setMaintenance('restart-held', true, 'x');
  const held = await submit('restart-held', 'exec', before);
  await before.stop();
  const after = await own.start();
  for (const { agent, phase, what, commandId, order } of known) {
    expect((await after.agents.get(agent.agentId)).agent.status).toBe('offline');
    const account = phase === undefined ? [] : [{ order, phase: phase as 'RUNNING' }];
    const session = await agent.connect({ core: after, account });
    await expectAfter(after, what, commandId, session, order);
  }
  const session = await waiting.connect({ core: after });
  expect((await session.order()).commandId).toBe(queued.commandId);
  expect(statesOf(await executionIn(after.engine, held.commandId, 'held'))).toEqual(['held']);
});

test('a late result after outcome_unknown counts, also in a later session', async () => {
  const agent = await enrolled(core, 'very-late');
  const session = await agent.connect();
  await session.beat();
  const { commandId, order } = await bring(core, session, 'very-late', 'exec', 'running');
  core.clock.advance(120_000);
  await core.engine.sweeper.sweep();
  await executionIn(core.engine, commandId, 'outcome_unknown');
  session.destroy();
  const next = await agent.connect({ account: [{ order, phase: 'RUNNING' }] });
  await executionIn(core.engine, commandId, 'outcome_unknown');
  await next.acknowledged(next.running(order));
  await next.acknowledged(next.result(order));
  const execution = await executionIn(core.engine, commandId, 'succeeded');
  expect(execution.result?.output).toEqual({ duration: '0.005s' });
});
