import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { newId } from '../../src/lib/ids.ts';
import { createGate, createProcessRig } from '../support/app-process.ts';
import { randomOf } from '../support/random.ts';

/** What became of work when a process ends without a word. Each run of a line leaves its mark in a file. */

/** How often the server, the agent and PostgreSQL are each killed under load. */
const killsOfEach = 50;

const linesOf = (path: string) =>
  existsSync(path)
    ? readFileSync(path, 'utf8')
        .split('\n')
        .filter((line) => line !== '')
    : [];

test('a server killed after it acknowledged a command has it when it is back, and finishes what ran meanwhile', async () => {
  const rig = createProcessRig();
  const marks = join(rig.folder, 'marks');
  await rig.startServer();
  await rig.startAgent();
  const gate = createGate(join(rig.folder, 'gate'));
  const running = await rig.submit(`echo running >> '${marks}'; ${gate.line}`);
  await gate.reached;
  await rig.reached(running, 'running');
  await rig.kill(rig.agent());
  const waiting = await rig.submit(`echo waiting >> '${marks}'`);
  await rig.startAgent();
  expect(await rig.finished(running)).toMatchObject({ state: 'outcome_unknown' });
  expect(await rig.finished(waiting)).toMatchObject({ state: 'succeeded' });

  const second = createGate(join(rig.folder, 'second'));
  const kept = await rig.submit(`echo kept >> '${marks}'; ${second.line}`);
  await second.reached;
  await rig.reached(kept, 'running');
  const key = newId();
  const queued = await rig.submit(`echo queued >> '${marks}'`, key);
  await rig.kill(rig.server());
  await second.open();
  await rig.startServer();
  expect(await rig.finished(kept)).toMatchObject({ state: 'succeeded', result: { exitCode: 0 } });
  expect(await rig.finished(queued)).toMatchObject({ state: 'succeeded' });
  // The answer to a repeated submit is the first one's, also after the restart.
  expect(await rig.submit(`echo queued >> '${marks}'`, key)).toBe(queued);
  expect(linesOf(marks).sort()).toEqual(['kept', 'queued', 'running', 'waiting']);
}, 60_000);

test('PostgreSQL killed under the server is started again, and what was under way is finished', async () => {
  const rig = createProcessRig();
  const marks = join(rig.folder, 'marks');
  await rig.startServer();
  await rig.startAgent();
  const gate = createGate(join(rig.folder, 'gate'));
  const running = await rig.submit(`echo running >> '${marks}'; ${gate.line}`);
  await gate.reached;
  const back = rig.killPostgres();
  // Its result comes while there is nowhere to write it to.
  await gate.open();
  await back;
  expect(await rig.finished(running)).toMatchObject({ state: 'succeeded' });
  const next = await rig.submit(`echo next >> '${marks}'`);
  expect(await rig.finished(next)).toMatchObject({ state: 'succeeded' });
  expect(linesOf(marks)).toEqual(['running', 'next']);
}, 60_000);

test('whatever is killed in whatever order, no acknowledged command is lost and none runs twice', async () => {
  const rig = createProcessRig();
  const marks = join(rig.folder, 'marks');
  await rig.startServer();
  await rig.startAgent();
  const acknowledged = new Map<string, string>();
  let [killed, restored] = [0, 0];
  let back: Promise<void> = Promise.resolve();
  async function submit(key: string): Promise<void> {
    for (;;) {
      const [before, quiet] = [killed, killed === restored];
      try {
        acknowledged.set(key, await rig.submit(`echo ${key} >> '${marks}'`, key));
        return;
      } catch (error) {
        if (quiet && killed === before) throw error;
        // Refused or cut off by a kill: once more, under the same key, when all is there again.
        await back;
      }
    }
  }
  const killings = {
    server: async () => {
      await rig.kill(rig.server());
      await rig.startServer();
    },
    agent: async () => {
      await rig.kill(rig.agent());
      await rig.startAgent();
    },
    postgres: rig.killPostgres,
  };
  // The same seed kills in the same order.
  const seed = Number(process.env.KILL_SEED ?? Math.floor(Math.random() * 2 ** 31));
  const random = randomOf(seed);
  const order = shuffled(
    Object.keys(killings).flatMap((victim) => Array<string>(killsOfEach).fill(victim)),
    random,
  ) as (keyof typeof killings)[];
  for (const victim of order) {
    const keys = Array.from({ length: 6 }, newId);
    const submits = keys.slice(0, 3).map(submit);
    // Somewhere between the first acknowledgement and the last result.
    await Promise.any([submits[Math.floor(random() * 3)], ...submits.slice(0, Math.floor(random() * 2))]);
    killed += 1;
    back = killings[victim]().then(() => {
      restored += 1;
    });
    submits.push(...keys.slice(3).map(submit));
    await back;
    await Promise.all(submits);
  }
  const states = new Map<string, string>();
  for (const [key, commandId] of acknowledged) states.set(key, (await rig.finished(commandId)).state);
  const marked = linesOf(marks);
  const context = `KILL_SEED=${seed}`;
  expect(acknowledged.size, context).toBe(order.length * 6);
  expect(new Set(marked).size, context).toBe(marked.length);
  for (const [key, state] of states) {
    expect(state, context).toBeOneOf(['succeeded', 'outcome_unknown']);
    if (state === 'succeeded') expect(marked, context).toContain(key);
  }
}, 540_000);

function shuffled<T>(items: readonly T[], random: () => number): T[] {
  return items
    .map((item) => ({ item, at: random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ item }) => item);
}
