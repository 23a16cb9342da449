import type { ChildProcess } from 'node:child_process';
import { ViworksError } from '../../errors.ts';
import type { Logger } from '../../lib/logger.ts';
import type { PostgresBinaries } from './binaries.ts';
import { createServerLog, type ServerLog } from './log.ts';
import { launchProcess } from './process.ts';
import type { Launch } from './user.ts';

/** The server process: started until it is ready, and ended within a bound. */

/** Where the files of one server lie. */
export interface Layout {
  folder: string;
  data: string;
  log: string;
}

/** A server that was ready. */
export interface Running {
  child: ChildProcess;
  exited: Promise<unknown>;
}

export interface ServerOptions {
  /** Connections that this service opens at most. */
  maxConnections?: number;
  /** Further settings of PostgreSQL. */
  settings?: Readonly<Record<string, string>>;
}

const fastStopMs = 5000;
const immediateStopMs = 3000;
const startTimeoutMs = 60_000;

/** Resolves when the server accepts connections. @param onExit called when it ends after that, for whatever reason */
export async function startServer(
  layout: Layout,
  binaries: PostgresBinaries,
  launch: Launch,
  socketFolder: string,
  options: ServerOptions,
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

function serverSettings(socketFolder: string, options: ServerOptions): Record<string, string> {
  return {
    listen_addresses: '',
    // A list; in quotes a name may have commas.
    unix_socket_directories: `"${socketFolder.replaceAll('"', '""')}"`,
    unix_socket_permissions: '0700',
    port: '5432',
    max_connections: String(Math.max(50, (options.maxConnections ?? 10) + 20)),
    fsync: 'on',
    synchronous_commit: 'on',
    shared_buffers: '64MB',
    max_wal_size: '512MB',
    // The default is 2 MB with so few buffers, and commits of much wait for it to be written.
    wal_buffers: '16MB',
    // A new segment filled with zeros is 16 MB that every commit waits for: 50 ms and more.
    wal_init_zero: 'off',
    checkpoint_timeout: '10min',
    // Left to the system, what was written waits in its cache until a checkpoint has it all written to disk at once,
    // and commits wait for that: 100 to 400 ms (docs/performance.md).
    backend_flush_after: '256kB',
    log_destination: 'stderr',
    logging_collector: 'off',
    log_checkpoints: 'off',
    log_timezone: 'UTC',
    timezone: 'UTC',
    ...options.settings,
  };
}

/** Fast shutdown rolls back what is open; an immediate one leaves the rest to recovery at the next start. */
export async function endServer({ child, exited }: Running, log: Logger): Promise<void> {
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
