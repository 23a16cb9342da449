import { Code, ConnectError, createClient as createRpcClient } from '@connectrpc/connect';
import { expect, test } from 'vitest';
import { RetryInfoSchema } from '#gen/google/rpc/error_details_pb.js';
import { ServerReflection } from '#gen/grpc/reflection/v1/reflection_pb.js';
import { ControlService } from '#gen/viworks/control/v1/control_service_pb.js';
import { createCallLimits } from '../../src/api/limits.ts';
import { createMemoryRates } from '../../src/bus/rates.ts';
import { createClient as createCliClient } from '../../src/cli/client.ts';
import { ViworksError } from '../../src/errors.ts';
import { startApi, type TestApi } from '../support/api-server.ts';

/** How much one client may ask, and what it is told, on every surface of the API. */

const bearer = (token: string) => ({ headers: { authorization: `Bearer ${token}` } });
const list = (api: TestApi, token: string, calls = 1) =>
  fetch(
    `${api.url1}/trpc/${new Array(calls).fill('agents.list').join()}${calls > 1 ? '?batch=1' : ''}`,
    bearer(token),
  );

test('a client is told how much is left, and when it was too much when to come again', async () => {
  await using api = await startApi({ limits: { callsPerWindow: 3 } });
  const token = await api.tokenFor('viewer');
  const answers = [];
  for (let n = 0; n < 4; n++) answers.push(await list(api, token));
  expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 429]);
  expect(answers.map(({ headers }) => headers.get('ratelimit-policy'))).toEqual(
    new Array(4).fill('"default";q=3;w=60'),
  );
  const left = answers.map(({ headers }) => headers.get('ratelimit')?.replace(/t=(59|60)$/, 't=N'));
  expect(left).toEqual([2, 1, 0, 0].map((remaining) => `"default";r=${remaining};t=N`));
  const refused = answers[3];
  expect(Number(refused?.headers.get('retry-after'))).toBeGreaterThan(58);
  expect(await refused?.json()).toMatchObject({
    error: { data: { code: 'rate_limited', retryable: true, retryAfterMs: expect.any(Number) } },
  });
  // Another client is not held back by this one.
  expect((await list(api, await api.tokenFor('viewer'))).status).toBe(200);
});

test('a batch counts as so many calls', async () => {
  await using api = await startApi({ limits: { callsPerWindow: 3 } });
  const answer = await list(api, await api.tokenFor('viewer'), 5);
  expect(answer.status).toBe(207);
  const parts = (await answer.json()) as { error?: { data: { code: string } } }[];
  expect(parts.map(({ error }) => error?.data.code)).toEqual([
    undefined,
    undefined,
    undefined,
    'rate_limited',
    'rate_limited',
  ]);
  expect(answer.headers.get('retry-after')).toMatch(/^(59|60)$/);
});

test('a token has one count on all surfaces, and gRPC tells it too', async () => {
  await using api = await startApi({ limits: { callsPerWindow: 2 } });
  const control = await api.control('grpc', 'viewer');
  let seen: Headers | undefined;
  await control.listAgents(
    {},
    {
      onHeader(headers) {
        seen = headers;
      },
    },
  );
  expect(seen?.get('ratelimit-policy')).toBe('"default";q=2;w=60');
  expect(seen?.get('ratelimit')).toMatch(/^"default";r=1;t=(59|60)$/);
  await control.listAgents({});
  const error = ConnectError.from(await control.listAgents({}).catch((thrown: unknown) => thrown));
  expect(error.code).toBe(Code.ResourceExhausted);
  const [retry] = error.findDetails(RetryInfoSchema);
  expect(Number(retry?.retryDelay?.seconds)).toBeGreaterThan(57);
});

test('calls of one token over tRPC and gRPC add up', async () => {
  await using api = await startApi({ limits: { callsPerWindow: 2 } });
  const token = await api.tokenFor('viewer');
  const control = api.transport('connect', { authorization: `Bearer ${token}` });
  const client = createRpcClient(ControlService, control);
  await client.listAgents({});
  expect((await list(api, token)).status).toBe(200);
  expect((await list(api, token)).status).toBe(429);
  await expect(client.listAgents({})).rejects.toMatchObject({ code: Code.ResourceExhausted });
});

test('a service token has a limit of its own, or none', async () => {
  await using api = await startApi({ limits: { callsPerWindow: 2 } });
  const make = async (name: string, rateLimit: number) =>
    (await api.serviceTokens.create('admin', { name, role: 'viewer', rateLimit })).token;
  const [five, any] = [await make('five', 5), await make('any', 0)];
  const statuses = async (token: string) => {
    const answers = await Promise.all(Array.from({ length: 8 }, () => list(api, token)));
    return answers.filter(({ status }) => status === 200).length;
  };
  expect(await statuses(five)).toBe(5);
  expect(await statuses(any)).toBe(8);
});

test('an address from which wrong tokens come is not asked any more, but whoever was right there is', async () => {
  await using api = await startApi({ limits: { failuresPerWindow: 3 } });
  const [known, late] = [await api.tokenFor('viewer'), await api.tokenFor('viewer')];
  expect((await list(api, known)).status).toBe(200);
  const codes = [];
  for (let n = 0; n < 5; n++) codes.push((await list(api, `wrong${n}`)).status);
  expect(codes).toEqual([401, 401, 401, 429, 429]);
  expect((await list(api, known)).status).toBe(200);
  // A guess that is right finds out nothing either.
  const refused = await list(api, late);
  expect(refused.status).toBe(429);
  expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
  const control = await api.control('grpc', 'admin');
  await expect(control.listAgents({})).rejects.toMatchObject({ code: Code.ResourceExhausted });
});

test('wrong tokens that come at once are no more tries than those that come one by one', async () => {
  await using api = await startApi({ limits: { failuresPerWindow: 3 } });
  const answers = await Promise.all(Array.from({ length: 40 }, (_, n) => list(api, `wrong${n}`)));
  const statuses = answers.map(({ status }) => status);
  expect(statuses.filter((status) => status === 401)).toHaveLength(3);
  expect(statuses.filter((status) => status === 429)).toHaveLength(37);
});

test('right tokens that come at once all count, also from one address', async () => {
  await using api = await startApi({ limits: { failuresPerWindow: 3 } });
  const tokens = await Promise.all(Array.from({ length: 40 }, () => api.tokenFor('viewer')));
  const answers = await Promise.all(tokens.map((token) => list(api, token)));
  expect(answers.map(({ status }) => status)).toEqual(new Array(40).fill(200));
});

test('probes and figures are not counted; what is not there and reflection are, by the address', async () => {
  await using api = await startApi({ limits: { callsPerWindow: 2 } });
  for (const path of ['/livez', '/readyz', '/health', '/metrics', '/.well-known/jwks.json']) {
    for (let n = 0; n < 4; n++) expect((await fetch(api.url1 + path)).status).toBe(200);
  }
  expect((await fetch(`${api.url1}/nowhere`)).status).toBe(404);
  expect((await fetch(`${api.url1}/trpc/no.such`)).status).toBe(404);
  const nowhere = await fetch(`${api.url1}/nowhere`);
  expect(nowhere.status).toBe(429);
  expect(await nowhere.json()).toMatchObject({ code: 'rate_limited', status: 429 });
  expect((await fetch(`${api.url1}/trpc/no.such`)).status).toBe(429);
  const reflection = createRpcClient(ServerReflection, api.transport('grpc'));
  const answers = reflection.serverReflectionInfo(
    (async function* () {
      yield { messageRequest: { case: 'listServices' as const, value: '' } };
    })(),
  );
  await expect(answers[Symbol.asyncIterator]().next()).rejects.toMatchObject({
    code: Code.ResourceExhausted,
  });
});

test('a stream is one call, and so many may be open at once', async () => {
  await using api = await startApi({ limits: { callsPerWindow: 100, streams: 2 } });
  const control = await api.control('connect', 'operator');
  const client = await api.trpc('operator');
  const { command } = await client.commands.submit.mutate({
    verb: 'exec',
    args: { argv: ['true'] },
    target: { all: true },
  });
  const { commandId } = command;
  const gone = [new AbortController(), new AbortController()];
  const watches = gone.map(({ signal }) =>
    control.watchCommand({ commandId }, { signal })[Symbol.asyncIterator](),
  );
  for (const watch of watches) await watch.next();
  const third = () => control.watchCommand({ commandId })[Symbol.asyncIterator]().next();
  await expect(third()).rejects.toMatchObject({ code: Code.ResourceExhausted });
  gone[0]?.abort();
  await expect
    .poll(() =>
      third().then(
        (answer) => answer.done,
        () => 'refused',
      ),
    )
    .toBe(false);
});

test('enrolment is guessed at no longer than other tokens are', async () => {
  const rates = () => createMemoryRates({ windowSeconds: 60 });
  const limits = createCallLimits({
    calls: rates(),
    failures: rates(),
    settings: { callsPerWindow: 0, windowSeconds: 60, failuresPerWindow: 2, streams: 0, local: false },
  });
  const refused = async () => {
    throw new ViworksError('enrollment_refused', 'no such token');
  };
  const attempt = (address: string, work: () => Promise<unknown>) =>
    limits.attempt(address, work).catch((thrown: unknown) => ViworksError.from(thrown).code);
  const guess = (address: string) => attempt(address, refused);
  expect(await guess('192.0.2.1')).toBe('enrollment_refused');
  // What cannot be checked is nobody's guess.
  const away = new ViworksError('database_unavailable', 'away');
  expect(await attempt('192.0.2.1', () => Promise.reject(away))).toBe('database_unavailable');
  expect(await guess('192.0.2.1')).toBe('enrollment_refused');
  expect(await guess('192.0.2.1')).toBe('rate_limited');
  expect(await attempt('192.0.2.1', async () => 'let in')).toBe('rate_limited');
  expect(await attempt('192.0.2.2', async () => 'let in')).toBe('let in');
  // One network of IPv6 is one client, and this machine is nobody's to limit here.
  expect(await guess('2001:db8::1')).toBe('enrollment_refused');
  expect(await guess('2001:db8::2')).toBe('enrollment_refused');
  expect(await guess('2001:db8::3')).toBe('rate_limited');
  expect(await guess('2001:db8:0:1::3')).toBe('enrollment_refused');
  for (let n = 0; n < 5; n++) expect(await guess('127.0.0.1')).toBe('enrollment_refused');
});

test('the command line waits as long as it is told, and then goes on', async () => {
  await using api = await startApi({ limits: { callsPerWindow: 2, windowSeconds: 1 } });
  const access = { url: api.url1, token: await api.tokenFor('viewer') };
  const waits: number[] = [];
  const patient = createCliClient(access, (ms) => waits.push(ms));
  for (let n = 0; n < 5; n++) expect((await patient.agents.list.query({})).agents).toHaveLength(2);
  expect(waits.length).toBeGreaterThan(0);
  for (const ms of waits) expect(ms).toBeLessThanOrEqual(1000);
  // Other errors are told at once.
  const strange = createCliClient({ ...access, token: 'wrong' }, (ms) => waits.push(ms));
  const told = waits.length;
  await expect(strange.agents.list.query({})).rejects.toMatchObject({ data: { code: 'unauthenticated' } });
  expect(waits).toHaveLength(told);
});
