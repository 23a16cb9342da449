import { realpath, stat, statfs } from 'node:fs/promises';
import { basename } from 'node:path';
import { imageFileSystems } from '../protocol/disks.ts';
import { textOrEmpty } from './host.ts';

/** The file systems of the machine, and the disks below them. */

export interface FileSystem {
  mount: string;
  type: string;
  totalBytes: number;
  availableBytes: number;
  usedBytes: number;
  /** 0 where there is no fixed number of them. */
  inodesTotal: number;
  inodesUsed: number;
  /** What it lies on, as /proc/diskstats may name it: by number, "major:minor", and by name. */
  device: { number: string; name: string };
}

/** File systems on local storage, each once. Those over a network may hang, and are left out. */
export async function readFileSystems(): Promise<FileSystem[]> {
  const found = await Promise.all(
    (await readMounts()).map((at) => readFileSystem(at).catch(() => undefined)),
  );
  return found.filter((system) => system !== undefined);
}

/** What does not answer in this time is left out. */
const answerMs = 2_000;

/**
 * Reads them again and again. A disk that does not answer holds up one reading and is not asked again until it has
 * answered: each question occupies one of the few threads that all files share.
 */
export function createFileSystemReader(read = readFileSystem): () => Promise<{
  systems: FileSystem[];
  /** Mounts that do not answer, or with an error of the disk. */
  silent: string[];
}> {
  const asked = new Set<string>();
  const ask = async (at: Mount) => {
    asked.add(at.mount);
    try {
      return await read(at);
    } finally {
      asked.delete(at.mount);
    }
  };
  return async () => {
    const mounts = await readMounts();
    const silent = mounts.filter(({ mount }) => asked.has(mount)).map(({ mount }) => mount);
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<'late'>((resolve) => {
      timer = setTimeout(resolve, answerMs, 'late');
    });
    const found = await Promise.all(
      mounts
        .filter(({ mount }) => !silent.includes(mount))
        .map(async (at) => {
          const system = await Promise.race([ask(at).catch(() => 'broken' as const), late]);
          if (typeof system !== 'string') return system;
          silent.push(at.mount);
          return undefined;
        }),
    );
    clearTimeout(timer);
    return { systems: found.filter((system) => system !== undefined), silent };
  };
}

interface Mount {
  mount: string;
  type: string;
  /** What is mounted, for example "/dev/sda1". */
  source: string;
}

/** Errors that say no more than that there is nothing to be known: this user may not look, or it was unmounted just now. */
const nothingKnown = new Set(['EACCES', 'EPERM', 'ENOENT']);

/** Undefined where this user may not look, and of what has no size. @throws where the disk fails */
async function readFileSystem({ mount, type, source }: Mount): Promise<FileSystem | undefined> {
  try {
    const [facts, { dev }, name] = await Promise.all([statfs(mount), stat(mount), nameOf(source)]);
    if (facts.blocks === 0) return undefined;
    return {
      mount,
      type,
      totalBytes: facts.blocks * facts.bsize,
      availableBytes: facts.bavail * facts.bsize,
      usedBytes: (facts.blocks - facts.bfree) * facts.bsize,
      inodesTotal: facts.files,
      inodesUsed: Math.max(0, facts.files - facts.ffree),
      device: { number: deviceNumber(dev), name },
    };
  } catch (error) {
    if (error instanceof Error && 'code' in error && nothingKnown.has(String(error.code))) return undefined;
    throw error;
  }
}

/** The kernel's own name: /dev/mapper and /dev/disk have links to it. */
async function nameOf(source: string): Promise<string> {
  if (!source.startsWith('/dev/')) return '';
  return basename(await realpath(source).catch(() => source));
}

/** Splits the number of a device as Linux puts it together. */
export function deviceNumber(dev: number): string {
  const major = (dev >>> 8) & 0xfff;
  const minor = (dev & 0xff) | ((dev >>> 12) & 0xfff00);
  return `${major}:${minor}`;
}

const readMounts = async () => parseMounts(await textOrEmpty('/proc/self/mounts'));

/**
 * Reads /proc/self/mounts; of several mounts of one device, the one with the shortest path, and of several at one
 * path the last, which hides the others.
 */
export function parseMounts(text: string): Mount[] {
  const byMount = new Map<string, Mount>();
  for (const line of text.split('\n')) {
    const [source = '', mountField = '', type = ''] = line.split(' ');
    const mount = mountField.replace(/\\([0-7]{3})/g, (_, code: string) =>
      String.fromCharCode(Number.parseInt(code, 8)),
    );
    byMount.set(mount, { mount, type, source });
  }
  const bySource = new Map<string, Mount>();
  for (const found of byMount.values()) {
    const { mount, type, source } = found;
    // The root may lie on anything, for example on what the host of a virtual machine shares.
    const local = source.startsWith('/dev/') || type === 'zfs' || (mount === '/' && type !== 'rootfs');
    if (!local || imageFileSystems.includes(type)) continue;
    const known = bySource.get(source);
    if (known === undefined || mount.length < known.mount.length) bySource.set(source, found);
  }
  return [...bySource.values()].slice(0, 256);
}

/** What a disk has done since the machine started. */
export interface DiskCounters {
  [counter: string]: number;
  reads: number;
  readBytes: number;
  writes: number;
  writtenBytes: number;
  busyMs: number;
}

export interface Disk {
  /** "major:minor". */
  number: string;
  name: string;
  counters: DiskCounters;
}

export const readDisks = async (): Promise<Disk[]> => parseDisks(await textOrEmpty('/proc/diskstats'));

/** The kernel counts in these, whatever the disk's own sectors are. */
const sectorBytes = 512;

/** Reads /proc/diskstats. */
export function parseDisks(text: string): Disk[] {
  return text.split('\n').flatMap((line): Disk[] => {
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
    return [{ number: `${major}:${minor}`, name, counters }];
  });
}

/** The disk that a file system lies on; undefined where the kernel counts for none. */
export const diskOf = ({ device }: FileSystem, disks: readonly Disk[]): Disk | undefined =>
  disks.find(({ number }) => number === device.number) ?? disks.find(({ name }) => name === device.name);
