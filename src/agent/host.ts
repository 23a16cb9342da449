import { readFile } from 'node:fs/promises';
import { arch, cpus, freemem, hostname, release, totalmem, type } from 'node:os';

/**
 * What the machine says of itself. It is read from /proc and by system calls, so that neither a sample nor
 * system.info starts a process; where there is no /proc, the lists that need it are empty.
 */

export interface MachineFacts {
  hostname: string;
  /** For example "Debian GNU/Linux 12 (bookworm)". */
  os: string;
  kernel: string;
  architecture: string;
}

export async function readFacts(): Promise<MachineFacts> {
  const text = await textOrEmpty('/etc/os-release');
  const pretty = /^PRETTY_NAME="?([^"\n]*)"?$/m.exec(text)?.[1];
  return {
    hostname: hostname().slice(0, 255),
    os: (pretty ?? `${type()} ${release()}`).slice(0, 128),
    kernel: release().slice(0, 128),
    architecture: arch(),
  };
}

export interface Memory {
  totalBytes: number;
  availableBytes: number;
  swapTotalBytes: number;
  swapFreeBytes: number;
}

export async function readMemory(): Promise<Memory> {
  const text = await textOrEmpty('/proc/meminfo');
  const value = (name: string) => {
    const found = new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1];
    return found === undefined ? undefined : Number(found) * 1024;
  };
  return {
    totalBytes: value('MemTotal') ?? totalmem(),
    availableBytes: value('MemAvailable') ?? freemem(),
    swapTotalBytes: value('SwapTotal') ?? 0,
    swapFreeBytes: value('SwapFree') ?? 0,
  };
}

export interface NetworkCounters {
  interface: string;
  receivedBytes: number;
  sentBytes: number;
  /** Packets, both directions. */
  errors: number;
  drops: number;
}

export async function readNetworks(): Promise<NetworkCounters[]> {
  return parseNetworks(await textOrEmpty('/proc/net/dev'));
}

/** Reads /proc/net/dev. The loopback interface says nothing about the network, and is left out. */
export function parseNetworks(text: string): NetworkCounters[] {
  return text
    .split('\n')
    .flatMap((line): NetworkCounters[] => {
      const [name, counters] = line.split(':');
      if (name === undefined || counters === undefined || name.trim() === 'lo') return [];
      const values = counters.trim().split(/\s+/).map(Number);
      const value = (at: number) => values[at] ?? 0;
      return [
        {
          interface: name.trim(),
          receivedBytes: value(0),
          sentBytes: value(8),
          errors: value(2) + value(10),
          drops: value(3) + value(11),
        },
      ];
    })
    .slice(0, 256);
}

export interface CpuTimes {
  busy: number;
  total: number;
  cores: number;
}

export function readCpuTimes(): CpuTimes {
  const cores = cpus();
  const times: CpuTimes = { busy: 0, total: 0, cores: cores.length };
  for (const { times: t } of cores) {
    const busy = t.user + t.nice + t.sys + t.irq;
    times.busy += busy;
    times.total += busy + t.idle;
  }
  return times;
}

/** Where a kernel does not have the file, there is nothing to read. */
export async function textOrEmpty(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch {
    return '';
  }
}
