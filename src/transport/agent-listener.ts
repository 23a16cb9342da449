import type { ConnectRouter } from '@connectrpc/connect';
import { ViworksError } from '../errors.ts';
import type { ListenerTls } from '../identity/certificates/tls-files.ts';
import { type AddressList, createAddressList } from '../lib/addresses.ts';
import { defined } from '../lib/defined.ts';
import type { Logger } from '../lib/logger.ts';
import type { AcceptConnection } from '../protocol/connection.ts';
import { wireLimits } from '../protocol/limits.ts';
import { webSocketPath } from '../protocol/websocket-connection.ts';
import { type Admission, agentStreamPath, serveAgentStream } from './agent-stream.ts';
import { clearTextOnlyFrom, createListener, type Listener } from './listen.ts';
import { createNewcomers, socketName } from './newcomers.ts';
import { createUnaryHandler } from './unary.ts';
import { createWebSocketUpgrade, refuseUpgrade } from './websocket.ts';

/**
 * A transport turns bytes into envelopes and back, and nothing else. This listener is the port of the agents:
 * it composes their stream, their WebSocket and the few unary calls, and hands each connection to `accept`.
 */

export interface AgentListenerOptions {
  host: string;
  port: number;
  tls?: ListenerTls | undefined;
  /** Proxies whose X-Forwarded-For is believed; where there are any, clear text from others is dropped. */
  proxies?: AddressList;
  /** Called once for each connection, on whatever transport. */
  accept: AcceptConnection;
  /** AgentService without Open, and grpc.health.v1. */
  unary: (router: ConnectRouter) => void;
  /** Agents that may be connected at once. */
  maxConnections: number;
  /** Of those that have no session yet, so many are attended to at once. */
  maxHandshakes?: number;
  /** Milliseconds in which a peer must say what it wants. */
  headersTimeoutMs?: number;
  /** Milliseconds that an answer may wait for a client that takes nothing of it. */
  unreadTimeoutMs?: number;
  log: Logger;
}

/** Sockets beside those of connected agents: enrolment, health, refusals. */
const spareSockets = 1_000;
const fullRetryAfterMs = 5_000;
const defaultHandshakes = 64;

export function createAgentListener(options: AgentListenerOptions): Listener {
  const { accept, log, proxies = createAddressList([]) } = options;
  const admission = createAdmission(options.maxConnections);
  const newcomers = createNewcomers({ atOnce: options.maxHandshakes ?? defaultHandshakes });
  const { strangerBytes } = wireLimits;
  const serveUnary = createUnaryHandler(options.unary, notFound, log, undefined, proxies, strangerBytes);
  const upgrade = createWebSocketUpgrade({ accept, admission, newcomers, proxies });

  return createListener({
    host: options.host,
    port: options.port,
    tls: options.tls,
    ...clearTextOnlyFrom(proxies),
    newcomers,
    log,
    ...defined({ headersTimeoutMs: options.headersTimeoutMs, unreadTimeoutMs: options.unreadTimeoutMs }),
    maxSockets: options.maxConnections + spareSockets,
    onStream(stream, headers, peer) {
      if (pathOf(headers[':path']) !== agentStreamPath) return false;
      serveAgentStream(stream, headers, peer, { accept, admission, newcomers, proxies });
      return true;
    },
    onRequest(request, response) {
      newcomers.settled(socketName(request.socket));
      const path = pathOf(request.url);
      if (path === '/livez') answer(response, 200, 'ok');
      else if (path === webSocketPath)
        answer(response, 426, 'Ask for an upgrade to websocket, over HTTP/1.1.');
      else serveUnary(request, response);
    },
    onUpgrade(request, socket, head) {
      if (pathOf(request.url) === webSocketPath) upgrade(request, socket, head);
      else refuseUpgrade(socket, 404, 'There is nothing here.');
    },
  });
}

function createAdmission(maximum: number): Admission {
  let open = 0;
  return {
    enter() {
      if (open >= maximum) {
        return new ViworksError('too_many_connections', `All ${maximum} connections are taken.`, {
          retryAfterMs: fullRetryAfterMs,
        });
      }
      open += 1;
      return undefined;
    },
    leave() {
      open -= 1;
    },
  };
}

const pathOf = (target: string | undefined): string => target?.split('?', 1)[0] ?? '';

function notFound(_request: unknown, response: PlainResponse): void {
  answer(response, 404, 'There is nothing here.');
}

/** What responses of HTTP/1.1 and HTTP/2 share. */
interface PlainResponse {
  statusCode: number;
  setHeader(name: string, value: string): unknown;
  end(text: string): unknown;
}

function answer(response: PlainResponse, status: number, text: string): void {
  response.statusCode = status;
  response.setHeader('content-type', 'text/plain; charset=utf-8');
  response.end(text);
}
