import { mkdir, open } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/logger.ts';
import { syncFolder } from '../files.ts';
import { type Frame, frameBytes, readFrames, writeFrame } from './frames.ts';
import {
  doomedOf,
  endOf,
  findSegments,
  type OpenSegment,
  readSegment,
  removeSegment,
  type Segment,
  segmentFile,
} from './segments.ts';
import { defaultSpoolBounds, firstOf, type Spool, type SpoolBounds, type SpooledFrame } from './spool.ts';

/**
 * A spool in a folder: files that only grow, each removed when all in it is acknowledged or too old. A sample is in
 * its file before anything else happens to it, so it survives the process; while several wait it is synced every few
 * seconds, so a loss of power takes only the newest. After a crash, what was acknowledged of a file that was not
 * removed yet comes again.
 */
export interface DiskSpoolOptions {
  bounds?: SpoolBounds | undefined;
  clock: Clock;
  log: Logger;
  /** Samples that wait in memory while the disk takes none. */
  memoryCount?: number;
}

/** The bounds of size and age are kept by whole files, so a file is a small part of them. */
const shareOfBounds = 16;
const largestSegment = 1024 * 1024;
const syncEveryMs = 5_000;

/** @throws the system's error where the folder cannot be made or read */
export async function openDiskSpool(folder: string, options: DiskSpoolOptions): Promise<Spool> {
  const { bounds = defaultSpoolBounds, clock, log, memoryCount = 240 } = options;
  const segmentBytes = Math.min(largestSegment, bounds.maximumBytes / shareOfBounds);
  const segmentAgeMs = bounds.maximumAgeMs / shareOfBounds;
  await mkdir(folder, { recursive: true, mode: 0o700 });
  /** Oldest first; the one that is written to is the last. */
  const { segments, lastId } = await findSegments(folder, log);
  let active: OpenSegment | undefined;
  /** What the disk did not take, newer than all that is there. */
  let memory: SpooledFrame[] = [];
  let next = endOf(segments.at(-1));
  let acknowledged = 0;
  let dropped = 0;
  let nextId = lastId + 1;
  let cache: { segment: Segment; frames: Frame[] } | undefined;
  let failing = false;
  let syncedAt = Number.NEGATIVE_INFINITY;
  let lane: Promise<unknown> = Promise.resolve();

  /** One thing at a time: a file is not read while it is removed. */
  function inTurn<T>(work: () => Promise<T>): Promise<T> {
    const run = lane.then(work);
    lane = run.catch(() => {});
    return run;
  }

  const waitingIn = (segment: Segment) =>
    Math.max(0, segment.count - Math.max(0, acknowledged - segment.first));
  const length = () => segments.reduce((sum, segment) => sum + waitingIn(segment), memory.length);

  async function begin(first: number): Promise<OpenSegment> {
    await leave();
    const id = nextId;
    nextId += 1;
    const handle = await open(segmentFile(folder, id), 'a', 0o600);
    const segment: Segment = { id, first, count: 0, bytes: 0, oldestAt: 0, newestAt: 0 };
    segments.push(segment);
    active = { segment, handle };
    await syncFolder(join(folder, 'any'));
    return active;
  }

  /** Nothing more is written to the active one. */
  async function leave(): Promise<void> {
    const left = active;
    active = undefined;
    await left?.handle.close().catch(() => {});
    if (left?.segment.count === 0) await remove(left.segment);
  }

  async function remove(segment: Segment): Promise<void> {
    if (active?.segment === segment) {
      await active.handle.close().catch(() => {});
      active = undefined;
    }
    if (cache?.segment === segment) cache = undefined;
    const at = segments.indexOf(segment);
    if (at >= 0) segments.splice(at, 1);
    await removeSegment(folder, segment, log);
  }

  async function write(frame: SpooledFrame): Promise<void> {
    const { position, takenAt } = frame;
    const bytes = writeFrame(frame);
    let to = active;
    if (to !== undefined && to.segment.count > 0) {
      const { segment } = to;
      const full = segment.bytes + bytes.byteLength > segmentBytes;
      const old = Math.abs(takenAt - segment.oldestAt) > segmentAgeMs;
      if (full || old || endOf(segment) !== position) to = undefined;
    }
    to ??= await begin(position);
    const { segment } = to;
    if (segment.count === 0)
      Object.assign(segment, { first: position, oldestAt: takenAt, newestAt: takenAt });
    await add(to, bytes);
    segment.newestAt = Math.max(segment.newestAt, takenAt);
    if (cache?.segment === segment) cache.frames.push(frame);
  }

  /** A frame is there whole, or not at all. */
  async function add({ segment, handle }: OpenSegment, frame: Buffer): Promise<void> {
    try {
      await handle.appendFile(frame);
    } catch (error) {
      // Where the rest of it stays, nothing may follow: the good part is read, and a new file begun.
      await handle.truncate(segment.bytes).catch(leave);
      throw error;
    }
    segment.count += 1;
    segment.bytes += frame.byteLength;
  }

  /** What waits in memory goes first. */
  async function writeWaiting(): Promise<void> {
    try {
      for (let frame = memory[0]; frame !== undefined; frame = memory[0]) {
        await write(frame);
        memory.shift();
      }
      if (failing) log.info({ folder }, 'telemetry is kept on the disk again');
      failing = false;
    } catch (err) {
      if (!failing) log.warn({ err, folder }, 'telemetry cannot be kept on the disk, and waits in memory');
      failing = true;
      while (memory.length > memoryCount) {
        memory.shift();
        dropped += 1;
      }
    }
  }

  async function sync(): Promise<void> {
    if (active === undefined || length() <= 1 || clock.monotonic() - syncedAt < syncEveryMs) return;
    syncedAt = clock.monotonic();
    await active.handle.datasync().catch((err: unknown) => log.warn({ err }, 'telemetry cannot be synced'));
  }

  /** The frames of a segment; what cannot be read any more is lost. */
  async function framesOf(segment: Segment): Promise<Frame[]> {
    if (cache?.segment === segment) return cache.frames;
    const { frames } = readFrames(await readSegment(folder, segment, log));
    if (frames.length < segment.count) {
      const before = waitingIn(segment);
      if (active?.segment === segment) await leave();
      segment.count = frames.length;
      dropped += before - waitingIn(segment);
      log.warn({ file: segmentFile(folder, segment.id) }, 'telemetry on the disk cannot be read any more');
    }
    cache = { segment, frames };
    return frames;
  }

  return {
    append: (takenAt, encode) =>
      inTurn(async () => {
        const oldest = clock.now() - bounds.maximumAgeMs;
        let data = encode(dropped);
        const doomed = doomedOf(segments, bounds.maximumBytes - frameBytes(data), oldest);
        const lost = doomed.reduce((sum, segment) => sum + waitingIn(segment), 0);
        dropped += lost;
        if (lost > 0) data = encode(dropped);
        const position = next;
        next += 1;
        memory.push({ position, takenAt, data });
        // The sample that tells of the loss is there before what is lost is gone, where there is room for both.
        if (active !== undefined && doomed.includes(active.segment)) await leave();
        await writeWaiting();
        for (const segment of doomed) await remove(segment);
        if (failing && doomed.length > 0) await writeWaiting();
        await sync();
        return position;
      }),
    read: (from, most) =>
      inTurn(async () => {
        const start = Math.max(from, acknowledged);
        for (const segment of [...segments]) {
          if (endOf(segment) <= start) continue;
          const frames = (await framesOf(segment)).map((frame, index) => ({
            ...frame,
            position: segment.first + index,
          }));
          const found = frames.filter(({ position }) => position >= start);
          if (found.length > 0) return firstOf(found, most);
        }
        return firstOf(
          memory.filter(({ position }) => position >= start),
          most,
        );
      }),
    acknowledge: (before) =>
      inTurn(async () => {
        acknowledged = Math.max(acknowledged, before);
        memory = memory.filter(({ position }) => position >= acknowledged);
        for (const segment of [...segments]) {
          if (endOf(segment) > acknowledged) return;
          if (segment !== active?.segment) await remove(segment);
          else if (segment.count > 0) await empty(active);
        }
      }),
    get dropped() {
      return dropped;
    },
    get length() {
      return length();
    },
    close: () =>
      inTurn(async () => {
        await active?.handle.datasync().catch(() => {});
        await leave();
      }),
  };

  /** The file is used again. */
  async function empty({ segment, handle }: OpenSegment): Promise<void> {
    if (cache?.segment === segment) cache = undefined;
    try {
      await handle.truncate(0);
      Object.assign(segment, { count: 0, bytes: 0 });
    } catch (err) {
      log.warn({ err }, 'acknowledged telemetry cannot be removed from the disk');
      await remove(segment);
    }
  }
}
