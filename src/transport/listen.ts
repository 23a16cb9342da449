import http from 'node:http';
import http2, { type ServerHttp2Session } from 'node:http2';
import net from 'node:net';
import type { Duplex } from 'node:stream';
import tls from 'node:tls';
import { ViworksError } from '../errors.ts';
import type { ListenerTls } from '../identity/certificates/tls-files.ts';
import { type AddressList, isLoopback } from '../lib/addresses.ts';
import { defined } from '../lib/defined.ts';
import type { Logger } from '../lib/logger.ts';
import { wireLimits } from '../protocol/limits.ts';
import { type Http2Handlers, http2Limits, requestTimeoutMs, watchSession } from './http2-session.ts';
import type { Newcomers } from './newcomers.ts';

/**
 * A listener is one port that speaks HTTP/1.1 and HTTP/2: with TLS by ALPN, in clear text by the first bytes
 * (RFC 9113 section 3.4). It sets every limit that Node leaves open, and its stop never waits for a peer
 * longer than it is told.
 */

export interface ListenerOptions extends Http2Handlers {
  host: string;
  /** 0 for any free one. */
  port: number;
  tls?: ListenerTls | undefined;
  /** A request of HTTP/1.1 to change the protocol. Absent: such requests are handled as if they did not ask. */
  onUpgrade?: (request: http.IncomingMessage, socket: Duplex, head: Buffer) => void;
  /** In clear text, peers that may speak at all; others are dropped. Absent: everybody. */
  clearTextFrom?: (address: string) => boolean;
  /** Decides whose turn it is, from the first bytes on. Absent: everybody's. */
  newcomers?: Pick<Newcomers, 'enter'>;
  /** Open sockets; more are dropped without a word. */
  maxSockets?: number;
  /** Milliseconds in which a peer must say what it wants. */
  headersTimeoutMs?: number;
  /** Milliseconds that an answer may wait for a client that takes nothing of it. */
  unreadTimeoutMs?: number;
  log: Logger;
}

export interface Listener {
  /** Rejects with `config_invalid`, its message names the address. */
  start(): Promise<{ port: number }>;
  /** `host:port`, once started. */
  readonly address: string;
  /** For connections from now on; those that are open stay as they are. @throws config_invalid */
  setTls(identity: ListenerTls): void;
  /** No new connections; idle ones end now, the others when they are done or when the grace is over. */
  stop(graceMs: number): Promise<void>;
}

/** Where proxies are named, they and this machine alone may speak in clear text. */
export const clearTextOnlyFrom = (proxies: AddressList): Pick<ListenerOptions, 'clearTextFrom'> =>
  proxies.empty ? {} : { clearTextFrom: (address) => isLoopback(address) || proxies.has(address) };

const http1Limits: http.ServerOptions = {
  maxHeaderSize: wireLimits.headerBytes,
  requestTimeout: requestTimeoutMs,
  keepAliveTimeout: 5_000,
  connectionsCheckingInterval: 1_000,
  requireHostHeader: true,
};

/** @throws config_invalid where the certificate or its key cannot be used */
export function createListener(options: ListenerOptions): Listener {
  const { onUpgrade, log } = options;
  const onRequest = unbreakable(options.onRequest, log);
  const { headersTimeoutMs, unreadTimeoutMs } = { ...wireLimits, ...defined(options) };
  const sockets = new Set<net.Socket>();
  const undecided = new Set<net.Socket>();
  const sessions = new Set<ServerHttp2Session>();

  const http1 = http.createServer({ ...http1Limits, headersTimeout: headersTimeoutMs }, onRequest);
  // Called when nothing came or went for so long; a stream may well have nothing to say.
  http1.setTimeout(unreadTimeoutMs, (socket) => {
    if (socket.writableLength > 0) socket.destroy();
  });
  if (onUpgrade !== undefined) http1.on('upgrade', onUpgrade);

  const http2Server = http2.createServer(http2Limits);
  http2Server.on('session', (session) => {
    sessions.add(session);
    watchSession(
      session,
      { onRequest, onStream: options.onStream },
      { firstStreamMs: headersTimeoutMs, unreadMs: unreadTimeoutMs, log },
    );
    session.once('close', () => sessions.delete(session));
  });

  const onSocket = (socket: net.Socket): void => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    socket.on('error', (error) => log.debug({ err: error }, 'a socket broke'));
    socket.setNoDelay(true);
  };
  const hold = (socket: net.Socket): void => {
    undecided.add(socket);
    socket.once('close', () => undecided.delete(socket));
    socket.setTimeout(headersTimeoutMs, () => {
      if (undecided.has(socket)) socket.destroy();
    });
  };
  /** It has begun to speak: goes on when it is its turn. */
  const inTurn = (socket: net.Socket, go: () => void): void => {
    socket.setTimeout(0);
    const begin = (): void => {
      undecided.delete(socket);
      go();
    };
    if (options.newcomers === undefined) begin();
    else options.newcomers.enter(socket, begin);
  };
  const handOver = (socket: net.Socket, isHttp2: boolean): void => {
    if (isHttp2) http2Server.emit('connection', socket);
    else http1.emit('connection', socket);
  };

  let secureServer: tls.Server | undefined;
  const server = options.tls === undefined ? clearText() : secure(options.tls);
  if (options.maxSockets !== undefined) server.maxConnections = options.maxSockets;

  function clearText(): net.Server {
    const { clearTextFrom } = options;
    return net.createServer((socket) => {
      const { remoteAddress = '' } = socket;
      if (clearTextFrom?.(remoteAddress) === false) {
        log.info({ remoteAddress }, 'clear text from an address that is no trusted proxy; dropped');
        socket.destroy();
        return;
      }
      onSocket(socket);
      hold(socket);
      decideByPreface(socket, (isHttp2) => {
        inTurn(socket, () => {
          handOver(socket, isHttp2);
          // The parser of HTTP/1.1 has its listener by now; a session of HTTP/2 reads by itself.
          if (!isHttp2) socket.resume();
        });
      });
    });
  }

  /** What listens is a plain server: a TLS handshake costs, and so begins when it is the socket's turn. */
  function secure(identity: ListenerTls): net.Server {
    const ending = createTlsServer({
      ...secureContext(identity),
      requestCert: identity.clientAuthorities !== undefined,
      rejectUnauthorized: false,
      ALPNProtocols: ['h2', 'http/1.1'],
      handshakeTimeout: headersTimeoutMs,
    });
    secureServer = ending;
    ending.on('tlsClientError', (error, socket) => {
      log.debug({ err: error }, 'a TLS handshake failed');
      // Node reports a handshake that takes too long, and leaves its socket open.
      socket.destroy();
    });
    ending.on('secureConnection', (socket) => {
      socket.on('error', (error) => log.debug({ err: error }, 'a TLS socket broke'));
      handOver(socket, socket.alpnProtocol === 'h2');
    });
    return net.createServer((socket) => {
      onSocket(socket);
      hold(socket);
      // Read and not taken out: the TLS socket begins with what is there.
      socket.once('readable', () => inTurn(socket, () => ending.emit('connection', socket)));
    });
  }

  let port = options.port;
  let stopping: Promise<void> | undefined;

  const start = (): Promise<{ port: number }> => {
    const { promise, resolve, reject } = Promise.withResolvers<{ port: number }>();
    const onFailure = (error: NodeJS.ErrnoException): void => {
      reject(
        new ViworksError(
          'config_invalid',
          `Cannot listen on ${addressOf(options.host, options.port)}: ${reasonOf(error)}.`,
          { cause: error },
        ),
      );
    };
    server.once('error', onFailure);
    server.listen({ host: options.host, port: options.port }, () => {
      server.off('error', onFailure);
      server.on('error', (error) => log.warn({ err: error }, 'the listener failed to take a connection'));
      // This server never listens itself, and Node begins to watch its time limits with this event.
      http1.emit('listening');
      const bound = server.address();
      if (bound !== null && typeof bound === 'object') port = bound.port;
      resolve({ port });
    });
    return promise;
  };

  const stopOnce = (graceMs: number): Promise<void> => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(() => {
      for (const socket of sockets) socket.destroy();
    }, graceMs);
    // The callback also comes, with an error, where it never listened.
    server.close(() => {
      clearTimeout(timer);
      resolve();
    });
    http1.close();
    for (const socket of undecided) socket.destroy();
    for (const session of sessions) session.close();
    return promise;
  };

  return {
    start,
    get address() {
      return addressOf(options.host, port);
    },
    setTls(identity) {
      withUsable(() => secureServer?.setSecureContext(secureContext(identity)));
    },
    stop(graceMs) {
      stopping ??= stopOnce(graceMs);
      return stopping;
    },
  };
}

/** What throws over a request, for example over a Host that is no name, costs that request and not the process. */
function unbreakable(onRequest: Http2Handlers['onRequest'], log: Logger): Http2Handlers['onRequest'] {
  return (request, response) => {
    try {
      onRequest(request, response);
    } catch (error) {
      log.info({ err: error }, 'a request that cannot be handled');
      if (response.headersSent) {
        response.destroy();
        return;
      }
      response.statusCode = 400;
      response.setHeader('content-type', 'text/plain; charset=utf-8');
      response.end('The request is not well formed.');
    }
  };
}

const secureContext = ({ cert, key, clientAuthorities }: ListenerTls): tls.SecureContextOptions => ({
  cert,
  key,
  minVersion: 'TLSv1.3',
  ...(clientAuthorities === undefined ? {} : { ca: [...clientAuthorities] }),
});

const createTlsServer = (options: tls.TlsOptions): tls.Server => withUsable(() => tls.createServer(options));

/** @throws config_invalid where the certificate or its key cannot be used */
function withUsable<T>(work: () => T): T {
  try {
    return work();
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new ViworksError('config_invalid', `The TLS certificate or its key cannot be used: ${reason}.`, {
      cause,
    });
  }
}

const preface = Buffer.from('PRI ');

/** Four bytes tell: no method of HTTP/1.1 begins like the preface of HTTP/2. */
function decideByPreface(socket: net.Socket, decide: (isHttp2: boolean) => void): void {
  let seen: Buffer | undefined;
  const onData = (chunk: Buffer): void => {
    seen = seen === undefined ? chunk : Buffer.concat([seen, chunk]);
    const compared = Math.min(seen.length, preface.length);
    const isHttp2 = seen.compare(preface, 0, compared, 0, compared) === 0;
    if (isHttp2 && compared < preface.length) return;
    socket.off('data', onData);
    socket.pause();
    socket.unshift(seen);
    decide(isHttp2);
  };
  socket.on('data', onData);
}

function addressOf(host: string, port: number): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}

function reasonOf(error: NodeJS.ErrnoException): string {
  switch (error.code) {
    case 'EADDRINUSE':
      return 'the port is taken';
    case 'EACCES':
      return 'this user may not open the port';
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return 'this machine does not have the address';
    default:
      return error.message;
  }
}
