import type { ExecutionName } from './outcome.ts';
import type { Timers } from './timers.ts';

/**
 * What running programs write goes to the control plane while they run: in order for each stream, coalesced,
 * and never more unacknowledged than the server grants. What a session did not get acknowledged is sent again
 * in the next one, or goes with the RESULT. A program that is done at once sends nothing here.
 */
export interface OutputStreams {
  /** For one execution. @param limit bytes of each stream that are kept; what follows is not sent */
  open(name: ExecutionName, limit: number): OutputSink;
  /** A session is open; 0 where the server wants no output before the RESULT. */
  restart(creditBytes: number): void;
}

export type StreamName = 'stdout' | 'stderr';

export interface OutputSink {
  write(stream: StreamName, data: Uint8Array): void;
  /** Nothing more is sent. Answers with how much of each stream was acknowledged. */
  close(): Record<StreamName, number>;
}

export interface OutputPiece extends ExecutionName {
  stream: StreamName;
  offset: number;
  data: Uint8Array;
}

export interface OutputStreamsDeps {
  timers: Timers;
  /** False while no session is open. */
  send(piece: OutputPiece, delivered: () => void): boolean;
}

/** Output waits so long for more, in milliseconds; what ends before that goes with its RESULT alone. */
const coalesceMs = 100;
/** Bytes that are worth an envelope at once. */
const eager = 32 * 1024;
/** Bytes of one piece. */
const pieceBytes = 32 * 1024;

/** The part of one stream that is not acknowledged. */
interface Unacknowledged {
  stream: StreamName;
  chunks: Uint8Array[];
  /** Position of the first of its bytes, of the next to send, and of the next to come. */
  acknowledged: number;
  sent: number;
  written: number;
}

interface Open {
  name: ExecutionName;
  limit: number;
  streams: readonly Unacknowledged[];
  /** Its first bytes have waited long enough. */
  begun: boolean;
}

export function createOutputStreams({ timers, send }: OutputStreamsDeps): OutputStreams {
  const open = new Set<Open>();
  let credit = 0;
  let underWay = 0;
  /** Acknowledgements of an earlier session no longer count for the credit. */
  let generation = 0;
  let waiting = false;

  function pump(): void {
    // Whoever sent goes to the end of the line, so that a flood holds up nobody.
    for (let sent = true; sent; ) {
      sent = false;
      for (const item of [...open]) {
        if (!item.begun || !sendOne(item)) continue;
        sent = true;
        open.delete(item);
        open.add(item);
      }
    }
  }

  function sendOne(item: Open): boolean {
    const stream = item.streams.find((one) => one.sent < one.written);
    return stream !== undefined && underWay < credit && sendPiece(item, stream);
  }

  function sendPiece(item: Open, stream: Unacknowledged): boolean {
    const offset = stream.sent;
    const data = slice(stream, offset, Math.min(pieceBytes, credit - underWay));
    const sentIn = generation;
    const delivered = () => {
      acknowledge(stream, offset + data.byteLength);
      if (sentIn !== generation) return;
      underWay -= data.byteLength;
      pump();
    };
    if (!send({ ...item.name, stream: stream.stream, offset, data }, delivered)) return false;
    stream.sent += data.byteLength;
    underWay += data.byteLength;
    return true;
  }

  function pumpSoon(): void {
    if (waiting) return;
    waiting = true;
    timers.after(coalesceMs, () => {
      waiting = false;
      for (const item of open) item.begun ||= item.streams.some((stream) => stream.written > 0);
      pump();
    });
  }

  return {
    open(name, limit) {
      const streams = (['stdout', 'stderr'] as const).map((stream) => ({
        stream,
        chunks: [],
        acknowledged: 0,
        sent: 0,
        written: 0,
      }));
      const item: Open = { name, limit, streams, begun: false };
      open.add(item);
      return {
        write(name, data) {
          const stream = streams.find((one) => one.stream === name);
          if (stream !== undefined) append(stream, data, limit);
          if (streams.some((one) => one.written - one.sent >= eager)) {
            item.begun = true;
            pump();
          } else pumpSoon();
        },
        close() {
          open.delete(item);
          const [stdout, stderr] = streams.map((one) => one.acknowledged);
          return { stdout: stdout ?? 0, stderr: stderr ?? 0 };
        },
      };
    },
    restart(creditBytes) {
      generation += 1;
      credit = creditBytes;
      underWay = 0;
      for (const { streams } of open) for (const stream of streams) stream.sent = stream.acknowledged;
      pump();
    },
  };
}

function append(stream: Unacknowledged, data: Uint8Array, limit: number): void {
  const part = data.subarray(0, Math.max(0, limit - stream.written));
  if (part.byteLength === 0) return;
  stream.chunks.push(part);
  stream.written += part.byteLength;
}

/** Forgets what lies before the position. */
function acknowledge(stream: Unacknowledged, upTo: number): void {
  while (stream.acknowledged < upTo) {
    const [first] = stream.chunks;
    if (first === undefined) return;
    const step = Math.min(first.byteLength, upTo - stream.acknowledged);
    if (step === first.byteLength) stream.chunks.shift();
    else stream.chunks[0] = first.subarray(step);
    stream.acknowledged += step;
  }
  stream.sent = Math.max(stream.sent, stream.acknowledged);
}

/** Bytes of the stream from a position on, at most so many. */
function slice(stream: Unacknowledged, from: number, most: number): Uint8Array {
  const parts: Uint8Array[] = [];
  let at = stream.acknowledged;
  let left = most;
  for (const chunk of stream.chunks) {
    const part = chunk.subarray(Math.max(0, from - at), Math.max(0, from - at) + left);
    at += chunk.byteLength;
    if (part.byteLength === 0) continue;
    parts.push(part);
    left -= part.byteLength;
    if (left === 0) break;
  }
  return parts.length === 1 && parts[0] !== undefined ? parts[0] : new Uint8Array(Buffer.concat(parts));
}
