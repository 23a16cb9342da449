import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { createProcessRig } from '../support/app-process.ts';

/** Agents whose disk is full, and work that would fill a disk. Real processes. */

const linesOf = (path: string) =>
  existsSync(path) ? readFileSync(path, 'utf8').split('\n').filter(Boolean) : [];

test('an agent that cannot write its ledger starts nothing more, says why, and works again when there is room', async () => {
  const rig = createProcessRig();
  const marks = join(rig.folder, 'marks');
  await rig.startServer();
  // Room for some lines of the ledger, and then none.
  await rig.startAgent({ fileBytes: 4096 });
  const ended = new Map<string, string>();
  let failure: { code: string; message: string } | undefined;
  for (let n = 0; failure === undefined && n < 60; n++) {
    const commandId = await rig.submit(`echo ${n} >> '${marks}'`);
    const execution = await rig.finished(commandId);
    ended.set(String(n), execution.state);
    if (execution.state === 'failed') failure = execution.result?.failure;
  }
  expect(failure).toMatchObject({ code: 'ledger_unavailable' });
  // What ran, ran once; what was refused never ran.
  const marked = linesOf(marks);
  expect(new Set(marked).size).toBe(marked.length);
  for (const [n, state] of ended) expect(marked.includes(n), `${n} ${state}`).toBe(state === 'succeeded');
  expect(marked.length).toBeGreaterThan(2);

  await rig.kill(rig.agent());
  await rig.startAgent();
  expect(await rig.finished(await rig.submit(`echo again >> '${marks}'`))).toMatchObject({
    state: 'succeeded',
  });
  expect(linesOf(marks)).toEqual([...marked, 'again']);
}, 60_000);

test('of a process that never stops writing only so much is kept, and others are not held up', async () => {
  const rig = createProcessRig();
  await rig.startServer();
  await rig.startAgent();
  const flood = await rig.submit(
    'yes $(head -c 1000 /dev/zero | tr "\\0" x) | head -c 200000000; echo end >&2',
  );
  await rig.reached(flood, 'running');
  expect(await rig.finished(await rig.submit('echo quick'))).toMatchObject({ state: 'succeeded' });
  const { state, result } = await rig.finished(flood);
  expect(state).toBe('succeeded');
  expect(result?.stdout).toMatchObject({ truncated: true, totalBytes: 200_000_000 });
  expect(result?.stdout?.text?.length).toBeLessThanOrEqual(256 * 1024);
  expect(result?.stderr?.text).toBe('end\n');
}, 60_000);
