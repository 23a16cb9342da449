import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { createGate, createProcessRig } from '../support/app-process.ts';

/** A server that is killed in the middle of a rollout, with agents that are processes of their own. */

const linesOf = (path: string) =>
  existsSync(path)
    ? readFileSync(path, 'utf8')
        .split('\n')
        .filter((line) => line !== '')
    : [];

test('a rollout goes on where it was after the server was killed, and nobody does his part twice', async () => {
  const rig = createProcessRig();
  const marks = join(rig.folder, 'marks');
  await rig.startServer();
  const agents = ['step-1', 'step-2', 'step-3', 'step-4'];
  await rig.startAgents(agents);
  const gate = createGate(join(rig.folder, 'gate'));
  // Whoever comes second waits at the gate; the others pass.
  const line = `n=$(wc -l < '${marks}' 2>/dev/null || echo 0); echo run >> '${marks}'; [ "$n" != 1 ] || { ${gate.line}; }`;
  const { command } = await rig.client().commands.submit.mutate({
    verb: 'exec',
    args: { argv: ['/bin/sh', '-c', line] },
    target: { agents },
    rollout: { canary: 1, batch: { agents: 1 } },
  });
  const { commandId } = command;
  await gate.reached;
  const before = await rig.client().rollouts.get.query({ commandId });
  expect(before.command.rollout).toMatchObject({
    state: 'running',
    released: 2,
    counts: { succeeded: 1, inFlight: 1, waiting: 2 },
  });
  await rig.kill(rig.server());
  // It ends while there is nobody to hear of it.
  await gate.open();
  await rig.startServer();
  let last: typeof command | undefined;
  for await (const { data } of rig.client().commands.watch.subscribe({ commandId })) last = data.command;
  expect(last).toMatchObject({ done: true, counts: { succeeded: 4 }, rollout: { state: 'completed' } });
  expect(linesOf(marks)).toHaveLength(4);
}, 60_000);
