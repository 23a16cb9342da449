import type { DiskSample } from '#gen/viworks/agent/v1/telemetry_pb.js';

/** How full a disk is. Whatever is said of that anywhere comes from here, so that it is the same everywhere. */

/** Kinds of file systems that are always full, because nothing is ever written to them. */
export const imageFileSystems: readonly string[] = ['squashfs', 'iso9660', 'udf', 'erofs', 'cramfs', 'romfs'];

/** Bytes of one disk, as an agent or the API says them. */
export interface DiskSpace {
  totalBytes: bigint | number;
  usedBytes: bigint | number;
  /** What is left for those who are not root; undefined where the agent does not say, which is not 0. */
  availableBytes?: bigint | number | undefined;
}

/** Those that can fill: images, and what has no size, cannot. */
export const disksThatFill = (disks: readonly DiskSample[]): DiskSample[] => disks.filter(canFill);

export const canFill = ({ fileSystem, totalBytes }: Pick<DiskSample, 'fileSystem' | 'totalBytes'>): boolean =>
  totalBytes > 0n && !imageFileSystems.includes(fileSystem);

/**
 * Percent, 0 to 100; undefined of nothing. Where it is told what is available, it is of what is used or available, as
 * `df` reckons: blocks that only root may use are no room for anybody else, and without it a disk that takes no more would
 * be at 95.
 */
export function percentUsed(used: number, total: number, available?: number): number | undefined {
  const room = available === undefined ? total : used + available;
  return total > 0 && room > 0 ? Math.min(100, (used / room) * 100) : undefined;
}

export const percentOfDisk = ({ usedBytes, totalBytes, availableBytes }: DiskSpace): number | undefined =>
  percentUsed(
    Number(usedBytes),
    Number(totalBytes),
    availableBytes === undefined ? undefined : Number(availableBytes),
  );

/** What can still be written: what is available, or where that is not told what is not used. A whole number that is exact. */
export function freeBytesOf({ usedBytes, totalBytes, availableBytes }: DiskSpace): number {
  const free = Number(availableBytes ?? Number(totalBytes) - Number(usedBytes));
  return Math.min(Number.MAX_SAFE_INTEGER, Math.max(0, free));
}
