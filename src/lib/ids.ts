import { v7 } from 'uuid';

/**
 * A new UUIDv7 (RFC 9562) in its text form. Sorts by the time it was made, also within one millisecond: the
 * order of a queue depends on it, so the library's own counter is used and no random source of ours.
 */
export function newId(): string {
  return v7();
}

/** A new UUIDv7 as 16 bytes. */
export function newIdBytes(): Uint8Array {
  return v7(undefined, new Uint8Array(16));
}
