import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** What PostgreSQL says of itself in `postmaster.pid`. */
export interface PostmasterFile {
  pid: number;
  socketFolder: string;
  ready: boolean;
}

export function readPostmasterFile(dataFolder: string): PostmasterFile | undefined {
  try {
    return parsePostmasterFile(readFileSync(join(dataFolder, 'postmaster.pid'), 'utf8'));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Lines: pid, data folder, start time, port, socket folder, listen address, shared memory, status. */
export function parsePostmasterFile(text: string): PostmasterFile | undefined {
  const lines = text.split('\n');
  const pid = Number(lines[0]);
  if (!Number.isSafeInteger(pid) || pid <= 0) return undefined;
  return { pid, socketFolder: lines[4] ?? '', ready: lines[7]?.trim() === 'ready' };
}

/**
 * Whether the process is a postmaster of this data folder. A process id alone proves nothing, because it may
 * have been given to another program since.
 */
export function isPostmasterOf(pid: number, dataFolder: string): boolean {
  const line = commandLine(pid);
  return line !== undefined && /postgres/.test(line[0] ?? '') && line.join(' ').includes(dataFolder);
}

function commandLine(pid: number): string[] | undefined {
  try {
    if (process.platform === 'linux') return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
    return execFileSync('/bin/ps', ['-ww', '-o', 'command=', '-p', String(pid)], { encoding: 'utf8' }).split(
      ' ',
    );
  } catch {
    return undefined;
  }
}
