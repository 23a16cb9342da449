import { type IncomingMessage, STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { type WebSocket, WebSocketServer } from 'ws';
import { ViworksError } from '../errors.ts';
import { clientAddress } from '../lib/addresses.ts';
import type { Peer } from '../protocol/connection.ts';
import { certificateOf } from '../protocol/peer-certificate.ts';
import { errorHeaders } from '../protocol/status.ts';
import { tlsExporterOf } from '../protocol/tls-exporter.ts';
import {
  createWebSocketConnection,
  subprotocols,
  webSocketLimits,
} from '../protocol/websocket-connection.ts';
import type { AgentStreamDeps } from './agent-stream.ts';
import { socketName } from './newcomers.ts';

/**
 * The WebSocket of agents, for those behind a proxy that speaks only HTTP/1.1. A client offers
 * `viworks.v1.proto` (binary messages) or `viworks.v1.json` (text messages); of both, binary is chosen.
 *
 * | close code | when | reason |
 * |---|---|---|
 * | 1000 | the session ended in order | empty |
 * | 1002 | the peer broke the protocol | `protocol_violation` |
 * | 1009 | a message was over the limit | `message_too_large`, or empty where the frame's length told it |
 * | 1013 | an error after which a retry makes sense | the error's code, for example `draining` |
 * | 4000 | every other error | the error's code, for example `superseded` |
 */

export type UpgradeHandler = (request: IncomingMessage, socket: Duplex, head: Buffer) => void;

export function createWebSocketUpgrade(deps: AgentStreamDeps): UpgradeHandler {
  const server = new WebSocketServer({
    ...webSocketLimits,
    noServer: true,
    clientTracking: false,
    handleProtocols: (offered) => encodingOf([...offered])?.protocol ?? false,
  });
  // With this listener the answer to a malformed upgrade is ours to give.
  server.on('wsClientError', (error, socket) => {
    refuseUpgrade(socket, 400, `${error.message}.`);
  });

  const open = (socket: WebSocket, raw: Duplex, request: IncomingMessage): void => {
    const peer: Peer = {
      transport: 'websocket',
      encoding: socket.protocol === subprotocols.json ? 'json' : 'binary',
      remoteAddress: clientAddress(
        request.socket.remoteAddress ?? '',
        request.headers['x-forwarded-for'],
        deps.proxies,
      ),
      tls: (request.socket as TLSSocket).encrypted === true,
      tlsExporter: tlsExporterOf(request.socket),
      certificate: certificateOf(request.socket),
    };
    socket.once('close', deps.admission.leave);
    const { connection, start } = createWebSocketConnection(socket, raw, peer);
    try {
      const name = socketName(request.socket);
      start(deps.accept(connection, () => deps.newcomers.settled(name)));
    } catch (thrown) {
      connection.close(ViworksError.from(thrown));
    }
  };

  return (request, socket, head) => {
    const offered = (request.headers['sec-websocket-protocol'] ?? '').split(',').map((name) => name.trim());
    if (encodingOf(offered) === undefined) {
      const names = Object.values(subprotocols).join(' or ');
      refuseUpgrade(socket, 400, `Offer the WebSocket subprotocol ${names}.`);
      return;
    }
    const full = deps.admission.enter();
    if (full !== undefined) {
      refuseUpgrade(socket, 503, full.message, errorHeaders(full));
      return;
    }
    // The place is given back by whichever ends first: a handshake that fails, or the WebSocket it became.
    socket.once('close', deps.admission.leave);
    server.handleUpgrade(request, socket, head, (webSocket) => {
      socket.off('close', deps.admission.leave);
      open(webSocket, socket, request);
    });
  };
}

function encodingOf(offered: readonly string[]): { protocol: string } | undefined {
  const protocol = Object.values(subprotocols).find((name) => offered.includes(name));
  return protocol === undefined ? undefined : { protocol };
}

/** Answers an upgrade with a plain response and ends the socket. */
export function refuseUpgrade(
  socket: Duplex,
  status: number,
  text: string,
  headers: Record<string, string> = {},
): void {
  const body = `${text}\n`;
  const lines = Object.entries({
    ...headers,
    connection: 'close',
    'content-type': 'text/plain; charset=utf-8',
    'content-length': String(Buffer.byteLength(body)),
  }).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.once('finish', () => socket.destroy());
  socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\n${lines.join('')}\r\n${body}`);
}
