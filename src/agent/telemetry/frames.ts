import { crc32 } from 'node:zlib';

/**
 * How samples lie in a file, one after the other: the length of what follows the checksum (4 bytes, big endian), its
 * CRC-32 (4 bytes), when it was taken (8 bytes, milliseconds since 1970), and the sample. A crash may leave the last
 * one unfinished, and a disk may change any: both show, and what comes before them counts.
 */
export interface Frame {
  /** Milliseconds since 1970 by the agent's clock. */
  takenAt: number;
  data: Uint8Array;
}

const headBytes = 8;
const timeBytes = 8;
/** More than any envelope holds: a length over it is no length. */
const maximumBytes = 2 * 1024 * 1024;

export const frameBytes = (data: Uint8Array): number => headBytes + timeBytes + data.byteLength;

export function writeFrame({ takenAt, data }: Frame): Buffer {
  const bytes = Buffer.allocUnsafe(frameBytes(data));
  bytes.writeDoubleBE(takenAt, headBytes);
  bytes.set(data, headBytes + timeBytes);
  bytes.writeUInt32BE(timeBytes + data.byteLength, 0);
  bytes.writeUInt32BE(crc32(bytes.subarray(headBytes)), 4);
  return bytes;
}

/** The frames up to the first that is not whole. @returns also how many bytes they take */
export function readFrames(bytes: Buffer): { frames: Frame[]; goodBytes: number } {
  const frames: Frame[] = [];
  let at = 0;
  while (at + headBytes <= bytes.byteLength) {
    const length = bytes.readUInt32BE(at);
    const end = at + headBytes + length;
    if (length < timeBytes || length > maximumBytes || end > bytes.byteLength) break;
    const body = bytes.subarray(at + headBytes, end);
    if (crc32(body) !== bytes.readUInt32BE(at + 4)) break;
    frames.push({ takenAt: body.readDoubleBE(0), data: new Uint8Array(body.subarray(timeBytes)) });
    at = end;
  }
  return { frames, goodBytes: at };
}
