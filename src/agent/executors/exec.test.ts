import { watch } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { ExecArgsSchema, ExecResultSchema } from '#gen/viworks/verbs/v1/system_pb.js';
import { endAfterTest, execute, isAlive, outputOf, textOf } from '../../../test/support/agent-execute.ts';
import { failureOf } from '../outcome.ts';
import { execExecutor } from './exec.ts';

const exec = execExecutor();
const run = (argv: string[], options?: Parameters<typeof execute>[3]) =>
  execute(exec, ExecArgsSchema, { argv }, options);
const shell = (script: string, options?: Parameters<typeof execute>[3]) =>
  run(['/bin/sh', '-c', script], options);

async function newDir(): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'viworks-exec-'));
  onTestFinished(() => rm(dir, { recursive: true }));
  return dir;
}

/** Resolves with the content of a file that a program writes by renaming it into the folder. */
async function fileWritten(dir: string, name: string): Promise<string> {
  const read = () => readFile(join(dir, name), 'utf8').catch(() => undefined);
  const { promise, resolve } = Promise.withResolvers<string>();
  const look = async () => {
    const text = await read();
    if (text !== undefined) resolve(text);
  };
  const watcher = watch(dir, () => void look());
  await look();
  try {
    return await promise;
  } finally {
    watcher.close();
  }
}

test('arguments reach the program as they are, and no shell sees them', async () => {
  const outcome = await run(['printf', '%s|', 'a b', '$HOME', '; echo x', '`id`', '*']);
  expect(textOf(outcome.stdout)).toBe('a b|$HOME|; echo x|`id`|*|');
  expect(outcome).toMatchObject({ exitCode: 0, interrupted: false });
  expect(outcome.failure).toBeUndefined();
  expect(outputOf(ExecResultSchema, outcome).duration).toBeDefined();
});

test('the exit code and both streams come back', async () => {
  const outcome = await shell('echo out; echo err >&2; exit 3');
  expect([outcome.exitCode, textOf(outcome.stdout), textOf(outcome.stderr)]).toEqual([3, 'out\n', 'err\n']);
  expect(outcome.failure).toMatchObject({ code: 'exit_code' });
});

test('a program that a signal ends tells which', async () => {
  const outcome = await shell('kill -SEGV $$');
  expect(outcome).toMatchObject({ exitCode: undefined, signal: 'SIGSEGV', failure: { code: 'signal' } });
});

test('the environment is minimal, and args add to it', async () => {
  const outcome = await execute(exec, ExecArgsSchema, {
    argv: ['/usr/bin/env'],
    environment: { EXTRA: 'a=b', LANG: 'C' },
  });
  const names = textOf(outcome.stdout)
    .trim()
    .split('\n')
    .map((line) => line.split('=')[0])
    .sort();
  expect(names).toEqual(['EXTRA', 'HOME', 'LANG', 'PATH']);
  expect(textOf(outcome.stdout)).toContain('EXTRA=a=b\n');
});

test('stdin is closed', async () => {
  expect(textOf((await run(['cat'])).stdout)).toBe('');
});

test('it runs in the working directory, and a wrong one is told as such', async () => {
  const dir = await newDir();
  const inside = await execute(exec, ExecArgsSchema, { argv: ['pwd'], workingDirectory: dir });
  expect(textOf(inside.stdout).trim()).toBe(dir);
  const outside = await execute(exec, ExecArgsSchema, { argv: ['pwd'], workingDirectory: join(dir, 'none') });
  expect(outside.failure).toMatchObject({ code: 'working_directory' });
});

test('output beyond the limit is counted and marked', async () => {
  const outcome = await shell('head -c 100000 /dev/zero; printf abc >&2', { outputLimit: 1000 });
  expect(outcome.stdout).toMatchObject({ totalBytes: 100_000, truncated: true });
  expect(outcome.stdout?.data.byteLength).toBe(1000);
  expect(outcome.stderr).toMatchObject({ totalBytes: 3, truncated: false });
});

test('a program that is not there, or may not run, is a failure with a name', async () => {
  await expect(run(['/no/such/program'])).rejects.toSatisfy((e) => failureOf(e).code === 'not_found');
  await expect(run(['no-such-program'])).rejects.toSatisfy((e) => failureOf(e).code === 'not_found');
  const file = join(await newDir(), 'plain');
  await writeFile(file, 'x', { mode: 0o644 });
  await expect(run([file])).rejects.toSatisfy((e) => failureOf(e).code === 'permission_denied');
  await expect(run(['no-such-program']).catch(failureOf)).resolves.toMatchObject({
    message: 'no-such-program cannot be started: there is no such program, or no such working directory.',
  });
  await expect(run([file]).catch(failureOf)).resolves.toMatchObject({
    message: expect.stringContaining('the agent may not execute it'),
  });
  await expect(run(['a\0b'])).rejects.toSatisfy((e) => failureOf(e).code === 'invalid_args');
});

test('an abort ends the whole process group', async () => {
  const dir = await newDir();
  const controller = new AbortController();
  const script = `sleep 300 & echo begun; echo $! > ${dir}/new; mv ${dir}/new ${dir}/pid; wait`;
  const running = shell(script, { controller });
  const grandchild = Number(await fileWritten(dir, 'pid'));
  endAfterTest(grandchild);
  expect(await isAlive(grandchild)).toBe(true);
  controller.abort('timeout');
  const outcome = await running;
  expect(outcome).toMatchObject({ interrupted: true, signal: 'SIGTERM' });
  expect(textOf(outcome.stdout)).toBe('begun\n');
  expect(await isAlive(grandchild)).toBe(false);
});

test('what ignores SIGTERM gets SIGKILL, descendants too', async () => {
  const dir = await newDir();
  const controller = new AbortController();
  const script = `trap '' TERM; sh -c 'while :; do sleep 1; done' & echo $! > ${dir}/new; mv ${dir}/new ${dir}/pid; while :; do sleep 1; done`;
  const running = shell(script, { controller });
  const grandchild = Number(await fileWritten(dir, 'pid'));
  endAfterTest(grandchild);
  controller.abort('cancelled');
  expect(await running).toMatchObject({ interrupted: true, signal: 'SIGKILL' });
  expect(await isAlive(grandchild)).toBe(false);
});

test('a descendant that keeps the pipes open does not hold the result', async () => {
  const outcome = await shell('sleep 300 & echo $!');
  endAfterTest(Number(textOf(outcome.stdout)));
  expect(outcome).toMatchObject({ exitCode: 0, interrupted: false });
});

test('an abort before the start starts nothing', async () => {
  const controller = new AbortController();
  controller.abort('cancelled');
  await expect(run(['true'], { controller })).rejects.toBe('cancelled');
});
