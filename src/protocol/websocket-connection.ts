import type { Duplex } from 'node:stream';
import type { Envelope } from '#gen/viworks/agent/v1/envelope_pb.js';
import { ViworksError } from '../errors.ts';
import type { Connection, ConnectionHandler, Peer } from './connection.ts';
import { decodeBinary, decodeJson } from './envelope.ts';
import { codecs } from './framed-connection.ts';
import { wireLimits } from './limits.ts';
import { closeCodeOf, errorFromClose } from './status.ts';

/**
 * A connection over one WebSocket: the part that both ends share. One message carries one envelope, binary
 * under the subprotocol `viworks.v1.proto`, text under `viworks.v1.json`.
 */

export const subprotocols: Record<Peer['encoding'], string> = {
  binary: 'viworks.v1.proto',
  json: 'viworks.v1.json',
};

export const webSocketPath = '/ws/agent';

/** What both ends ask of `ws`, whose own defaults are 100 MiB, 16,384 fragments and compression. */
export const webSocketLimits = {
  maxPayload: wireLimits.messageBytes,
  maxFragments: 128,
  maxBufferedChunks: 4096,
  perMessageDeflate: false,
} as const;

/** What of a `ws` WebSocket is needed here, where the library itself is none of the protocol's business. */
export interface Socket {
  readonly bufferedAmount: number;
  send(data: Uint8Array, options: { binary: boolean; compress: boolean }): void;
  close(code: number, reason: string): void;
  terminate(): void;
  pause(): void;
  resume(): void;
  on(event: 'message', listener: (data: unknown, isBinary: boolean) => void): unknown;
  on(event: 'error', listener: (error: Error & { code?: string }) => void): unknown;
  once(event: 'close', listener: (code: number, reason: Buffer) => void): unknown;
}

export interface WebSocketConnection {
  connection: Connection;
  /** Begins to read. onClose is called even if the socket is over already. */
  start(handler: ConnectionHandler): void;
}

/** @param raw the socket below; corked so that the messages of one tick leave in one write */
export function createWebSocketConnection(socket: Socket, raw: Duplex, peer: Peer): WebSocketConnection {
  const { encode } = codecs[peer.encoding];
  const binary = peer.encoding === 'binary';
  const sendOptions = { binary, compress: false };
  let handler: ConnectionHandler | undefined;
  let state: 'open' | 'closing' | 'closed' = 'open';
  let paused = false;
  let corked = false;
  let receivedBytes = 0;
  let verdict: ViworksError | undefined;
  let closeTimer: NodeJS.Timeout | undefined;
  /** What one chunk of the socket still held when the owner paused, or came before it started. */
  let held: Envelope[] = [];

  const uncork = (): void => {
    corked = false;
    raw.uncork();
  };

  const cut = (known: ViworksError | undefined): void => {
    if (state === 'closed') return;
    if (state === 'open') verdict = known;
    state = 'closing';
    socket.terminate();
  };

  const end = (told: ViworksError | undefined, known: ViworksError | undefined): void => {
    if (state !== 'open') return;
    state = 'closing';
    verdict = known;
    held = [];
    closeTimer = setTimeout(() => socket.terminate(), wireLimits.closeTimeoutMs);
    socket.close(closeCodeOf(told), told?.code ?? '');
    socket.resume();
  };

  const fail = (thrown: unknown): void => {
    const error = ViworksError.from(thrown);
    end(error, error);
  };

  socket.on('message', (data, isBinary) => {
    if (state !== 'open') return;
    try {
      if (isBinary !== binary) {
        throw new ViworksError(
          'protocol_violation',
          `The subprotocol ${subprotocols[peer.encoding]} has ${binary ? 'binary' : 'text'} messages only.`,
        );
      }
      // One Buffer, as long as nobody sets another binaryType.
      const bytes = data as Buffer;
      receivedBytes += bytes.length;
      const envelope = binary ? decodeBinary(bytes) : decodeJson(bytes.toString());
      if (handler === undefined || paused) held.push(envelope);
      else handler.onEnvelope(envelope);
    } catch (thrown) {
      fail(thrown);
    }
  });
  socket.on('error', (error: Error & { code?: string }) => {
    if (state !== 'open') return;
    verdict = errorOfSocket(error);
    state = 'closing';
    closeTimer = setTimeout(() => socket.terminate(), wireLimits.closeTimeoutMs);
  });
  socket.once('close', (code, reason) => {
    if (state === 'open') verdict = errorFromClose(code, reason.toString());
    state = 'closed';
    clearTimeout(closeTimer);
    held = [];
    handler?.onClose(verdict);
  });

  const deliverHeld = (owner: ConnectionHandler): void => {
    try {
      while (state === 'open' && !paused) {
        const envelope = held.shift();
        if (envelope === undefined) return;
        owner.onEnvelope(envelope);
      }
    } catch (thrown) {
      fail(thrown);
    }
  };

  const connection: Connection = {
    peer,
    send(envelope) {
      if (state !== 'open') return;
      const bytes = encode(envelope);
      if (!corked) {
        corked = true;
        raw.cork();
        queueMicrotask(uncork);
      }
      socket.send(bytes, sendOptions);
      if (socket.bufferedAmount > wireLimits.outboundBufferBytes) {
        cut(new ViworksError('peer_too_slow', `The peer left ${socket.bufferedAmount} bytes unread.`));
      }
    },
    get bufferedBytes() {
      return socket.bufferedAmount;
    },
    get receivedBytes() {
      return receivedBytes;
    },
    pause() {
      paused = true;
      socket.pause();
    },
    resume() {
      if (!paused) return;
      paused = false;
      if (handler !== undefined) deliverHeld(handler);
      if (!paused) socket.resume();
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
      if (state === 'closed') owner.onClose(verdict);
      else deliverHeld(owner);
    },
  };
}

function errorOfSocket(error: Error & { code?: string }): ViworksError {
  switch (error.code) {
    case 'WS_ERR_UNSUPPORTED_MESSAGE_LENGTH':
    case 'WS_ERR_UNSUPPORTED_DATA_PAYLOAD_LENGTH':
      return new ViworksError(
        'message_too_large',
        `A message is over the limit of ${wireLimits.messageBytes} bytes.`,
      );
    case undefined:
      return new ViworksError('connection_lost', 'The connection broke.', { cause: error });
    default:
      return error.code.startsWith('WS_ERR_')
        ? new ViworksError('protocol_violation', `The peer broke the WebSocket protocol: ${error.message}.`)
        : new ViworksError('connection_lost', `The connection broke (${error.code}).`);
  }
}
