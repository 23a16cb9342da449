import { readdir, readFile } from 'node:fs/promises';

/** What processes use, read from /proc: CPU time of a process or of everything it started, and memory. */

/** USER_HZ: /proc counts in hundredths of a second on every Linux that Node runs on. */
const tickMs = 10;

interface Stat {
  pid: number;
  parent: number;
  /** Milliseconds of the process itself. */
  own: number;
  /** Milliseconds of its children that have ended and were waited for. */
  ended: number;
}

async function statOf(pid: number): Promise<Stat | undefined> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  // The name in parentheses may hold spaces; the fields after it are counted from the third (proc(5)).
  const fields = text
    .slice(text.lastIndexOf(')') + 2)
    .split(' ')
    .map(Number);
  const ticks = (first: number) => ((fields[first] ?? 0) + (fields[first + 1] ?? 0)) * tickMs;
  return { pid, parent: fields[1] ?? 0, own: ticks(11), ended: ticks(13) };
}

/** Milliseconds of CPU time of one process. */
export async function cpuOf(pid: number): Promise<number> {
  return (await statOf(pid))?.own ?? 0;
}

/** Milliseconds of CPU time of all that a process started, living and ended, without itself. */
export async function cpuBelow(pid: number): Promise<number> {
  const names = await readdir('/proc');
  const pids = names.filter((name) => /^\d+$/.test(name)).map(Number);
  const stats = (await Promise.all(pids.map(statOf))).filter((stat) => stat !== undefined);
  const below = (parent: number): number =>
    stats
      .filter((stat) => stat.parent === parent)
      .reduce((sum, stat) => sum + stat.own + stat.ended + below(stat.pid), 0);
  return below(pid);
}

/** Bytes of a process that are in memory. */
export async function residentBytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) * 1024;
}
