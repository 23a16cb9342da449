import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, rmSync } from 'node:fs';
import { chmod, chown, mkdir, mkdtemp, rename, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { ViworksError } from '../errors.ts';
import type { Logger } from '../lib/logger.ts';
import { findBinaries, type PostgresBinaries, socketFile } from './embedded-binaries.ts';
import { createServerLog, type ServerLog } from './embedded-log.ts';
import { isPostmasterOf, readPostmasterFile } from './embedded-orphan.ts';
import { type DatabaseUser, databaseUser, type Launch, launchFor } from './embedded-user.ts';

/**
 * The embedded PostgreSQL is a server of our own on a folder of our own: reached over a UNIX socket by this
 * user alone, started and stopped with the control plane. What it stores outlives both.
 */
export interface EmbeddedPostgres {
  /** Resolves when connections are accepted. @throws config_invalid, database_unavailable */
  start(): Promise<{ connectionString: string }>;
  /** Ends it in order, or at once when that takes too long. Nothing committed is lost either way. */
  stop(): Promise<void>;
}

export interface EmbeddedPostgresOptions {
  /** Its files lie in `postgres` below this folder. */
  dataDir: string;
  log: Logger;
  /** Connections that this service opens at most. */
  maxConnections?: number;
  /** Further settings of PostgreSQL; for tests that do not need their data to survive. */
  settings?: Readonly<Record<string, string>>;
  /** It ended without being asked to; the reason is safe to show. */
  onExit?: (reason: string) => void;
}

/** The limit of the operating systems for the path of a UNIX socket, without the closing zero. */
const socketPathBytes = process.platform === 'linux' ? 107 : 103;
const temporaryPrefix = 'viworks-pg-';
const fastStopMs = 5000;
const immediateStopMs = 3000;
const startTimeoutMs = 60_000;
const databaseName = 'viworks';

interface Layout {
  folder: string;
  data: string;
  log: string;
}

interface Running {
  child: ChildProcess;
  exited: Promise<unknown>;
}

export function createEmbeddedPostgres(options: EmbeddedPostgresOptions): EmbeddedPostgres {
  const folder = join(resolve(options.dataDir), 'postgres');
  const layout: Layout = { folder, data: join(folder, 'data'), log: join(folder, 'postgres.log') };
  let running: Running | undefined;
  let starting: Promise<string> | undefined;
  let socketFolder: string | undefined;
  let stopping = false;

  const start = async (): Promise<string> => {
    const binaries = await findBinaries();
    const user = databaseUser();
    await prepareFolder(layout.folder, user);
    const launch = launchFor(user, [binaries.postgres, layout.data]);
    await stopOrphan(layout, binaries, launch, options.log);
    if (!existsSync(layout.data)) await initialise(layout, binaries, launch);
    // The same for every start of this object, so that the connection string stays valid.
    socketFolder = await prepareSocketFolder(layout.folder, user, socketFolder);
    const begun = performance.now();
    running = await startServer(layout, binaries, launch, socketFolder, options, (reason) => {
      running = undefined;
      if (!stopping) options.onExit?.(reason);
    });
    options.log.debug({ ms: Math.round(performance.now() - begun) }, 'embedded PostgreSQL is ready');
    return `postgresql://viworks@/${databaseName}?host=${encodeURIComponent(socketFolder)}`;
  };

  return {
    async start() {
      stopping = false;
      starting = start();
      return { connectionString: await starting };
    },

    async stop() {
      stopping = true;
      // A start that fails has nothing running, and its caller is told.
      await starting?.catch(() => {});
      const current = running;
      running = undefined;
      if (current !== undefined) await endServer(current, options.log);
      if (socketFolder !== undefined) removeTemporary(socketFolder);
      socketFolder = undefined;
    },
  };
}

/** The folder belongs to the database's user, and those above it let that user pass. */
async function prepareFolder(folder: string, user: DatabaseUser | undefined): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await chmod(folder, 0o700);
  if (user === undefined) return;
  await chown(folder, user.uid, user.gid);
  // Search permission alone: nobody can list the data folder, and every file in it has its own mode.
  const parent = dirname(folder);
  const { mode, uid } = await stat(parent);
  if (uid === 0 && (mode & 0o001) === 0) await chmod(parent, (mode & 0o777) | 0o011);
}

async function prepareSocketFolder(
  folder: string,
  user: DatabaseUser | undefined,
  before: string | undefined,
): Promise<string> {
  const usual = join(folder, 'socket');
  const fits = Buffer.byteLength(socketFile(usual)) <= socketPathBytes;
  const chosen = fits ? usual : (before ?? (await mkdtemp(join(tmpdir(), temporaryPrefix))));
  await mkdir(chosen, { recursive: true, mode: 0o700 });
  await chmod(chosen, 0o700);
  if (user !== undefined) await chown(chosen, user.uid, user.gid);
  return chosen;
}

function removeTemporary(socketFolder: string): void {
  if (socketFolder.startsWith(join(tmpdir(), temporaryPrefix))) {
    rmSync(socketFolder, { recursive: true, force: true });
  }
}

/** After a control plane was killed, its PostgreSQL may still run on the folder; the next one ends it first. */
async function stopOrphan(layout: Layout, binaries: PostgresBinaries, launch: Launch, log: Logger) {
  const left = readPostmasterFile(layout.data);
  if (left === undefined) return;
  if (isPostmasterOf(left.pid, layout.data)) {
    log.info({ pid: left.pid }, 'stopping the PostgreSQL that an earlier run left');
    const stop = (mode: string, seconds: number) =>
      runToEnd(launch, binaries.pgCtl, ['stop', '-D', layout.data, '-m', mode, '-t', String(seconds)]);
    const fast = await stop('fast', fastStopMs / 1000);
    if (fast.code !== 0) {
      const immediate = await stop('immediate', fastStopMs / 1000);
      if (immediate.code !== 0 && isPostmasterOf(left.pid, layout.data)) {
        throw new ViworksError(
          'database_in_use',
          `The PostgreSQL with process id ${left.pid} in ${layout.data} does not stop.`,
        );
      }
    }
  }
  removeTemporary(left.socketFolder);
}

/** Makes the cluster beside its place and moves it there, so that a half-made one is never taken for whole. */
async function initialise(layout: Layout, binaries: PostgresBinaries, launch: Launch): Promise<void> {
  const unfinished = `${layout.data}.new`;
  await rm(unfinished, { recursive: true, force: true });
  const cluster = ['-D', unfinished, '-U', 'viworks', '--auth=trust', '--encoding=UTF8', '--locale=C'];
  const locale = ['--locale-provider=builtin', '--builtin-locale=C.UTF-8', '--no-instructions'];
  const made = await runToEnd(launch, binaries.initdb, [...cluster, ...locale]);
  if (made.code !== 0) throw failed('initdb', made.output);
  const single = ['--single', '-D', unfinished, 'postgres'];
  const database = await runToEnd(launch, binaries.postgres, single, `CREATE DATABASE ${databaseName};\n`);
  if (database.code !== 0) throw failed('CREATE DATABASE', database.output);
  await rename(unfinished, layout.data);
}

function failed(what: string, output: string): ViworksError {
  const lines = output.trim().split('\n');
  const reason = lines.findLast((line) => /error|fatal|denied|cannot|could not/i.test(line)) ?? lines.at(-1);
  return new ViworksError('database_unavailable', `The embedded PostgreSQL failed at ${what}: ${reason}`);
}

function launchProcess(launch: Launch, program: string, args: readonly string[], cwd: string): ChildProcess {
  const [command = program, ...rest] = [...launch.prefix, program, ...args];
  return spawn(command, rest, {
    cwd,
    stdio: ['pipe', 'pipe', 'pipe'],
    // A process group of its own: Ctrl-C at a terminal reaches the control plane alone, which drains first.
    detached: true,
    // Settings of libpq and of the locale in the environment would change what is made.
    env: { LC_ALL: 'C', PATH: '/usr/bin:/bin' },
    ...(launch.user === undefined ? {} : { uid: launch.user.uid, gid: launch.user.gid }),
  });
}

async function runToEnd(launch: Launch, program: string, args: readonly string[], input = '') {
  const child = launchProcess(launch, program, args, '/');
  let output = '';
  const collect = (chunk: Buffer) => {
    output = (output + chunk.toString('utf8')).slice(-65_536);
  };
  child.stdout?.on('data', collect);
  child.stderr?.on('data', collect);
  child.stdin?.on('error', () => {});
  child.stdin?.end(input);
  const [code] = await once(child, 'close');
  return { code: Number(code ?? 1), output };
}

async function startServer(
  layout: Layout,
  binaries: PostgresBinaries,
  launch: Launch,
  socketFolder: string,
  options: EmbeddedPostgresOptions,
  onExit: (reason: string) => void,
): Promise<Running> {
  const ready = Promise.withResolvers<void>();
  const log = createServerLog(layout.log, (line) => {
    if (line.includes('database system is ready to accept connections')) ready.resolve();
  });
  const settings = Object.entries(serverSettings(socketFolder, options));
  const args = ['-D', layout.data, ...settings.flatMap(([name, value]) => ['-c', `${name}=${value}`])];
  const child = launchProcess(launch, binaries.postgres, args, '/');
  child.stdin?.end();
  child.stdout?.resume();
  child.stderr?.on('data', (chunk: Buffer) => log.write(chunk));

  const killAtExit = () => child.kill('SIGQUIT');
  process.once('exit', killAtExit);
  const timer = setTimeout(
    () =>
      ready.reject(new ViworksError('database_unavailable', 'The embedded PostgreSQL is not ready in time.')),
    startTimeoutMs,
  );
  let isReady = false;
  const exited = endOf(child).then((how) => {
    process.removeListener('exit', killAtExit);
    const reason = log.lastError() ?? how;
    ready.reject(startFailure(layout, log, reason));
    if (isReady) onExit(reason);
  });
  try {
    await ready.promise;
    isReady = true;
    return { child, exited };
  } catch (error) {
    child.kill('SIGQUIT');
    await exited;
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

/** Resolves with how it ended when its output is read to the end as well; never rejects. */
function endOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('close', (code, signal) =>
      resolve(signal === null ? `exit code ${code}` : `signal ${signal}`),
    );
  });
}

function startFailure(layout: Layout, log: ServerLog, reason: string): ViworksError {
  const inUse = log.lastError()?.includes('lock file') === true;
  return new ViworksError(
    inUse ? 'database_in_use' : 'database_unavailable',
    `The embedded PostgreSQL in ${layout.folder} does not start: ${reason} (see ${layout.log})`,
  );
}

function serverSettings(socketFolder: string, options: EmbeddedPostgresOptions): Record<string, string> {
  return {
    listen_addresses: '',
    unix_socket_directories: socketFolder,
    unix_socket_permissions: '0700',
    port: '5432',
    max_connections: String(Math.max(50, (options.maxConnections ?? 10) + 20)),
    fsync: 'on',
    synchronous_commit: 'on',
    shared_buffers: '64MB',
    max_wal_size: '512MB',
    wal_compression: 'on',
    checkpoint_timeout: '10min',
    log_destination: 'stderr',
    logging_collector: 'off',
    log_checkpoints: 'off',
    log_timezone: 'UTC',
    timezone: 'UTC',
    ...options.settings,
  };
}

/** Fast shutdown rolls back what is open; an immediate one leaves the rest to recovery at the next start. */
async function endServer({ child, exited }: Running, log: Logger): Promise<void> {
  child.kill('SIGINT');
  if (await settlesWithin(exited, fastStopMs)) return;
  log.warn('the embedded PostgreSQL does not stop in time and is ended at once');
  child.kill('SIGQUIT');
  if (await settlesWithin(exited, immediateStopMs)) return;
  child.kill('SIGKILL');
  await exited;
}

async function settlesWithin(promise: Promise<unknown>, ms: number): Promise<boolean> {
  const timer = Promise.withResolvers<false>();
  const handle = setTimeout(() => timer.resolve(false), ms);
  try {
    return await Promise.race([promise.then(() => true as const), timer.promise]);
  } finally {
    clearTimeout(handle);
  }
}
