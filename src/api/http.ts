import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2';
import fastify from 'fastify';
import type { AddressList } from '../lib/addresses.ts';
import { recordFailure } from './call.ts';
import type { ApiDeps } from './deps.ts';
import { endpointUnknown, statusOf } from './errors.ts';
import { refusalOf, sendProblem } from './http-errors.ts';
import { registerHeaders } from './http-headers.ts';
import { registerOperations } from './http-operations.ts';
import { requestAddress } from './request-address.ts';
import { registerTrpc } from './trpc/plugin.ts';

/**
 * The API is what applications and operators call: the same operations over tRPC, gRPC and a few plain HTTP
 * routes for tools. It parses, checks who may, calls the core and turns errors into those of its surface.
 * This file puts together all that is plain HTTP.
 */

export interface HttpApi {
  /** Addresses that answer, as patterns; nothing else does. */
  routes: readonly string[];
  /** For requests of HTTP/1.1, and of HTTP/2 through Node's compatibility API. */
  handler: (
    request: IncomingMessage | Http2ServerRequest,
    response: ServerResponse | Http2ServerResponse,
  ) => void;
  /** Ends event streams so that their clients connect again, then waits for what is under way. */
  close(): Promise<void>;
}

/** Bytes of one request's body. */
const bodyLimit = 1024 * 1024;
const methods = ['GET', 'POST'] as const;

export interface HttpApiDeps extends ApiDeps {
  corsOrigins: readonly string[];
  /** Whether the listener ends TLS. */
  tls: boolean;
  /** What they say of where a caller is counts. */
  proxies: AddressList;
}

export async function createHttpApi(deps: HttpApiDeps): Promise<HttpApi> {
  const stopping = new AbortController();
  // Not by trustProxy: one thing alone says where a caller is (lib/addresses.ts).
  const app = fastify({ bodyLimit, routerOptions: { maxParamLength: 2048 } });
  const routes = new Set<string>();
  app.addHook('onRoute', ({ url }) => void routes.add(url));
  registerHeaders(app, deps.corsOrigins, deps.tls);
  registerOperations(app, deps);
  await registerTrpc(app, deps, stopping.signal);

  app.setErrorHandler((thrown, request, reply) => {
    const refusal = refusalOf(thrown);
    recordFailure(deps, 'http', request.routeOptions.url ?? 'unknown', refusal.error);
    return sendProblem(reply, refusal);
  });
  app.setNotFoundHandler(async (request, reply) => {
    await deps.limits.countAddress(requestAddress(request, deps.proxies));
    const [path = ''] = request.url.split('?', 1);
    const allowed = methods.filter((method) => app.hasRoute({ url: path, method }));
    const error = endpointUnknown(
      allowed.length === 0 ? 'such address' : `${request.method} for this address`,
    );
    if (allowed.length > 0) reply.header('allow', allowed.join(', '));
    recordFailure(deps, 'http', 'unknown', error);
    return sendProblem(reply, { error, status: allowed.length > 0 ? 405 : statusOf(error).http });
  });

  await app.ready();
  return {
    routes: [...routes],
    // The framework's types want to know the protocol at compile time; Node's compatibility API makes
    // both of the same shape.
    handler: (request, response) => app.routing(request as IncomingMessage, response as ServerResponse),
    async close() {
      stopping.abort();
      await app.close();
    },
  };
}
