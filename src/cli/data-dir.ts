import { execFileSync } from 'node:child_process';
import {
  accessSync,
  constants,
  linkSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { ViworksError } from '../errors.ts';
import { newId } from '../lib/ids.ts';

/** The data folder: who owns it now, and what it tells the command line. */

/** Makes the folder, for its owner alone. @throws config_invalid naming VIWORKS_DATA_DIR */
export function prepareDataDir(dataDir: string): void {
  try {
    mkdirSync(dataDir, { recursive: true, mode: 0o700 });
    accessSync(dataDir, constants.R_OK | constants.W_OK | constants.X_OK);
    // Root passes every check of permissions; a read-only file system shows only when something is written.
    const probe = join(dataDir, `.probe-${newId()}`);
    writeFileSync(probe, '');
    rmSync(probe);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new ViworksError(
      'config_invalid',
      `VIWORKS_DATA_DIR: ${dataDir} must be a folder that can be written to (${code})`,
      { cause: error },
    );
  }
}

export interface DataDirLock {
  release(): void;
}

interface Owner {
  pid: number;
  /** Tells this process from a later one with the same id. */
  started: string;
}

/**
 * One control plane at a time owns the folder. The lock of a process that is gone, by its id and the time it
 * started, is taken over.
 * @throws database_in_use
 */
export function lockDataDir(dataDir: string): DataDirLock {
  const path = join(dataDir, 'lock');
  const content = JSON.stringify({ pid: process.pid, started: startOf(process.pid) ?? '' });
  const own = `${path}.${newId()}`;
  writeFileSync(own, content, { mode: 0o600 });
  try {
    // A link is made whole or not at all, so nobody ever reads a lock that is half written.
    while (!link(own, path)) {
      const found = read(path);
      if (found === undefined) continue;
      const owner = parseOwner(found);
      if (owner !== undefined && owner.started === startOf(owner.pid)) {
        throw new ViworksError(
          'database_in_use',
          `Another control plane (process ${owner.pid}) uses ${dataDir}; stop it, or set VIWORKS_DATA_DIR to another folder.`,
        );
      }
      removeStale(path, found);
    }
  } finally {
    unlinkSync(own);
  }
  return {
    release() {
      if (read(path) === content) unlinkSync(path);
    },
  };
}

function link(from: string, to: string): boolean {
  try {
    linkSync(from, to);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

/** Two processes may find the same stale lock: what the slower one moves away is then a new lock, and goes back. */
function removeStale(path: string, expected: string): void {
  const aside = `${path}.${newId()}`;
  try {
    renameSync(path, aside);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw error;
  }
  if (read(aside) !== expected) link(aside, path);
  unlinkSync(aside);
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

function parseOwner(text: string): Owner | undefined {
  try {
    const { pid, started }: Partial<Owner> = JSON.parse(text);
    return typeof pid === 'number' && typeof started === 'string' ? { pid, started } : undefined;
  } catch {
    return undefined;
  }
}

/** When the process started, as exactly as the system tells; undefined if there is no such process. */
function startOf(pid: number): string | undefined {
  try {
    if (process.platform !== 'linux') {
      return execFileSync('/bin/ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8' }).trim();
    }
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // Ticks since boot, the 22nd field; the second one is a name in brackets that may hold anything.
    const ticks = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
    return `${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()}/${ticks}`;
  } catch {
    return undefined;
  }
}

/** What the command line needs to talk to the server of this folder. */
export interface OperatorFile {
  url: string;
  token: string;
}

export const operatorFile = (dataDir: string): string => join(dataDir, 'operator.json');

/** Whole or not at all, and for the owner alone from the first moment. */
export function writeOperatorFile(dataDir: string, content: OperatorFile): void {
  const path = operatorFile(dataDir);
  const fresh = `${path}.${newId()}`;
  writeFileSync(fresh, `${JSON.stringify(content, null, 2)}\n`, { mode: 0o600, flag: 'wx' });
  renameSync(fresh, path);
}

export function readOperatorFile(dataDir: string): OperatorFile | undefined {
  try {
    const { url, token }: Partial<OperatorFile> = JSON.parse(readFileSync(operatorFile(dataDir), 'utf8'));
    return typeof url === 'string' && typeof token === 'string' && URL.canParse(url)
      ? { url, token }
      : undefined;
  } catch {
    return undefined;
  }
}
