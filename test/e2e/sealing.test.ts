import { expect, test } from 'vitest';
import type { SealingLimits } from '../../src/protocol/sealing/connection.ts';
import { executionIn, submitTo } from '../support/app-core.ts';
import { startFileCore } from '../support/app-core-file.ts';
import { frameOf, startWatchedAgent, wires } from '../support/watched-agent.ts';

/** Sealed sessions of the real agent over every transport. */

/** So that keys change all the time. */
const restless: SealingLimits = { keyLifetimeMs: 5, keyFrames: 3, agreementMs: 20 };

const { core } = await startFileCore({ sealing: restless });

const succeeded = (commandId: string) => executionIn(core.engine, commandId, 'succeeded');

test.each(wires)('over %s keys change under load, and nothing is lost or done twice', async (wire) => {
  const name = `load-${wire}`;
  const fleet = await startWatchedAgent(core, name, { wire, sealingLimits: restless });
  await fleet.state('open');
  const count = 400;
  for (let n = 0; n < count; n += 20) {
    const batch = Array.from({ length: 20 }, (_, k) =>
      submitTo(core, name, { args: { argv: [`secret-${n + k}`] } }),
    );
    await Promise.all(batch.map(async (submitted) => succeeded((await submitted).commandId)));
  }
  expect(fleet.runs.map(([what]) => what).sort()).toEqual(
    Array.from({ length: count }, (_, n) => `secret-${n}`).sort(),
  );
  expect(fleet.agent.state).toMatchObject({ name: 'open', epoch: 1n });

  // All but HELLO and PROOF, CHALLENGE and nothing else was in frames, in their order, under many keys.
  expect(fleet.sent.filter((message) => frameOf(message) === undefined)).toHaveLength(2);
  expect(fleet.came.filter((message) => frameOf(message) === undefined)).toHaveLength(1);
  for (const way of [fleet.sent, fleet.came]) {
    const frames = way.map(frameOf).filter((frame) => frame !== undefined);
    expect(frames.map((frame) => frame.counter)).toEqual(frames.map((_, n) => BigInt(n + 1)));
    expect(frames.at(-1)?.keyGeneration).toBeGreaterThan(5);
    const text = Buffer.concat(frames.map((frame) => frame.ciphertext)).toString('latin1');
    expect(text).not.toContain('secret-');
  }
});

test('an agent that does not seal is served in the open', async () => {
  const open = await startWatchedAgent(core, 'open', { sealing: 'off' });
  await open.state('open');
  const { commandId } = await submitTo(core, 'open');
  await succeeded(commandId);
  expect(open.sent.filter((message) => frameOf(message) !== undefined)).toEqual([]);
});
