import type { Http2Stream } from 'node:http2';
import type { Envelope } from '#gen/viworks/agent/v1/envelope_pb.js';
import { ViworksError } from '../errors.ts';
import type { Connection, ConnectionHandler, Peer } from './connection.ts';
import { decodeBinary, decodeJson, encodeBinary, encodeJson, tooLarge } from './envelope.ts';
import { createFrameDecoder, frameEndOfStream, frameHeaderBytes, joinFrames } from './frames.ts';
import { wireLimits } from './limits.ts';

/**
 * A connection over one HTTP/2 stream of frames, as Connect and gRPC have it: the part that both ends share.
 * Nothing is allocated for a message but its bytes and its frame: no promise, no closure, no iterator.
 *
 * Writes leave in a microtask. It runs when the callback that sent is over, so it collects all that one event
 * caused, and node:http2 still joins it to the socket write of that very event; setImmediate would collect
 * little more and costs a turn of the event loop for each message.
 */

export interface Codec {
  encode(envelope: Envelope): Uint8Array;
  decode(bytes: Uint8Array): Envelope;
}

const utf8 = new TextDecoder();

export const codecs: Record<Peer['encoding'], Codec> = {
  binary: { encode: encodeBinary, decode: decodeBinary },
  json: {
    encode(message) {
      const bytes = Buffer.from(encodeJson(message));
      if (bytes.length > wireLimits.messageBytes) throw tooLarge(bytes.length);
      return bytes;
    },
    decode: (bytes) => decodeJson(utf8.decode(bytes)),
  },
};

/** What the two ends do differently. */
export interface FramedEnds {
  /** Sends the last frames, if any, and the end of this side, each protocol in its own form. */
  finish(rest: Buffer | undefined, error: ViworksError | undefined): void;
  /** Frees the stream, and the HTTP/2 session below where nothing else uses it. */
  abort(): void;
  /** What a frame flagged as end of stream says. Absent: the peer may not send one. */
  readEnd?: (payload: Uint8Array) => ViworksError | undefined;
  /** What it means that the peer ended its side without such a frame; undefined for an end in order. */
  endedSilently(): ViworksError | undefined;
}

export interface FramedConnection {
  connection: Connection;
  /** Begins to read. onClose is called even if the stream is over already. */
  start(handler: ConnectionHandler): void;
}

export function createFramedConnection(stream: Http2Stream, peer: Peer, ends: FramedEnds): FramedConnection {
  const { encode, decode } = codecs[peer.encoding];
  const decoder = createFrameDecoder();
  let handler: ConnectionHandler | undefined;
  let state: 'open' | 'closing' | 'closed' = 'open';
  let paused = false;
  /** The peer ended its side first. Node's own client does so even when it cancels, just before its reset. */
  let peerEnded = false;
  /** What onClose will say. */
  let verdict: ViworksError | undefined;
  let frames: Uint8Array[] = [];
  let frameBytes = 0;
  let receivedBytes = 0;
  let closeTimer: NodeJS.Timeout | undefined;

  const takeFrames = (): Buffer | undefined => {
    if (frames.length === 0) return undefined;
    const buffer = joinFrames(frames);
    frames = [];
    frameBytes = 0;
    return buffer;
  };

  const flush = (): void => {
    if (state !== 'open') return;
    const buffer = takeFrames();
    if (buffer !== undefined) stream.write(buffer);
  };

  const buffered = (): number => frameBytes + stream.writableLength;

  /** Ends our side; `told` goes to the peer, `known` to our owner. */
  const end = (told: ViworksError | undefined, known: ViworksError | undefined): void => {
    if (state !== 'open') return;
    state = 'closing';
    verdict = known;
    closeTimer = setTimeout(ends.abort, wireLimits.closeTimeoutMs);
    if (stream.destroyed) return;
    ends.finish(takeFrames(), told);
    // What still comes is thrown away, so that the end of the peer's side is seen.
    stream.resume();
  };

  const cut = (known: ViworksError | undefined): void => {
    if (state === 'closed') return;
    if (state === 'open') verdict = known;
    state = 'closing';
    frames = [];
    frameBytes = 0;
    ends.abort();
  };

  const deliver = (owner: ConnectionHandler): void => {
    try {
      while (state === 'open' && !paused) {
        const frame = decoder.next();
        if (frame === undefined) return;
        if (frame.flags === 0) {
          owner.onEnvelope(decode(frame.payload));
        } else if (frame.flags === frameEndOfStream && ends.readEnd !== undefined) {
          end(undefined, ends.readEnd(frame.payload));
        } else {
          throw new ViworksError('protocol_violation', `A frame has the unknown flags ${frame.flags}.`);
        }
      }
    } catch (thrown) {
      const error = ViworksError.from(thrown);
      end(error, error);
    }
  };

  const onEnd = (): void => {
    // A reset and a lost socket end the readable side too; 'close' tells of them.
    if (state !== 'open' || stream.aborted || stream.rstCode !== 0) return;
    peerEnded = true;
    if (decoder.pending) {
      const error = new ViworksError('protocol_violation', 'The stream ends inside a frame.');
      end(error, error);
    } else {
      const error = ends.endedSilently();
      end(error, error);
    }
  };

  const onClosed = (): void => {
    const cancelled = peerEnded && stream.rstCode !== 0;
    if (state === 'open' || (cancelled && verdict === undefined)) verdict = lost(stream.rstCode);
    state = 'closed';
    clearTimeout(closeTimer);
    frames = [];
    handler?.onClose(verdict);
  };

  stream.on('error', () => {
    // 'close' follows and is what counts; without a listener the process would end.
  });
  stream.once('close', onClosed);

  const connection: Connection = {
    peer,
    send(envelope) {
      if (state !== 'open') return;
      const bytes = encode(envelope);
      if (frames.length === 0) queueMicrotask(flush);
      frames.push(bytes);
      frameBytes += frameHeaderBytes + bytes.length;
      if (buffered() > wireLimits.outboundBufferBytes) {
        cut(new ViworksError('peer_too_slow', `The peer left ${buffered()} bytes unread.`));
      }
    },
    get bufferedBytes() {
      return buffered();
    },
    get receivedBytes() {
      return receivedBytes;
    },
    pause() {
      paused = true;
      if (state === 'open') stream.pause();
    },
    resume() {
      if (!paused) return;
      paused = false;
      if (state !== 'open' || handler === undefined) return;
      deliver(handler);
      if (!paused) stream.resume();
    },
    close(error) {
      end(error, undefined);
    },
    destroy() {
      cut(undefined);
    },
  };

  return {
    connection,
    start(owner) {
      handler = owner;
      if (state === 'closed') {
        owner.onClose(verdict);
        return;
      }
      stream.on('data', (chunk: Uint8Array) => {
        if (state !== 'open') return;
        receivedBytes += chunk.length;
        decoder.push(chunk);
        deliver(owner);
      });
      stream.once('end', onEnd);
      if (paused && state === 'open') stream.pause();
    },
  };
}

function lost(rstCode: number | undefined): ViworksError {
  const how = rstCode ? `The peer reset the stream (HTTP/2 error code ${rstCode}).` : 'The connection broke.';
  return new ViworksError('connection_lost', how);
}
