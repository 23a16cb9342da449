import { existsSync, rmSync } from 'node:fs';
import { chmod, chown, mkdir, mkdtemp, rename, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { ViworksError } from '../../errors.ts';
import type { Logger } from '../../lib/logger.ts';
import { findBinaries, type PostgresBinaries, socketFile } from './binaries.ts';
import { isPostmasterOf, readPostmasterFile } from './orphan.ts';
import { runToEnd } from './process.ts';
import { endServer, type Layout, type Running, type ServerOptions, startServer } from './server.ts';
import { type DatabaseUser, databaseUser, type Launch, launchFor } from './user.ts';

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

export interface EmbeddedPostgresOptions extends ServerOptions {
  /** Its files lie in `postgres` below this folder. */
  dataDir: string;
  log: Logger;
  /** It ended without being asked to; the reason is safe to show. */
  onExit?: (reason: string) => void;
}

/** The limit of the operating systems for the path of a UNIX socket, without the closing zero. */
const socketPathBytes = process.platform === 'linux' ? 107 : 103;
const temporaryPrefix = 'viworks-pg-';
/** Seconds that an orphan is given for each way of stopping. */
const orphanStopSeconds = 5;
const databaseName = 'viworks';

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
    const fast = await stop('fast', orphanStopSeconds);
    if (fast.code !== 0) {
      const immediate = await stop('immediate', orphanStopSeconds);
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
