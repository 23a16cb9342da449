import { once } from 'node:events';
import { chmodSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { expect, inject, onTestFinished, test } from 'vitest';
import { type CliProcess, dataFolder, processesWith, runCli, startCli } from '../support/process.ts';

/** What a person sees who types `npm start`: real processes, the embedded PostgreSQL, a real agent. */

const start = (dataDir: string, more: Readonly<Record<string, string>> = {}): CliProcess =>
  startCli(['start'], {
    env: { VIWORKS_DATA_DIR: dataDir, VIWORKS_API_PORT: '0', VIWORKS_AGENT_PORT: '0', ...more },
  });

const ready = (process: CliProcess): Promise<string> => process.stdout.match(/Ctrl-C stops/);
const cli = (dataDir: string, ...args: string[]) => runCli(args, { env: { VIWORKS_DATA_DIR: dataDir } });

async function takenPort(): Promise<string> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  const address = server.address();
  return String(typeof address === 'object' ? address?.port : '');
}

/** One clear line, an exit code that is not 0, and nothing left running. */
async function refuses(process: CliProcess, dataDir: string, message: RegExp): Promise<void> {
  const { code } = await process.exited;
  const lines = process.stderr.text().trim().split('\n');
  expect(lines[0]).toMatch(/^error: /);
  expect(lines[0]).toMatch(message);
  expect(lines.filter((line) => !line.startsWith('  hint: '))).toHaveLength(1);
  expect(process.stdout.text()).toBe('');
  expect(code).toBeGreaterThan(0);
  expect(processesWith(dirname(dataDir))).toEqual([]);
}

test('starts everything, runs a command, stops everything on SIGTERM, and starts again with what it knew', async ({
  annotate,
}) => {
  const dataDir = dataFolder();
  const first = start(dataDir);
  await ready(first);
  const said = first.stdout.text();
  expect(said).toMatch(/Applications +http:\/\/127\.0\.0\.1:\d+\n/);
  expect(said).toMatch(/Agents +http:\/\/127\.0\.0\.1:\d+\n/);
  expect(said).toMatch(/Database +embedded PostgreSQL\n/);
  expect(said).toContain(join(dataDir, 'operator.json'));
  expect(said).toContain('npx viworks run system.info --all');
  expect(first.stderr.text()).toBe('');
  expect(statSync(join(dataDir, 'operator.json')).mode & 0o777).toBe(0o600);

  const { url } = JSON.parse(readFileSync(join(dataDir, 'operator.json'), 'utf8'));
  expect((await fetch(`${url}/readyz`)).status).toBe(200);
  const run = await cli(dataDir, 'run', 'exec', '--all', '--', 'echo', 'hello');
  expect(run).toMatchObject({ code: 0, stdout: 'hello\n' });

  first.kill('SIGTERM');
  expect(await first.exited).toEqual({ code: 0, signal: null });
  expect(processesWith(dirname(dataDir))).toEqual([]);

  const begun = performance.now();
  const second = start(dataDir);
  await ready(second);
  await annotate(`second start: ${Math.round(performance.now() - begun)} ms`);
  const agents = JSON.parse((await cli(dataDir, 'agents', '--json')).stdout);
  expect(agents).toMatchObject([{ status: 'online', incarnation: 1 }]);
  expect(JSON.parse((await cli(dataDir, 'commands', '--json')).stdout)).toHaveLength(1);
  second.kill('SIGINT');
  expect(await second.exited).toEqual({ code: 0, signal: null });
}, 60_000);

test('after kill -9 nothing that was acknowledged is lost, and what was left running is taken care of', async () => {
  const dataDir = dataFolder();
  const first = start(dataDir);
  await ready(first);
  const { commandId } = JSON.parse(
    (await cli(dataDir, 'run', 'exec', '--all', '--no-wait', '--json', '--', 'echo', 'kept')).stdout,
  );
  first.kill('SIGKILL');
  await first.exited;

  const second = start(dataDir);
  await ready(second);
  const watched = await cli(dataDir, 'commands', 'watch', commandId);
  expect(watched).toMatchObject({ code: 0, stdout: 'kept\n' });
  expect(JSON.parse((await cli(dataDir, 'agents', '--json')).stdout)).toMatchObject([{ incarnation: 1 }]);
  second.kill('SIGTERM');
  expect(await second.exited).toEqual({ code: 0, signal: null });
  expect(processesWith(dirname(dataDir))).toEqual([]);
}, 60_000);

test('a second control plane on the same data folder is refused, and the first goes on', async () => {
  const dataDir = dataFolder();
  const first = start(dataDir);
  await ready(first);
  const second = start(dataDir);
  const { code } = await second.exited;
  expect(code).toBeGreaterThan(0);
  expect(second.stderr.text()).toMatch(
    /^error: Another control plane \(process \d+\) uses .*VIWORKS_DATA_DIR.*\n$/,
  );
  expect(await cli(dataDir, 'health')).toMatchObject({ code: 0 });
  first.kill('SIGTERM');
  expect(await first.exited).toEqual({ code: 0, signal: null });
}, 60_000);

test('a stop does not wait for a stream that somebody still follows', async () => {
  const dataDir = dataFolder();
  const server = start(dataDir);
  await ready(server);
  const [{ agentId }] = JSON.parse((await cli(dataDir, 'agents', '--json')).stdout);
  await cli(dataDir, 'agents', 'maintenance', agentId);
  const follower = startCli(['run', 'system.info', '--all'], { env: { VIWORKS_DATA_DIR: dataDir } });
  await follower.stderr.match(/held/);
  server.kill('SIGTERM');
  const { code } = await server.exited;
  expect(code).toBe(0);
  follower.kill('SIGINT');
  expect((await follower.exited).code).toBe(130);
  expect(follower.stderr.text()).toMatch(/viworks commands cancel [0-9a-f-]+/);
  expect(processesWith(dirname(dataDir))).toEqual([]);
}, 60_000);

test('a taken port names its setting', async () => {
  for (const setting of ['VIWORKS_API_PORT', 'VIWORKS_AGENT_PORT']) {
    const dataDir = dataFolder();
    const port = await takenPort();
    const message = new RegExp(`${setting}: port ${port} on 127\\.0\\.0\\.1 is taken`);
    await refuses(start(dataDir, { [setting]: port }), dataDir, message);
  }
});

test('a data folder that cannot be written to names its setting', async () => {
  const dataDir = dataFolder();
  writeFileSync(join(dirname(dataDir), 'file'), '');
  const inFile = join(dirname(dataDir), 'file', 'data');
  await refuses(
    start(inFile),
    dataDir,
    /VIWORKS_DATA_DIR: .*file\/data must be a folder that can be written to/,
  );
  if (process.geteuid?.() === 0) return;
  mkdirSync(dataDir);
  chmodSync(dataDir, 0o500);
  await refuses(start(dataDir), dataDir, /VIWORKS_DATA_DIR: .* must be a folder that can be written to/);
});

test('a database that refuses names its setting and not its password', async () => {
  const dataDir = dataFolder();
  const closed = start(dataDir, { DATABASE_URL: 'postgres://me:hunter2@127.0.0.1:1/x' });
  await refuses(closed, dataDir, /DATABASE_URL: the database refuses: .*ECONNREFUSED/);
  expect(closed.stderr.text()).not.toContain('hunter2');
  const url = inject('databaseUrl').replace(/\/[^/?]*\?/, '/no_such_database?');
  await refuses(
    start(dataDir, { DATABASE_URL: url }),
    dataDir,
    /DATABASE_URL: .*no_such_database.* does not exist/,
  );
});

test('a wrong setting is named as it was written', async () => {
  const dataDir = dataFolder();
  await refuses(start(dataDir, { LOG_LEVEL: 'loud' }), dataDir, /LOG_LEVEL: must be one of /);
  await refuses(
    start(dataDir, { VIWORKS_API_PROT: '1' }),
    dataDir,
    /VIWORKS_API_PROT: .* VIWORKS_API_PORT\?/,
  );
  const byFlag = startCli(['serve', '--data-dir', dataDir, '--api-port', 'http']);
  await refuses(byFlag, dataDir, /--api-port: must be a number/);
});
