import { type FastifyTRPCPluginOptions, fastifyTRPCPlugin } from '@trpc/server/adapters/fastify';
import type { FastifyInstance } from 'fastify';
import type { Actor } from '../../identity/types.ts';
import type { AddressList } from '../../lib/addresses.ts';
import { auditOf } from '../audited.ts';
import { operations, tokenIn } from '../authorize.ts';
import { countSuccess, recordFailure } from '../call.ts';
import { coreFor } from '../core.ts';
import type { ApiDeps } from '../deps.ts';
import { retryAfterSeconds } from '../errors.ts';
import { refusalOf } from '../http-errors.ts';
import type { RateHeaders } from '../limits.ts';
import { requestAddress } from '../request-address.ts';
import { closing, watchStanding } from '../standing.ts';
import { type AppRouter, createAppRouter } from './router.ts';
import { type Context, errorShape, viworksError } from './trpc.ts';

/** Calls that one HTTP request may carry. */
const maximumBatch = 32;

/** Puts the router at `/trpc`: queries and mutations as JSON, subscriptions as Server-Sent Events. */
export async function registerTrpc(
  app: FastifyInstance,
  deps: ApiDeps & { proxies: AddressList },
  stopping: AbortSignal,
): Promise<void> {
  const trpcOptions: FastifyTRPCPluginOptions<AppRouter>['trpcOptions'] = {
    router: createAppRouter(deps),
    maxBatchSize: maximumBatch,
    createContext: ({ req }): Context => {
      const address = requestAddress(req, deps.proxies);
      const token = tokenIn(req.headers.authorization);
      let rateHeaders: RateHeaders = {};
      // One check for all the calls of a batch, made by the first that needs it.
      let actor: Promise<Actor> | undefined;
      return {
        stopping,
        authenticate: () => {
          actor ??= deps.limits.identify({ address, token }, deps.userTokens.verify);
          return actor;
        },
        coreFor: (caller) => coreFor(deps, caller),
        countCall: (caller) =>
          deps.limits.countCall(caller, address, (headers) => {
            rateHeaders = headers;
          }),
        get rateHeaders() {
          return rateHeaders;
        },
        watchStanding(caller) {
          const close = deps.limits.openStream(caller, address);
          return closing(watchStanding(deps.userTokens, token), close);
        },
        countSuccess: (operation) => countSuccess(deps, 'trpc', operation),
        audit: auditOf(deps.trail, {
          address,
          header: (name) => [req.headers[name]].flat()[0],
        }),
      };
    },
    responseMeta: ({ ctx, errors }) => {
      const headers = new Headers(ctx?.rateHeaders);
      const seconds = errors.map((error) => retryAfterSeconds(viworksError(error))).find(Boolean);
      if (seconds !== undefined) headers.set('retry-after', seconds);
      return { headers };
    },
    onError: ({ error, path = '' }) => {
      // The label comes from the table, so that made-up paths do not make up time series.
      recordFailure(deps, 'trpc', operations.has(path) ? path : 'unknown', viworksError(error));
    },
  };
  await app.register(
    async (scope) => {
      // What is refused before tRPC sees it, for example a body too large, still has tRPC's form.
      scope.setErrorHandler((thrown, _request, reply) => {
        const { error, status } = refusalOf(thrown);
        recordFailure(deps, 'trpc', 'unknown', error);
        const seconds = retryAfterSeconds(error);
        if (seconds !== undefined) reply.header('retry-after', seconds);
        reply.code(status).send({ error: errorShape(error) });
      });
      // What no procedure answers for counts for its address, as nobody looks at its token.
      scope.addHook('onRequest', async (request) => {
        const [path = ''] = request.url.slice('/trpc/'.length).split('?', 1);
        const strays = path.split(/,|%2c/i, maximumBatch).filter((name) => !operations.has(name)).length;
        if (strays > 0) await deps.limits.countAddress(requestAddress(request, deps.proxies), strays);
      });
      await scope.register(fastifyTRPCPlugin, { trpcOptions });
    },
    { prefix: '/trpc' },
  );
}
