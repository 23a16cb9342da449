import type { Envelope } from '#gen/viworks/agent/v1/envelope_pb.js';
import type { ViworksError } from '../errors.ts';

/**
 * A connection carries envelopes in both directions with one peer and knows nothing of their meaning. The
 * server and the agent see the same port; Connect streams, WebSockets and polling pairs implement it. It
 * pushes: there is no iterator and no promise for each message.
 */
export interface Connection {
  readonly peer: Peer;
  /**
   * Queues an envelope. Envelopes leave in the order of the calls, those of one tick in one write.
   * After close() it does nothing.
   * @throws message_too_large, and the connection lives on
   */
  send(envelope: Envelope): void;
  /** Bytes that the peer has not taken yet. The caller stops sending, or closes, when this grows. */
  readonly bufferedBytes: number;
  /** Bytes of messages that came until now, whether they were delivered yet or not. */
  readonly receivedBytes: number;
  /** Stops reading from the peer until resume(); the transport's own flow control holds it back. */
  pause(): void;
  resume(): void;
  /** Lets what was sent leave, then ends; with an error the peer is told it. onClose follows, always. */
  close(error?: ViworksError): void;
  /** Ends at once and frees everything, whatever the peer does. onClose follows, always. */
  destroy(): void;
}

/** What the owner of a connection is told. */
export interface ConnectionHandler {
  /** In the order in which the peer sent them. Never after onClose. */
  onEnvelope(envelope: Envelope): void;
  /**
   * Exactly once, whoever ended it. No error: the peer ended it in order, or we did.
   * An envelope that is too large or cannot be parsed ends the connection with `message_too_large` or
   * `protocol_violation`.
   */
  onClose(error: ViworksError | undefined): void;
}

/**
 * Server side: called once for each connection before its first envelope is read.
 * @param settled to be called when the peer has shown who it is: it is no newcomer any more
 */
export type AcceptConnection = (connection: Connection, settled: () => void) => ConnectionHandler;

/** Agent side: opens connections over one transport. */
export interface Dialer {
  readonly transport: TransportName;
  /** Resolves when the peer is there; rejects with `unavailable` and the reason otherwise. */
  dial(handler: ConnectionHandler, signal: AbortSignal): Promise<Connection>;
}

export type TransportName = 'connect' | 'grpc' | 'websocket';

export interface Peer {
  transport: TransportName;
  /** The form in which envelopes travel. */
  encoding: 'binary' | 'json';
  /** Without a port where there is none; empty if unknown. */
  remoteAddress: string;
  tls: boolean;
  /** The value of RFC 9266 of this end of the TLS connection. */
  tlsExporter?: Uint8Array | undefined;
  /** What the peer showed in TLS, in DER; nothing but that it holds the key is known of it. */
  certificate?: Uint8Array | undefined;
}
