import type { Frame } from './frames.ts';

/**
 * A spool keeps samples in their order until they are acknowledged. Each has a position: 0 for the oldest that was
 * there at the opening, one more for each. What is over the bounds of age and size is dropped, the oldest first, and
 * counted.
 */
export interface Spool {
  /**
   * Adds one at the end; resolves with its position, when it would survive the process where the spool is on a disk.
   * Where the disk takes nothing, the newest wait in memory.
   * @param encode makes the bytes, told how many are lost when this one is kept
   */
  append(takenAt: number, encode: (dropped: number) => Uint8Array): Promise<number>;
  /** What waits, from the position on; what is gone already is passed over. At least one where there is any. */
  read(from: number, most: { count: number; bytes: number }): Promise<SpooledFrame[]>;
  /** Nothing before the position is needed any more. */
  acknowledge(before: number): Promise<void>;
  /** Lost since the opening. */
  readonly dropped: number;
  /** How many wait. */
  readonly length: number;
  /** Syncs what waits. */
  close(): Promise<void>;
}

export interface SpooledFrame extends Frame {
  position: number;
}

export interface SpoolBounds {
  /** Bytes on the disk. */
  maximumBytes: number;
  /** Milliseconds since a sample was taken. */
  maximumAgeMs: number;
}

export const defaultSpoolBounds: SpoolBounds = {
  maximumBytes: 32 * 1024 * 1024,
  maximumAgeMs: 7 * 86_400_000,
};

/** A spool for agents that need not outlive their process, such as simulated ones. */
export function createMemorySpool({ capacity = 120 }: { capacity?: number } = {}): Spool {
  let frames: SpooledFrame[] = [];
  let next = 0;
  let dropped = 0;
  return {
    append(takenAt, encode) {
      if (frames.length >= capacity) {
        frames.shift();
        dropped += 1;
      }
      const position = next;
      next += 1;
      frames.push({ position, takenAt, data: encode(dropped) });
      return Promise.resolve(position);
    },
    read: (from, most) =>
      Promise.resolve(
        firstOf(
          frames.filter(({ position }) => position >= from),
          most,
        ),
      ),
    acknowledge(before) {
      frames = frames.filter(({ position }) => position >= before);
      return Promise.resolve();
    },
    get dropped() {
      return dropped;
    },
    get length() {
      return frames.length;
    },
    close: () => Promise.resolve(),
  };
}

/** As many of the first as the bounds allow; at least one. */
export function firstOf<F extends Frame>(frames: readonly F[], most: { count: number; bytes: number }): F[] {
  let bytes = 0;
  const end = frames.slice(0, most.count).findIndex(({ data }, index) => {
    bytes += data.byteLength;
    return index > 0 && bytes > most.bytes;
  });
  return frames.slice(0, end < 0 ? most.count : end);
}
