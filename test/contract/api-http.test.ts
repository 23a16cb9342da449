import { connect } from 'node:http2';
import { expect, test } from 'vitest';
import { startApi } from '../support/api-server.ts';

const tooLarge = JSON.stringify({
  verb: 'exec',
  args: { argv: ['x'.repeat(1024 * 1024)] },
  target: { all: true },
});

test('livez, readyz, health and metrics answer without a token', async () => {
  await using api = await startApi();
  const livez = await fetch(`${api.url1}/livez`);
  expect([livez.status, await livez.json()]).toEqual([200, { status: 'ok' }]);
  const readyz = await fetch(`${api.url1}/readyz`);
  expect([readyz.status, await readyz.json()]).toEqual([200, { status: 'ok' }]);
  const health = await fetch(`${api.url1}/health`);
  expect(await health.json()).toEqual(api.health.report);
  const metrics = await fetch(`${api.url1}/metrics`);
  expect(metrics.headers.get('content-type')).toMatch(/^text\/plain/);
  expect(await metrics.text()).toMatch(/# TYPE viworks_api_requests_total counter/);
});

test('readyz says 503 and which component is down, while the process lives on', async () => {
  await using api = await startApi();
  const components = [{ name: 'database', status: 'down' as const, detail: 'does not answer' }];
  api.health.report = { ...api.health.report, status: 'degraded', components };
  const readyz = await fetch(`${api.url1}/readyz`);
  expect([readyz.status, await readyz.json()]).toEqual([503, { status: 'degraded', components }]);
  expect((await fetch(`${api.url1}/livez`)).status).toBe(200);
});

test('an address that is not there is a problem document', async () => {
  await using api = await startApi();
  const response = await fetch(`${api.url1}/nowhere?token=x`);
  expect(response.headers.get('content-type')).toMatch(/^application\/problem\+json/);
  expect(response.status).toBe(404);
  expect(await response.json()).toEqual({
    type: 'urn:viworks:error:endpoint_unknown',
    title: 'endpoint unknown',
    status: 404,
    detail: 'There is no such address.',
    code: 'endpoint_unknown',
    retryable: false,
    fields: [],
  });
});

test('another method than those of the address is 405 and names them', async () => {
  await using api = await startApi();
  const response = await fetch(`${api.url1}/livez`, { method: 'DELETE' });
  expect(response.status).toBe(405);
  expect(response.headers.get('allow')).toBe('GET');
  expect(await response.json()).toMatchObject({ status: 405, code: 'endpoint_unknown' });
  const mutation = await fetch(`${api.url1}/trpc/commands.submit`, {
    headers: await api.authorization('admin'),
  });
  expect(mutation.status).toBe(405);
});

test('a body over 1 MiB is refused, in the form of the surface', async () => {
  await using api = await startApi();
  const headers = { ...(await api.authorization('admin')), 'content-type': 'application/json' };
  const response = await fetch(`${api.url1}/trpc/commands.submit`, {
    method: 'POST',
    headers,
    body: tooLarge,
  });
  expect(response.status).toBe(413);
  expect(await response.json()).toMatchObject({ error: { data: { code: 'message_too_large' } } });
  expect(api.commands.submitted).toEqual([]);
});

test.each(['grpc', 'connect'] as const)('a message over 1 MiB is refused over %s', async (protocol) => {
  await using api = await startApi();
  const client = await api.control(protocol);
  const spec = { verb: 'exec', args: { argv: ['x'.repeat(1024 * 1024)] } };
  await expect(client.submitCommand({ spec })).rejects.toThrow(/resource_exhausted/);
  expect(api.commands.submitted).toEqual([]);
});

test('an unknown procedure, a broken body and too many calls in one request are refused', async () => {
  await using api = await startApi();
  const headers = { ...(await api.authorization('admin')), 'content-type': 'application/json' };
  const unknown = await fetch(`${api.url1}/trpc/agents.destroy`, { headers });
  expect(unknown.status).toBe(404);
  expect(await unknown.json()).toMatchObject({ error: { data: { code: 'endpoint_unknown' } } });
  const broken = await fetch(`${api.url1}/trpc/commands.submit`, { method: 'POST', headers, body: '{' });
  expect(broken.status).toBe(400);
  expect(await broken.json()).toMatchObject({
    error: { message: 'The request is not well formed.', data: { code: 'invalid_request' } },
  });
  const paths = Array.from({ length: 33 }, () => 'verbs.list').join(',');
  const batch = await fetch(`${api.url1}/trpc/${paths}?batch=1&input={}`, { headers });
  expect(batch.status).toBe(400);
  expect(await batch.text()).toContain('32');
  const text = await api.metrics.render();
  expect(text).toContain('surface="trpc",operation="unknown",code="endpoint_unknown"');
  expect(text).not.toContain('agents.destroy');
});

test('a field that is not known is named', async () => {
  await using api = await startApi();
  const headers = { ...(await api.authorization('admin')), 'content-type': 'application/json' };
  const body = JSON.stringify({ verb: 'exec', target: { all: true }, timeout: 5 });
  const response = await fetch(`${api.url1}/trpc/commands.submit`, { method: 'POST', headers, body });
  expect(await response.json()).toMatchObject({
    error: { data: { fields: [{ field: 'timeout', problem: 'is not a known field' }] } },
  });
});

test('a refusal with a time to wait says it in the header too', async () => {
  await using api = await startApi();
  const { ViworksError } = await import('../../src/errors.ts');
  api.commands.failNext(new ViworksError('queue_full', 'The queue is full.', { retryAfterMs: 1500 }));
  const response = await fetch(`${api.url1}/trpc/commands.list`, {
    headers: await api.authorization('viewer'),
  });
  expect(response.status).toBe(429);
  expect(response.headers.get('retry-after')).toBe('2');
});

test('every answer carries the headers that keep browsers from misusing it', async () => {
  await using api = await startApi();
  for (const path of ['/livez', '/nowhere', '/trpc/verbs.list']) {
    const { headers } = await fetch(api.url1 + path);
    expect(headers.get('x-content-type-options')).toBe('nosniff');
    expect(headers.get('x-frame-options')).toBe('DENY');
    expect(headers.get('cache-control')).toBe('no-store');
    expect(headers.get('content-security-policy')).toBe("default-src 'none'; frame-ancestors 'none'");
    expect(headers.get('referrer-policy')).toBe('no-referrer');
    expect(headers.get('cross-origin-resource-policy')).toBe('same-origin');
    expect(headers.get('cross-origin-opener-policy')).toBe('same-origin');
    expect(headers.get('strict-transport-security')).toBeNull();
    expect(headers.get('access-control-allow-origin')).toBeNull();
  }
  await using secure = await startApi({ tls: true });
  const { headers } = await fetch(`${secure.url1}/livez`);
  expect(headers.get('strict-transport-security')).toBe('max-age=31536000');
});

test('a page of a configured origin can read how much is left', async () => {
  await using api = await startApi({ corsOrigins: ['https://ops.example'], limits: { callsPerWindow: 1 } });
  const headers = { ...(await api.authorization('viewer')), origin: 'https://ops.example' };
  const answers = [];
  for (let n = 0; n < 2; n++) answers.push(await fetch(`${api.url1}/trpc/agents.list`, { headers }));
  expect(answers.map(({ status }) => status)).toEqual([200, 429]);
  for (const answer of answers) {
    expect(answer.headers.get('access-control-allow-origin')).toBe('https://ops.example');
    expect(answer.headers.get('access-control-expose-headers')).toBe(
      'retry-after, ratelimit, ratelimit-policy',
    );
    expect(answer.headers.get('ratelimit')).toMatch(/^"default";r=0;t=\d+$/);
  }
});

test('only configured origins may read, and none with credentials', async () => {
  await using api = await startApi({ corsOrigins: ['https://ops.example'] });
  const preflight = (origin: string) =>
    fetch(`${api.url1}/trpc/verbs.list`, {
      method: 'OPTIONS',
      headers: { origin, 'access-control-request-method': 'POST' },
    });
  const allowed = await preflight('https://ops.example');
  expect(allowed.status).toBe(204);
  expect(allowed.headers.get('access-control-allow-origin')).toBe('https://ops.example');
  expect(allowed.headers.get('access-control-allow-credentials')).toBeNull();
  expect(allowed.headers.get('vary')).toContain('origin');
  const query = await fetch(`${api.url1}/trpc/verbs.list`, {
    headers: { origin: 'https://ops.example' },
  });
  expect(query.headers.get('vary')).toContain('origin');
  expect(query.headers.get('access-control-allow-origin')).toBe('https://ops.example');
  const other = await preflight('https://evil.example');
  expect(other.headers.get('access-control-allow-origin')).toBeNull();
});

test('with every origin allowed, still none with credentials', async () => {
  await using api = await startApi({ corsOrigins: ['*'] });
  const { headers } = await fetch(`${api.url1}/livez`, { headers: { origin: 'https://anybody.example' } });
  expect(headers.get('access-control-allow-origin')).toBe('*');
  expect(headers.get('access-control-allow-credentials')).toBeNull();
});

test('the same routes answer over HTTP/2', async () => {
  await using api = await startApi();
  const session = connect(api.url2);
  const get = async (path: string, headers: Record<string, string> = {}) => {
    const stream = session.request({ ':path': path, ...headers });
    const status = new Promise<number | undefined>((resolve) => {
      stream.once('response', (answer) => resolve(answer[':status']));
    });
    stream.setEncoding('utf8');
    let body = '';
    for await (const piece of stream) body += piece;
    return { status: await status, body: JSON.parse(body) };
  };
  expect(await get('/readyz')).toEqual({ status: 200, body: { status: 'ok' } });
  expect(await get('/nowhere')).toMatchObject({ status: 404, body: { code: 'endpoint_unknown' } });
  const agents = await get('/trpc/agents.list', await api.authorization('viewer'));
  expect(agents.body.result.data.agents).toHaveLength(2);
  session.destroy();
});
