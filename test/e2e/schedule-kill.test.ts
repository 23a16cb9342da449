import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { createGate, createProcessRig } from '../support/app-process.ts';

/** A server that is killed while it runs many schedules at one time. */

test('every schedule of a time has one command, also when the server is killed in that moment', async () => {
  const rig = createProcessRig();
  const marks = join(rig.folder, 'marks');
  await rig.startServer();
  await rig.startAgent();
  const gate = createGate(join(rig.folder, 'gate'));
  const at = new Date(Date.now() + 4000).toISOString();
  const names = Array.from({ length: 60 }, (_, index) => `at-once-${String(index).padStart(2, '0')}`);
  const { schedules } = rig.client();
  const create = (name: string, more: string) =>
    schedules.create.mutate({
      name,
      timing: { at },
      action: {
        command: {
          verb: 'exec',
          args: { argv: ['/bin/sh', '-c', `echo ${name} >> '${marks}'${more}`] },
          target: { all: true },
        },
      },
    });
  await Promise.all(names.map((name) => create(name, name === names[0] ? `; ${gate.line}` : '')));
  // The first is under way, and the rest is anywhere between due and done.
  await gate.reached;
  await rig.kill(rig.server());
  await gate.open();
  await rig.startServer();

  const client = rig.client();
  const listed = async () => (await client.schedules.list.query({ pageSize: 1000 })).schedules;
  let all = await listed();
  while (all.some(({ nextAt }) => nextAt !== undefined)) all = await listed();
  expect(all.map(({ name, lastError }) => [name, lastError])).toEqual(names.map((name) => [name, undefined]));
  await Promise.all(all.map(({ lastCommandId = '' }) => rig.finished(lastCommandId)));
  const { commands } = await client.commands.list.query({ pageSize: 1000 });
  const origins = commands.map(({ origin }) => origin ?? '').toSorted();
  expect(origins).toEqual(names.map((name) => `schedule:${name}`));
  expect(readFileSync(marks, 'utf8').trim().split('\n').toSorted()).toEqual(names);
}, 60_000);
