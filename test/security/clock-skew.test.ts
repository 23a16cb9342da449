import { expect, test } from 'vitest';
import { executionIn, submitTo } from '../support/app-core.ts';
import { startFileCore } from '../support/app-core-file.ts';
import { startWatchedAgent } from '../support/watched-agent.ts';

/** Clocks of agents that are wrong: freshness comes from nonces, and nothing else of the handshake from clocks. */

const { core } = await startFileCore();

const day = 86_400_000;

test.each([
  ['a day behind', -day],
  ['a day ahead', day],
  ['in 1970', -Date.now()],
  ['ten years ahead', 3650 * day],
])('an agent whose clock is %s authenticates, seals and works', async (what, skew) => {
  const name = `skew-${what.replaceAll(' ', '-')}`;
  const clock = { now: () => Date.now() + skew, monotonic: () => performance.now() };
  const agent = await startWatchedAgent(core, name, { clock, sealing: 'required' });
  await agent.state('open');
  const { commandId } = await submitTo(core, name);
  await executionIn(core.engine, commandId, 'succeeded');
  expect(agent.runs).toHaveLength(1);
});

test('a clock that jumps in a session changes nothing', async () => {
  let skew = 0;
  const clock = { now: () => Date.now() + skew, monotonic: () => performance.now() };
  const agent = await startWatchedAgent(core, 'jumps', { clock });
  await agent.state('open');
  for (const jump of [day, -day]) {
    skew = jump;
    const { commandId } = await submitTo(core, 'jumps');
    await executionIn(core.engine, commandId, 'succeeded');
  }
  expect(agent.agent.state).toMatchObject({ name: 'open', epoch: 1n });
});
