import {
  type Code,
  ConnectError,
  type ConnectRouter,
  createContextValues,
  type Interceptor,
} from '@connectrpc/connect';
import { type ConnectNodeAdapterOptions, connectNodeAdapter } from '@connectrpc/connect-node';
import { catalogue, ViworksError } from '../errors.ts';
import { clientAddress, createAddressList } from '../lib/addresses.ts';
import type { Logger } from '../lib/logger.ts';
import { wireLimits } from '../protocol/limits.ts';
import { remoteAddress } from '../protocol/peer.ts';
import { errorHeaders, wireStatus } from '../protocol/status.ts';
import type { ListenerRequest, ListenerResponse } from './http2-session.ts';

/** Calls of one request and one response, over Connect, gRPC and gRPC-Web, served by connect-node. */

export type RequestHandler = (request: ListenerRequest, response: ListenerResponse) => void;

/** Routes throw errors of the catalogue; here they get their status. What no route knows goes to `fallback`. */
export function createUnaryHandler(
  routes: (router: ConnectRouter) => void,
  fallback: NonNullable<ConnectNodeAdapterOptions['fallback']>,
  log: Logger,
  /** Ends streams of the server in order when it stops. */
  shutdownSignal?: AbortSignal,
  /** What they say of where a caller is counts. */
  proxies = createAddressList([]),
  readMaxBytes: number = wireLimits.messageBytes,
): RequestHandler {
  return connectNodeAdapter({
    routes,
    fallback,
    interceptors: [withStatus(log)],
    contextValues({ socket, headers }) {
      const from = clientAddress(socket.remoteAddress ?? '', headers['x-forwarded-for'], proxies);
      return createContextValues().set(remoteAddress, from);
    },
    readMaxBytes,
    writeMaxBytes: wireLimits.messageBytes,
    // A small compressed request can be a large one.
    acceptCompression: [],
    maxTimeoutMs: 60_000,
    ...(shutdownSignal === undefined ? {} : { shutdownSignal }),
  });
}

const withStatus =
  (log: Logger): Interceptor =>
  (next) =>
  async (request) => {
    try {
      return await next(request);
    } catch (thrown) {
      if (thrown instanceof ConnectError) throw thrown;
      const error = ViworksError.from(thrown);
      log[catalogue[error.code].log]({ err: error, method: request.method.name }, 'a call failed');
      throw toConnectError(error);
    }
  };

export function toConnectError(error: ViworksError): ConnectError {
  const code: Code = wireStatus[error.kind].grpc;
  return new ConnectError(error.message, code, errorHeaders(error), undefined, error.cause);
}
