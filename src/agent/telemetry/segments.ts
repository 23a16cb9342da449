import { type FileHandle, readdir, readFile, rm, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from '../../lib/logger.ts';
import { readFrames } from './frames.ts';

/** The files of a spool. */

export interface Segment {
  /** Counts the files; the order of their names is that of their samples. */
  readonly id: number;
  /** The position of its first sample; the others follow without a gap. */
  first: number;
  count: number;
  /** Bytes of whole frames. */
  bytes: number;
  /** When its samples were taken, milliseconds since 1970. */
  oldestAt: number;
  newestAt: number;
}

export interface OpenSegment {
  segment: Segment;
  handle: FileHandle;
}

const suffix = '.samples';

export const segmentFile = (folder: string, id: number): string =>
  join(folder, `${String(id).padStart(12, '0')}${suffix}`);

/** The position after its last sample. */
export const endOf = (segment: Segment | undefined): number =>
  segment === undefined ? 0 : segment.first + segment.count;

/**
 * The segments that have to go, oldest first, so that the others take no more than so many bytes, and none has only
 * samples that are older than the given time.
 */
export function doomedOf(segments: readonly Segment[], bytes: number, oldest: number): Segment[] {
  let total = segments.reduce((sum, segment) => sum + segment.bytes, 0);
  const kept = segments.findIndex((segment) => {
    const stays = total <= bytes && (segment.count === 0 || segment.newestAt >= oldest);
    total -= segment.bytes;
    return stays;
  });
  return segments.slice(0, kept < 0 ? segments.length : kept);
}

/** What a process before left. What a crash left half written is cut off, and counts for nothing. */
export async function findSegments(folder: string, log: Logger): Promise<Segment[]> {
  const names = (await readdir(folder)).filter((name) => /^\d{12}\.samples$/.test(name)).sort();
  const segments: Segment[] = [];
  for (const name of names) {
    const file = join(folder, name);
    const bytes = await readFile(file);
    const { frames, goodBytes } = readFrames(bytes);
    if (goodBytes < bytes.byteLength) {
      log.warn(
        { file, bytes: bytes.byteLength - goodBytes },
        'telemetry that was never completed is passed over',
      );
      await truncate(file, goodBytes);
    }
    const times = frames.map(({ takenAt }) => takenAt);
    if (frames.length === 0) await rm(file);
    else
      segments.push({
        id: Number(name.slice(0, -suffix.length)),
        first: endOf(segments.at(-1)),
        count: frames.length,
        bytes: goodBytes,
        oldestAt: Math.min(...times),
        newestAt: Math.max(...times),
      });
  }
  return segments;
}

/** Its whole frames; nothing where the file cannot be read. */
export async function readSegment(folder: string, { id, bytes }: Segment, log: Logger): Promise<Buffer> {
  try {
    return (await readFile(segmentFile(folder, id))).subarray(0, bytes);
  } catch (err) {
    log.warn({ err, file: segmentFile(folder, id) }, 'telemetry on the disk cannot be read');
    return Buffer.alloc(0);
  }
}

export async function removeSegment(folder: string, { id }: Segment, log: Logger): Promise<void> {
  const file = segmentFile(folder, id);
  try {
    await rm(file, { force: true });
  } catch (err) {
    log.warn({ err, file }, 'a file of telemetry cannot be removed');
  }
}
