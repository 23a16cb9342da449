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

/**
 * What a process before left, and the id of its last file. What a crash left half written is cut off, and counts for
 * nothing. A file that cannot be read, as on a disk that is damaged there, is passed over, and stays.
 */
export async function findSegments(
  folder: string,
  log: Logger,
): Promise<{ segments: Segment[]; lastId: number }> {
  const names = (await readdir(folder)).filter((name) => /^\d{12}\.samples$/.test(name)).sort();
  const segments: Segment[] = [];
  let lastId = 0;
  for (const name of names) {
    lastId = Number(name.slice(0, -suffix.length));
    const found = await contentOf(join(folder, name), log);
    if (found === undefined) continue;
    const { frames, bytes } = found;
    const times = frames.map(({ takenAt }) => takenAt);
    if (frames.length === 0) await removeSegment(folder, { id: lastId }, log);
    else
      segments.push({
        id: lastId,
        first: endOf(segments.at(-1)),
        count: frames.length,
        bytes,
        oldestAt: Math.min(...times),
        newestAt: Math.max(...times),
      });
  }
  return { segments, lastId };
}

/** Its whole frames, and how many bytes they take; undefined where it cannot be read. */
async function contentOf(file: string, log: Logger) {
  try {
    const bytes = await readFile(file);
    const { frames, goodBytes } = readFrames(bytes);
    if (goodBytes < bytes.byteLength) {
      log.warn(
        { file, bytes: bytes.byteLength - goodBytes },
        'telemetry that was never completed is passed over',
      );
      await truncate(file, goodBytes);
    }
    return { frames, bytes: goodBytes };
  } catch (err) {
    log.warn({ err, file }, 'telemetry on the disk cannot be read, and is passed over');
    return undefined;
  }
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

export async function removeSegment(folder: string, { id }: Pick<Segment, 'id'>, log: Logger): Promise<void> {
  const file = segmentFile(folder, id);
  try {
    await rm(file, { force: true });
  } catch (err) {
    log.warn({ err, file }, 'a file of telemetry cannot be removed');
  }
}
