import { randomFillSync } from 'node:crypto';
import { v7 } from 'uuid';

/** Bytes of one id. */
const size = 16;
/** Ids for which random bytes are drawn at once: one call for each costs eight times as much as all the rest. */
const drawn = 512;

/** The next time and counter, and random bytes: ids sort in the order in which they are made, as the library's do. */
function createSource() {
  const pool = new Uint8Array(drawn * size);
  let used = pool.length;
  let msecs = Number.NEGATIVE_INFINITY;
  let seq = 0;
  return function next() {
    if (used === pool.length) {
      randomFillSync(pool);
      used = 0;
    }
    const random = pool.subarray(used, used + size);
    used += size;
    const now = Date.now();
    if (now > msecs) {
      msecs = now;
      const [, , , , , , a = 0, b = 0, c = 0, d = 0] = random;
      seq = ((a & 0x7f) << 24) | (b << 16) | (c << 8) | d;
    } else {
      seq = (seq + 1) | 0;
      // All counts of this millisecond are used: the next one is borrowed.
      if (seq === 0) msecs += 1;
    }
    return { random, msecs, seq };
  };
}

/** One for the process, because ids of all its parts sort together. */
const next = createSource();

/** What an id looks like that was made here. */
export const idForm = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/**
 * A new UUIDv7 (RFC 9562) in its text form. Sorts by the time it was made, also within one millisecond: the
 * order of a queue depends on it.
 */
export function newId(): string {
  return v7(next());
}

/** The lowest UUIDv7 of a moment: every id that was made then or later sorts after it. @param ms since 1970 */
export function firstIdAt(ms: number): string {
  const time = Math.min(Math.max(0, Math.floor(ms)), 2 ** 48 - 1)
    .toString(16)
    .padStart(12, '0');
  return `${time.slice(0, 8)}-${time.slice(8)}-7000-8000-000000000000`;
}

/** A new UUIDv7 as 16 bytes. */
export function newIdBytes(): Uint8Array {
  return v7(next(), new Uint8Array(size));
}
