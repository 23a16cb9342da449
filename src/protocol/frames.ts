import { tooLarge } from './envelope.ts';
import { wireLimits } from './limits.ts';

/**
 * A frame is how messages lie in a stream of Connect and of gRPC alike: one byte of flags, the length as four
 * bytes big endian, then the message. This file cuts a stream of chunks into frames and joins messages into
 * one buffer of frames.
 */

export const frameHeaderBytes = 5;

/** Connect only: the last frame of a response; it says in JSON how the stream ended. */
export const frameEndOfStream = 0x02;

export interface Frame {
  flags: number;
  /** A view on a received chunk where the frame lay in one. */
  payload: Uint8Array;
}

export interface FrameDecoder {
  /** Takes the next chunk of the stream. */
  push(chunk: Uint8Array): void;
  /** @returns the next complete frame, or undefined until more chunks come. @throws message_too_large */
  next(): Frame | undefined;
  /** Whether the stream so far ends inside a frame, or before one that was not taken. */
  readonly pending: boolean;
}

const nothing: Uint8Array = new Uint8Array(0);

/**
 * What it holds is bounded: the unread rest of the last chunk and one unfinished frame, whose buffer grows
 * with the bytes that came and not with the length that was announced.
 */
export function createFrameDecoder(limit: number = wireLimits.messageBytes): FrameDecoder {
  let chunk = nothing;
  let at = 0;
  const header = new Uint8Array(frameHeaderBytes);
  let headerFilled = 0;
  let body = nothing;
  let bodyFilled = 0;
  let length = 0;

  const checked = (announced: number): number => {
    if (announced > limit) throw tooLarge(announced);
    return announced;
  };

  /** The slow way, for a frame that spans chunks. */
  const continueFrame = (): Frame | undefined => {
    if (headerFilled < frameHeaderBytes) {
      const taken = Math.min(frameHeaderBytes - headerFilled, chunk.length - at);
      header.set(chunk.subarray(at, at + taken), headerFilled);
      headerFilled += taken;
      at += taken;
      if (headerFilled < frameHeaderBytes) return undefined;
      length = checked(readLength(header, 0));
    }
    const taken = Math.min(length - bodyFilled, chunk.length - at);
    if (bodyFilled + taken > body.length) {
      const grown = new Uint8Array(Math.min(length, Math.max(bodyFilled + taken, body.length * 2)));
      grown.set(body.subarray(0, bodyFilled));
      body = grown;
    }
    body.set(chunk.subarray(at, at + taken), bodyFilled);
    bodyFilled += taken;
    at += taken;
    if (bodyFilled < length) return undefined;
    const frame = { flags: header[0] ?? 0, payload: body };
    headerFilled = 0;
    body = nothing;
    bodyFilled = 0;
    return frame;
  };

  return {
    push(bytes) {
      if (at < chunk.length) {
        const joined = new Uint8Array(chunk.length - at + bytes.length);
        joined.set(chunk.subarray(at));
        joined.set(bytes, chunk.length - at);
        chunk = joined;
      } else {
        chunk = bytes;
      }
      at = 0;
    },
    next() {
      if (headerFilled === 0 && chunk.length - at >= frameHeaderBytes) {
        const announced = checked(readLength(chunk, at));
        const start = at + frameHeaderBytes;
        if (start + announced <= chunk.length) {
          const flags = chunk[at] ?? 0;
          at = start + announced;
          return { flags, payload: chunk.subarray(start, at) };
        }
      }
      if (at === chunk.length && headerFilled === 0) return undefined;
      return continueFrame();
    },
    get pending() {
      return headerFilled > 0 || at < chunk.length;
    },
  };
}

function readLength(bytes: Uint8Array, at: number): number {
  return (
    (bytes[at + 1] ?? 0) * 0x1000000 +
    (((bytes[at + 2] ?? 0) << 16) | ((bytes[at + 3] ?? 0) << 8) | (bytes[at + 4] ?? 0))
  );
}

/** One buffer with a frame for each message, in their order. */
export function joinFrames(messages: readonly Uint8Array[], flags = 0): Buffer {
  let size = 0;
  for (const message of messages) size += frameHeaderBytes + message.length;
  const buffer = Buffer.allocUnsafe(size);
  let at = 0;
  for (const message of messages) {
    buffer[at] = flags;
    buffer.writeUInt32BE(message.length, at + 1);
    buffer.set(message, at + frameHeaderBytes);
    at += frameHeaderBytes + message.length;
  }
  return buffer;
}
