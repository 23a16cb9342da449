import { existsSync, mkdtempSync } from 'node:fs';
import { chmod, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { expect, onTestFinished, test } from 'vitest';
import { silentLogger } from '../../lib/logger.ts';
import { createEmbeddedPostgres } from './embedded.ts';
import { parsePostmasterFile, readPostmasterFile } from './orphan.ts';
import { blockingFolder, mayPass, parseAccounts } from './user.ts';

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'viworks-test-'));
  onTestFinished(() => rm(path, { recursive: true, force: true }));
  return path;
}

async function ask(url: string, question: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  const { rows } = await client.query({ text: question, rowMode: 'array' });
  await client.end();
  return rows.flat();
}

const isAlive = (pid: number): boolean => existsSync(`/proc/${pid}`);

test('starts on a private socket with durable settings, stops, and keeps its data', async () => {
  const dataDir = folder();
  const first = createEmbeddedPostgres({ dataDir, log: silentLogger });
  const { connectionString } = await first.start();
  const settings = await ask(
    connectionString,
    `select current_setting('listen_addresses'), current_setting('synchronous_commit'), current_setting('fsync'),
            current_setting('data_checksums'), current_setting('server_encoding')`,
  );
  expect(settings).toEqual(['', 'on', 'on', 'on', 'UTF8']);
  await ask(connectionString, 'create table kept as select 42 as answer');
  const mode = (await stat(join(dataDir, 'postgres', 'socket'))).mode & 0o777;
  expect(mode).toBe(0o700);
  await first.stop();
  expect(readPostmasterFile(join(dataDir, 'postgres', 'data'))).toBeUndefined();

  const second = createEmbeddedPostgres({ dataDir, log: silentLogger });
  onTestFinished(() => second.stop());
  const again = await second.start();
  expect(await ask(again.connectionString, 'select answer from kept')).toEqual([42]);
});

test('the name of the folder may be any', async () => {
  const dataDir = join(folder(), `it's "mine", 100 %`);
  const server = createEmbeddedPostgres({ dataDir, log: silentLogger });
  onTestFinished(() => server.stop());
  const { connectionString } = await server.start();
  expect(await ask(connectionString, 'select 1')).toEqual([1]);
});

test('a PostgreSQL that an earlier run left on the folder is stopped first', async () => {
  const dataDir = folder();
  const left = createEmbeddedPostgres({ dataDir, log: silentLogger });
  await left.start();
  const orphan = readPostmasterFile(join(dataDir, 'postgres', 'data'));
  const next = createEmbeddedPostgres({ dataDir, log: silentLogger });
  onTestFinished(() => next.stop());
  const { connectionString } = await next.start();
  expect(await ask(connectionString, 'select 1')).toEqual([1]);
  // It takes connections a moment before its file says so; the file is there from the beginning.
  expect(orphan?.pid).toBeGreaterThan(1);
  expect(isAlive(orphan?.pid ?? 0)).toBe(false);
});

test('reports when it ends by itself, and not when it is stopped', async () => {
  const dataDir = folder();
  const ended = Promise.withResolvers<string>();
  const server = createEmbeddedPostgres({ dataDir, log: silentLogger, onExit: ended.resolve });
  await server.start();
  const pid = readPostmasterFile(join(dataDir, 'postgres', 'data'))?.pid ?? 0;
  process.kill(pid, 'SIGQUIT');
  await ended.promise;
  await server.stop();

  let reports = 0;
  const other = createEmbeddedPostgres({ dataDir, log: silentLogger, onExit: () => reports++ });
  await other.start();
  await other.stop();
  expect(reports).toBe(0);
});

test('a long path falls back to a short private folder, which is removed again', async () => {
  const dataDir = join(folder(), 'a'.repeat(100));
  const server = createEmbeddedPostgres({ dataDir, log: silentLogger });
  const { connectionString } = await server.start();
  onTestFinished(() => server.stop());
  expect(await ask(connectionString, 'select 1')).toEqual([1]);
  const socketFolder = decodeURIComponent(connectionString.split('host=')[1] ?? '');
  expect(socketFolder.startsWith(tmpdir())).toBe(true);
  expect((await stat(socketFolder)).mode & 0o777).toBe(0o700);
  await server.stop();
  expect(existsSync(socketFolder)).toBe(false);
});

test('a broken data folder is one clear error that says where to look', async () => {
  const dataDir = folder();
  const server = createEmbeddedPostgres({ dataDir, log: silentLogger });
  await server.start();
  await server.stop();
  const control = join(dataDir, 'postgres', 'data', 'global', 'pg_control');
  await rm(control);
  await expect(server.start()).rejects.toMatchObject({
    code: 'database_unavailable',
    message: expect.stringMatching(/does not start: could not find the database system.*postgres\.log/),
  });
  expect(await readFile(join(dataDir, 'postgres', 'postgres.log'), 'utf8')).toContain('pg_control');
});

test('the file of the postmaster is read as PostgreSQL writes it', () => {
  const text = '4711\n/data\n1700000000\n5432\n/socket\n\n  1 2\nready   \n';
  expect(parsePostmasterFile(text)).toEqual({ pid: 4711, socketFolder: '/socket', ready: true });
  expect(parsePostmasterFile(text.replace('ready   ', 'starting'))).toMatchObject({ ready: false });
  expect(parsePostmasterFile('')).toBeUndefined();
});

test('who may pass a folder', async () => {
  const user = { name: 'postgres', uid: 26, gid: 27 };
  expect(mayPass({ uid: 0, gid: 0, mode: 0o40755 }, user)).toBe(true);
  expect(mayPass({ uid: 0, gid: 0, mode: 0o40700 }, user)).toBe(false);
  expect(mayPass({ uid: 0, gid: 27, mode: 0o40701 }, user)).toBe(false);
  expect(mayPass({ uid: 26, gid: 0, mode: 0o40700 }, user)).toBe(true);
  const path = folder();
  await chmod(path, 0o700);
  expect(blockingFolder(join(path, 'data'), user)).toBe(path);
  expect(parseAccounts('root:x:0:0::/:/bin/sh\npostgres:x:26:27:::\n').get('postgres')).toEqual(user);
});
