import type { FastifyInstance } from 'fastify';

/**
 * Headers of every answer: what a browser must not do with it, and which origins may read it (the Fetch
 * standard's CORS). Credentials are never allowed: callers send a token, not a cookie, and so no origin can
 * use what a browser keeps.
 */

const preflightSeconds = '600';

/** @param tls the listener ends TLS itself; behind a proxy the last header is the proxy's to set */
export function registerHeaders(app: FastifyInstance, corsOrigins: readonly string[], tls: boolean): void {
  const allowed = new Set(corsOrigins);
  app.addHook('onRequest', async (request, reply) => {
    reply.headers({
      'x-content-type-options': 'nosniff',
      'x-frame-options': 'DENY',
      'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
      'referrer-policy': 'no-referrer',
      'cross-origin-resource-policy': 'same-origin',
      'cross-origin-opener-policy': 'same-origin',
      ...(tls ? { 'strict-transport-security': 'max-age=31536000' } : {}),
      'cache-control': 'no-store',
    });
    if (allowed.size === 0) return;
    reply.header('vary', 'origin');
    const { origin } = request.headers;
    if (origin === undefined || !(allowed.has(origin) || allowed.has('*'))) return;
    reply.headers({
      'access-control-allow-origin': allowed.has('*') ? '*' : origin,
      'access-control-expose-headers': 'retry-after, ratelimit, ratelimit-policy',
    });
    if (request.method !== 'OPTIONS' || request.headers['access-control-request-method'] === undefined)
      return;
    return reply
      .code(204)
      .headers({
        'access-control-allow-methods': 'GET, POST',
        'access-control-allow-headers': 'authorization, content-type, last-event-id, trpc-accept',
        'access-control-max-age': preflightSeconds,
      })
      .send();
  });
  // Answers of tRPC bring headers of their own, which replace those above.
  app.addHook('onSend', async (request, _reply, payload) => {
    if (!(payload instanceof Response)) return;
    const { headers } = payload;
    if (allowed.size > 0) headers.append('vary', 'origin');
    // Nothing may change an event stream on its way, for example compress and thereby hold it back.
    if (headers.has('cache-control')) headers.set('cache-control', 'no-store, no-transform');
    // HTTP/2 has no such header (RFC 9113, 8.2.2).
    if (request.raw.httpVersionMajor >= 2) headers.delete('connection');
  });
}
