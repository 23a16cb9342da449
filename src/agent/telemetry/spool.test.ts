import {
  appendFile,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  truncate,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, describe, expect, onTestFinished, test } from 'vitest';
import { createFakeTime } from '../../../test/support/agent-time.ts';
import { silentLogger } from '../../lib/logger.ts';
import { openDiskSpool } from './disk-spool.ts';
import { readFrames, writeFrame } from './frames.ts';
import { segmentFile } from './segments.ts';
import { createMemorySpool, type Spool, type SpoolBounds } from './spool.ts';

const everything = { count: 1_000_000, bytes: 1_000_000_000 };
const megabyte = 1024 * 1024;

async function newFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'viworks-spool-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  return folder;
}

/** A process that was killed closes nothing in order: its spools are closed when nobody looks any more. */
const opened: Spool[] = [];
afterEach(async () => {
  await Promise.all(opened.splice(0).map((spool) => spool.close()));
});

/** Samples here are a number as text, padded to a size. */
const sample = (number: number, size = 20) => Buffer.from(String(number).padEnd(size));
const add = (spool: Spool, number: number, { at = 0, size = 20 } = {}) =>
  spool.append(at, () => sample(number, size));

/** All that waits, read in pieces. */
async function waiting(spool: Spool, most = everything): Promise<number[]> {
  const found: number[] = [];
  for (let from = 0; ; ) {
    const frames = await spool.read(from, most);
    const last = frames.at(-1);
    if (last === undefined) return found;
    found.push(...frames.map(({ data }) => Number(Buffer.from(data).toString().trim())));
    from = last.position + 1;
  }
}

const bounds: SpoolBounds = { maximumBytes: megabyte, maximumAgeMs: 86_400_000 };

async function openAt(
  folder: string,
  time = createFakeTime(0),
  own: Partial<SpoolBounds> = {},
  memoryCount = 240,
) {
  const { clock } = time;
  const spool = await openDiskSpool(folder, {
    bounds: { ...bounds, ...own },
    clock,
    log: silentLogger,
    memoryCount,
  });
  opened.push(spool);
  return spool;
}

describe('frames', () => {
  test('what is written is read, and the first that is not whole ends it', () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ takenAt: fc.maxSafeNat(), data: fc.uint8Array({ maxLength: 300 }) })),
        fc.nat(),
        fc.nat(),
        (frames, cut, flip) => {
          const bytes = Buffer.concat(frames.map(writeFrame));
          expect(readFrames(bytes)).toEqual({ frames, goodBytes: bytes.byteLength });
          const torn = Buffer.from(bytes.subarray(0, cut % (bytes.byteLength + 1)));
          const damaged = flip % (torn.byteLength + 1);
          if (damaged < torn.byteLength) torn[damaged] = (torn[damaged] ?? 0) ^ 1;
          const { frames: found, goodBytes } = readFrames(torn);
          expect(frames.slice(0, found.length)).toEqual(found);
          expect(goodBytes).toBeLessThanOrEqual(damaged);
        },
      ),
    );
  });
});

describe.each([
  ['memory', () => Promise.resolve(createMemorySpool({ capacity: 1000 }))],
  ['disk', async () => openAt(await newFolder())],
] as const)('a spool in %s', (_name, open) => {
  test('gives what waits in order and in pieces, until it is acknowledged', async () => {
    const spool = await open();
    for (let n = 0; n < 10; n += 1) expect(await add(spool, n)).toBe(n);
    expect(await waiting(spool, { count: 3, bytes: 1_000 })).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(await spool.read(4, { count: 100, bytes: 45 })).toHaveLength(2);
    expect(await spool.read(4, { count: 100, bytes: 1 })).toHaveLength(1);
    await spool.acknowledge(7);
    expect([await waiting(spool), spool.length]).toEqual([[7, 8, 9], 3]);
    await spool.acknowledge(3);
    await spool.acknowledge(10);
    expect([await waiting(spool), spool.length, spool.dropped]).toEqual([[], 0, 0]);
    expect(await add(spool, 10)).toBe(10);
    expect(await waiting(spool)).toEqual([10]);
    await spool.close();
  });
});

describe('a spool on the disk', () => {
  test('keeps what waits when the process ends without a word', async () => {
    const folder = await newFolder();
    const before = await openAt(folder);
    for (let n = 0; n < 5; n += 1) await add(before, n);
    const after = await openAt(folder);
    expect(await waiting(after)).toEqual([0, 1, 2, 3, 4]);
    await add(after, 5);
    expect(await waiting(after, { count: 2, bytes: 1_000 })).toEqual([0, 1, 2, 3, 4, 5]);
    await after.acknowledge(6);
    expect(await waiting(await openAt(folder))).toEqual([]);
  });

  test('drops the oldest over its size, counts them, and says so in what comes next', async () => {
    const folder = await newFolder();
    const spool = await openAt(folder);
    const told: number[] = [];
    const count = 3_000;
    for (let n = 0; n < count; n += 1)
      await spool.append(0, (dropped) => {
        told[n] = dropped;
        return sample(n, 1_000);
      });
    const kept = await waiting(spool, { count: 100, bytes: megabyte });
    expect(kept).toEqual(Array.from({ length: kept.length }, (_, i) => count - kept.length + i));
    expect(spool.dropped).toBe(count - kept.length);
    expect(told.at(-1)).toBe(spool.dropped);
    expect(kept.length).toBeGreaterThan(850);
    let bytes = 0;
    for (const name of await readdir(folder)) bytes += (await stat(join(folder, name))).size;
    expect(bytes).toBeLessThanOrEqual(bounds.maximumBytes);
  });

  test('drops what is too old', async () => {
    const folder = await newFolder();
    const time = createFakeTime(0);
    const spool = await openAt(folder, time);
    for (let hour = 0; hour < 72; hour += 1) {
      await add(spool, hour, { at: time.clock.now() });
      time.advance(3_600_000);
    }
    const kept = await waiting(spool);
    expect(kept.at(-1)).toBe(71);
    expect(kept.length).toBeGreaterThanOrEqual(23);
    expect(kept.length).toBeLessThanOrEqual(27);
    expect(spool.dropped).toBe(72 - kept.length);
    // What a process before left is held to the same.
    time.advance(48 * 3_600_000);
    const next = await openAt(folder, time);
    await add(next, 100, { at: time.clock.now() });
    expect([await waiting(next), next.dropped]).toEqual([[100], kept.length]);
  });

  test('goes on beside a file that cannot be read, and gives it to nobody', async () => {
    const folder = await newFolder();
    const first = await openAt(folder);
    for (let n = 0; n < 2; n += 1) await add(first, n);
    await first.close();
    // As a file is whose place on the disk is damaged: it cannot be opened, read or written.
    await mkdir(segmentFile(folder, 2));
    const second = await openAt(folder);
    await add(second, 2);
    expect(await waiting(second)).toEqual([0, 1, 2]);
    await second.close();
    await mkdir(segmentFile(folder, 4));
    const third = await openAt(folder);
    await add(third, 3);
    expect(await waiting(third)).toEqual([0, 1, 2, 3]);
    await third.close();
    expect(await waiting(await openAt(folder))).toEqual([0, 1, 2, 3]);
  });

  test('goes on after a sample that a crash left half written, and after one that the disk changed', async () => {
    const folder = await newFolder();
    const first = await openAt(folder);
    for (let n = 0; n < 3; n += 1) await add(first, n);
    const file = segmentFile(folder, 1);
    await truncate(file, (await stat(file)).size - 5);
    const second = await openAt(folder);
    await add(second, 3);
    expect(await waiting(second)).toEqual([0, 1, 3]);
    const bytes = await readFile(file);
    bytes[bytes.byteLength - 1] = 0xff;
    await writeFile(file, bytes);
    // Under a running process too: what cannot be read is counted as lost.
    const third = await openAt(folder);
    expect(await waiting(third)).toEqual([0, 3]);
    await appendFile(segmentFile(folder, 2), 'garbage');
    expect(await waiting(third)).toEqual([0, 3]);
    await rm(segmentFile(folder, 1));
    const fourth = await openAt(folder);
    expect(await waiting(fourth)).toEqual([3]);
    await rm(segmentFile(folder, 2));
    expect([await waiting(await openAt(folder)), await waiting(fourth)]).toEqual([[], [3]]);
    const fifth = await openAt(folder);
    await add(fifth, 4);
    const sixth = await openAt(folder);
    await writeFile(segmentFile(folder, 1), 'x');
    expect([await waiting(sixth), sixth.dropped]).toEqual([[], 1]);
  });

  test('keeps the newest in memory while the disk is full, and writes them when there is room', async () => {
    const folder = await newFolder();
    const spool = await openAt(folder, createFakeTime(0), {}, 4);
    await add(spool, 0);
    await spool.acknowledge(1);
    await spool.close();
    // The next files stand for a disk without room.
    for (let id = 2; id < 20; id += 1) await symlink('/dev/full', segmentFile(folder, id));
    for (let n = 1; n <= 6; n += 1) await add(spool, n);
    expect([await waiting(spool), spool.dropped, spool.length]).toEqual([[3, 4, 5, 6], 2, 4]);
    await spool.acknowledge(4);
    for (let id = 2; id < 20; id += 1) await rm(segmentFile(folder, id), { force: true });
    await add(spool, 7);
    expect([await waiting(spool), spool.dropped]).toEqual([[4, 5, 6, 7], 2]);
    expect(await waiting(await openAt(folder))).toEqual([4, 5, 6, 7]);
  });

  test('whatever comes between, samples come in order, none is lost unseen, and none comes that was never taken', async () => {
    const step = fc.oneof(
      { weight: 6, arbitrary: fc.record({ kind: fc.constant('add' as const), size: fc.nat(9_000) }) },
      { weight: 2, arbitrary: fc.record({ kind: fc.constant('acknowledge' as const), share: fc.nat(100) }) },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant('crash' as const), torn: fc.nat(200) }) },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 120, size: 'max' }), async (steps) => {
        const folder = await mkdtemp(join(tmpdir(), 'viworks-spool-'));
        try {
          await checkSteps(folder, steps);
        } finally {
          await rm(folder, { recursive: true });
        }
      }),
      { numRuns: 15 },
    );
  }, 60_000);
});

type Step =
  | { kind: 'add'; size: number }
  | { kind: 'acknowledge'; share: number }
  | { kind: 'crash'; torn: number };

/** The last file loses its end, as when the machine stops while it is written. */
async function tearNewest(folder: string, bytes: number): Promise<number> {
  const name = (await readdir(folder)).sort().at(-1);
  if (name === undefined) return 0;
  const file = join(folder, name);
  const before = readFrames(await readFile(file)).frames.length;
  const { size } = await stat(file);
  await truncate(file, Math.max(0, size - bytes));
  return before - readFrames(await readFile(file)).frames.length;
}

async function checkSteps(folder: string, steps: readonly Step[]): Promise<void> {
  let spool = await openAt(folder, createFakeTime(0), { maximumBytes: 100_000 });
  let taken = 0;
  let acknowledged = 0;
  let droppedBefore = 0;
  let torn = 0;
  let before: number[] = [];
  for (const step of steps) {
    if (step.kind === 'add') {
      await add(spool, taken, { size: 20 + step.size });
      taken += 1;
    } else if (step.kind === 'acknowledge') {
      const frames = await spool.read(0, everything);
      const last = frames[Math.floor(((frames.length - 1) * step.share) / 100)];
      if (last !== undefined) {
        acknowledged = Number(Buffer.from(last.data).toString().trim()) + 1;
        await spool.acknowledge(last.position + 1);
      }
    } else {
      droppedBefore += spool.dropped;
      torn += await tearNewest(folder, step.torn);
      spool = await openAt(folder, createFakeTime(0), { maximumBytes: 100_000 });
    }
    const now = await waiting(spool, { count: 7, bytes: 20_000 });
    expect(now).toEqual([...now].sort((a, b) => a - b));
    expect(new Set(now).size).toBe(now.length);
    // What was acknowledged comes again after a crash at most.
    if (step.kind !== 'crash') {
      const allowed = new Set([...before, taken - 1]);
      expect(now.filter((number) => !allowed.has(number))).toEqual([]);
    }
    const missing = taken - acknowledged - now.filter((number) => number >= acknowledged).length;
    expect(missing).toBeLessThanOrEqual(spool.dropped + droppedBefore + torn);
    expect(spool.length).toBe(now.length);
    before = now;
  }
}
