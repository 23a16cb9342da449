import type { FastifyInstance } from 'fastify';
import { withinDeadline } from './call.ts';
import type { ApiDeps } from './deps.ts';

/** A probe that waits longer is of no use to whoever probes. */
const probeTimeoutMs = 5_000;

/**
 * What operators' tools read. These need no token: probes and collectors rarely have one, and the answers
 * name components and counts, never an agent, a person or a command.
 */
export function registerOperations(
  app: FastifyInstance,
  { health, issuerKeys, metrics }: Pick<ApiDeps, 'health' | 'issuerKeys' | 'metrics'>,
): void {
  const report = () => withinDeadline(health.report(), probeTimeoutMs);

  /** The process lives. */
  app.get('/livez', async () => ({ status: 'ok' }));

  /** All of it works. */
  app.get('/readyz', async (_request, reply) => {
    const { status, components } = await report();
    return status === 'ok' ? { status } : reply.code(503).send({ status, components });
  });

  app.get('/health', async () => report());

  /** What others verify our tokens with (RFC 7517). */
  app.get('/.well-known/jwks.json', async (_request, reply) => {
    const keys = await withinDeadline(issuerKeys.jwks(), probeTimeoutMs);
    reply.header('cache-control', 'public, max-age=30');
    return reply.type('application/jwk-set+json').send(JSON.stringify(keys));
  });

  app.get('/metrics', async (_request, reply) => {
    return reply.type(metrics.contentType).send(await metrics.render());
  });
}
