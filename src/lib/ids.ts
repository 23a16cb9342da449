import { v7 } from 'uuid';

/**
 * A new UUIDv7 (RFC 9562) in its text form. Sorts by the time it was made, also within one millisecond: the
 * order of a queue depends on it, so the library's own counter is used and no random source of ours.
 */
export function newId(): string {
  return v7();
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
  return v7(undefined, new Uint8Array(16));
}
