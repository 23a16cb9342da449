import type { IncomingMessage } from 'node:http';
import { WebSocket } from 'ws';
import { ViworksError } from '../../errors.ts';
import type { Dialer, Peer } from '../../protocol/connection.ts';
import { wireLimits } from '../../protocol/limits.ts';
import { errorFromWire, retryAfterHeader } from '../../protocol/status.ts';
import { tlsExporterOf } from '../../protocol/tls-exporter.ts';
import {
  createWebSocketConnection,
  subprotocols,
  webSocketLimits,
  webSocketPath,
} from '../../protocol/websocket-connection.ts';
import type { DialOptions } from './connect.ts';
import { connectTls } from './tls.ts';

/** Dials the WebSocket: HTTP/1.1 from end to end, so it passes proxies that know nothing newer. */

export interface WebSocketDialOptions extends DialOptions {
  /** Binary unless said otherwise. */
  encoding?: Peer['encoding'];
}

export function createWebSocketDialer(options: WebSocketDialOptions): Dialer {
  const encoding = options.encoding ?? 'binary';
  const url = new URL(options.url);
  const secure = url.protocol === 'https:';
  const target = `${secure ? 'wss' : 'ws'}://${url.host}${url.pathname.replace(/\/$/, '')}${webSocketPath}`;
  return {
    transport: 'websocket',
    async dial(handler, signal) {
      const raw = secure ? await connectTls(url, options.tls, 'http/1.1', signal) : undefined;
      const socket = new WebSocket(target, subprotocols[encoding], {
        ...webSocketLimits,
        followRedirects: false,
        maxHeaderSize: wireLimits.headerBytes,
        ...(raw === undefined ? {} : { createConnection: () => raw }),
      });
      const open = (response: IncomingMessage) =>
        createWebSocketConnection(socket, response.socket, {
          transport: 'websocket',
          encoding,
          remoteAddress: response.socket.remoteAddress ?? '',
          tls: secure,
          tlsExporter: tlsExporterOf(response.socket),
        });
      const { connection, start } = await upgraded(socket, signal, open);
      // After the caller has its connection: what comes at once must find an owner that knows it.
      setImmediate(start, handler);
      return connection;
    },
  };
}

/** `open` is called before any other event of the socket, so that none is missed. */
function upgraded<T>(
  socket: WebSocket,
  signal: AbortSignal,
  open: (response: IncomingMessage) => T,
): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  let response: IncomingMessage | undefined;
  const fail = (reason: string, cause?: unknown): void => {
    reject(new ViworksError('unavailable', `No WebSocket: ${reason}.`, { cause }));
    socket.terminate();
  };
  const onAbort = (): void => fail('the time is over or the caller went away', signal.reason);
  // It stays: an aborted handshake reports once more, and without a listener the process would end.
  socket.on('error', (error: Error & { code?: string }) => {
    if (response === undefined) fail(error.message || (error.code ?? 'unknown'), error);
  });
  socket.once('unexpected-response', (request, answer) => {
    const { retryAfterMs } = errorFromWire({ message: '', retryAfter: answer.headers[retryAfterHeader] });
    const wait = retryAfterMs === undefined ? {} : { retryAfterMs };
    reject(new ViworksError('unavailable', `No WebSocket: the peer answered ${answer.statusCode}.`, wait));
    request.destroy();
  });
  socket.once('upgrade', (answer) => {
    response = answer;
  });
  socket.once('open', () => {
    if (response !== undefined) resolve(open(response));
  });
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) onAbort();
  return promise.finally(() => signal.removeEventListener('abort', onAbort));
}
