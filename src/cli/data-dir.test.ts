import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import {
  lockDataDir,
  operatorFile,
  prepareDataDir,
  readOperatorFile,
  writeOperatorFile,
} from './data-dir.ts';

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'viworks-test-'));
  onTestFinished(() => rm(path, { recursive: true, force: true }));
  return path;
}

test('one owner at a time, and the next one after it', () => {
  const dir = folder();
  const lock = lockDataDir(dir);
  expect(() => lockDataDir(dir)).toThrow(expect.objectContaining({ code: 'database_in_use' }));
  lock.release();
  lockDataDir(dir).release();
  expect(readdirSync(dir)).toEqual([]);
});

test('the lock of a process that is gone is taken over', async () => {
  const dir = folder();
  const child = spawn(process.execPath, ['-e', ''], { stdio: 'ignore' });
  await once(child, 'exit');
  writeFileSync(join(dir, 'lock'), JSON.stringify({ pid: child.pid, started: 'then' }));
  lockDataDir(dir).release();
});

test('a living process with the same id that started at another time is not the owner', () => {
  const dir = folder();
  writeFileSync(join(dir, 'lock'), JSON.stringify({ pid: process.pid, started: 'before' }));
  lockDataDir(dir).release();
});

test('a lock that makes no sense is taken over', () => {
  const dir = folder();
  writeFileSync(join(dir, 'lock'), '{');
  lockDataDir(dir).release();
});

test('the folder is made for its owner alone, and a file in its place is refused by the setting', () => {
  const dir = join(folder(), 'deep', 'data');
  prepareDataDir(dir);
  expect(statSync(dir).mode & 0o777).toBe(0o700);
  expect(readdirSync(dir)).toEqual([]);
  const file = join(dir, 'file');
  writeFileSync(file, '');
  expect(() => prepareDataDir(file)).toThrow(
    expect.objectContaining({
      code: 'config_invalid',
      message: expect.stringMatching(/^VIWORKS_DATA_DIR: .*EEXIST/),
    }),
  );
});

test('the operator file is for its owner alone and comes back as written', () => {
  const dir = folder();
  expect(readOperatorFile(dir)).toBeUndefined();
  writeOperatorFile(dir, { url: 'http://127.0.0.1:1', token: 'first' });
  writeOperatorFile(dir, { url: 'http://127.0.0.1:1', token: 'second' });
  expect(readOperatorFile(dir)).toEqual({ url: 'http://127.0.0.1:1', token: 'second' });
  expect(statSync(operatorFile(dir)).mode & 0o777).toBe(0o600);
  expect(readdirSync(dir)).toEqual(['operator.json']);
  writeFileSync(operatorFile(dir), '{}');
  expect(readOperatorFile(dir)).toBeUndefined();
});
