import { parse, stringify, v7 } from 'uuid';

/** A new UUIDv7 (RFC 9562) in its text form. Sorts by the time it was made. */
export function newId(): string {
  return v7();
}

/** A new UUIDv7 as 16 bytes. */
export function newIdBytes(): Uint8Array {
  return v7(undefined, new Uint8Array(16));
}

export const idToBytes = (id: string): Uint8Array => parse(id);
export const idFromBytes = (bytes: Uint8Array): string => stringify(bytes);
