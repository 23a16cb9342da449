import { readFile, stat, statfs } from 'node:fs/promises';
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

export interface FileSystem {
  mount: string;
  type: string;
  totalBytes: number;
  availableBytes: number;
  usedBytes: number;
  /** 0 where there is no fixed number of them. */
  inodesTotal: number;
  inodesUsed: number;
  /** The device below as /proc/diskstats numbers it, "major:minor"; it may be none of those there. */
  device: string;
}

/** File systems on local storage, each once. Those over a network may hang, and are left out. */
export async function readFileSystems(): Promise<FileSystem[]> {
  const mounts = parseMounts(await textOrEmpty('/proc/self/mounts'));
  const found = await Promise.all(
    mounts.map(async ({ mount, type }): Promise<FileSystem | undefined> => {
      try {
        const [facts, { dev }] = await Promise.all([statfs(mount), stat(mount)]);
        if (facts.blocks === 0) return undefined;
        return {
          mount,
          type,
          totalBytes: facts.blocks * facts.bsize,
          availableBytes: facts.bavail * facts.bsize,
          usedBytes: (facts.blocks - facts.bfree) * facts.bsize,
          inodesTotal: facts.files,
          inodesUsed: Math.max(0, facts.files - facts.ffree),
          device: deviceOf(dev),
        };
      } catch {
        // Mounted where this user may not look.
        return undefined;
      }
    }),
  );
  return found.filter((system) => system !== undefined);
}

/** Splits the number of a device as Linux puts it together. */
export const deviceOf = (dev: number): string => {
  const low = dev % 2 ** 32;
  const high = Math.floor(dev / 2 ** 32);
  const major = ((low >>> 8) & 0xfff) + (high & 0xfffff000);
  const minor = (low & 0xff) + ((low >>> 12) & 0xfff00) + (high & 0xfff) * 2 ** 20;
  return `${major}:${minor}`;
};

/** What a disk has done since the machine started. */
export interface DiskCounters {
  [counter: string]: number;
  reads: number;
  readBytes: number;
  writes: number;
  writtenBytes: number;
  busyMs: number;
}

/** By "major:minor". */
export async function readDisks(): Promise<Map<string, { name: string; counters: DiskCounters }>> {
  return parseDisks(await textOrEmpty('/proc/diskstats'));
}

/** The kernel counts in these, whatever the disk's own sectors are. */
const sectorBytes = 512;

/** Reads /proc/diskstats. */
export function parseDisks(text: string): Map<string, { name: string; counters: DiskCounters }> {
  return new Map(
    text.split('\n').flatMap((line): [string, { name: string; counters: DiskCounters }][] => {
      const [major, minor, name, ...fields] = line.trim().split(/\s+/);
      if (name === undefined || fields.length < 10) return [];
      const value = (at: number) => Number(fields[at] ?? 0);
      const counters = {
        reads: value(0),
        readBytes: value(2) * sectorBytes,
        writes: value(4),
        writtenBytes: value(6) * sectorBytes,
        busyMs: value(9),
      };
      return [[`${major}:${minor}`, { name, counters }]];
    }),
  );
}

const imageTypes = new Set(['squashfs', 'iso9660', 'erofs']);

/** Reads /proc/self/mounts; of several mounts of one device, the one with the shortest path. */
export function parseMounts(text: string): { mount: string; type: string }[] {
  const byDevice = new Map<string, { mount: string; type: string }>();
  for (const line of text.split('\n')) {
    const [device = '', mountField = '', type = ''] = line.split(' ');
    const mount = mountField.replace(/\\([0-7]{3})/g, (_, code: string) =>
      String.fromCharCode(Number.parseInt(code, 8)),
    );
    const local = device.startsWith('/dev/') || type === 'zfs' || (type === 'overlay' && mount === '/');
    if (!local || imageTypes.has(type)) continue;
    const known = byDevice.get(device);
    if (known === undefined || mount.length < known.mount.length) byDevice.set(device, { mount, type });
  }
  return [...byDevice.values()].slice(0, 256);
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

async function textOrEmpty(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch {
    return '';
  }
}
