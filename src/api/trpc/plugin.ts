import { type FastifyTRPCPluginOptions, fastifyTRPCPlugin } from '@trpc/server/adapters/fastify';
import type { FastifyInstance } from 'fastify';
import type { Actor } from '../../identity/types.ts';
import { type AddressList, clientAddress } from '../../lib/addresses.ts';
import { auditOf } from '../audited.ts';
import { operations, tokenIn } from '../authorize.ts';
import { countSuccess, recordFailure } from '../call.ts';
import { coreFor } from '../core.ts';
import type { ApiDeps } from '../deps.ts';
import { retryAfterSeconds } from '../errors.ts';
import { refusalOf } from '../http-errors.ts';
import { watchStanding } from '../standing.ts';
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
      // One check for all the calls of a batch, made by the first that needs it.
      let actor: Promise<Actor> | undefined;
      return {
        stopping,
        authenticate: () => {
          actor ??= deps.userTokens.verify(tokenIn(req.headers.authorization));
          return actor;
        },
        coreFor: (caller) => coreFor(deps, caller),
        watchStanding: () => watchStanding(deps.userTokens, tokenIn(req.headers.authorization)),
        countSuccess: (operation) => countSuccess(deps, 'trpc', operation),
        audit: auditOf(deps.trail, {
          address: clientAddress(
            req.socket.remoteAddress ?? '',
            req.headers['x-forwarded-for'],
            deps.proxies,
          ),
          header: (name) => [req.headers[name]].flat()[0],
        }),
      };
    },
    responseMeta: ({ errors }) => {
      const seconds = errors.map((error) => retryAfterSeconds(viworksError(error))).find(Boolean);
      return seconds === undefined ? {} : { headers: new Headers({ 'retry-after': seconds }) };
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
        reply.code(status).send({ error: errorShape(error) });
      });
      await scope.register(fastifyTRPCPlugin, { trpcOptions });
    },
    { prefix: '/trpc' },
  );
}
