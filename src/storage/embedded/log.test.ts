import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { createServerLog } from './log.ts';

test('what PostgreSQL says is heard, also while the disk takes none of it', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'viworks-log-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const [kept, heard]: [string, string[]] = [join(folder, 'postgres.log'), []];
  const log = createServerLog(kept, (line) => heard.push(line));
  log.write(Buffer.from('LOG:  one\nERROR:  t'));
  log.write(Buffer.from('wo\n'));
  expect(await readFile(kept, 'utf8')).toBe('LOG:  one\nERROR:  two\n');
  // A device that has no room for anything.
  const full = createServerLog('/dev/full', (line) => heard.push(line));
  full.write(Buffer.from('PANIC:  no space is left\n'));
  expect(full.lastError()).toBe('no space is left');
  const nowhere = createServerLog(join(folder, 'none', 'log'), (line) => heard.push(line));
  nowhere.write(Buffer.from('LOG:  three\n'));
  expect(heard).toEqual(['LOG:  one', 'ERROR:  two', 'PANIC:  no space is left', 'LOG:  three']);
});
