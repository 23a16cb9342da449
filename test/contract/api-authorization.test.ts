import type { DescMethod } from '@bufbuild/protobuf';
import { type Client, createClient } from '@connectrpc/connect';
import type { AnyTRPCProcedure, AnyTRPCRouter } from '@trpc/server';
import { describe, expect, test } from 'vitest';
import { ControlService } from '#gen/viworks/control/v1/control_service_pb.js';
import { authorize, controlOperations, operations } from '../../src/api/authorize.ts';
import { createAppRouter } from '../../src/api/trpc/router.ts';
import { type Role, roles } from '../../src/identity/types.ts';
import { startApi, type TestApi } from '../support/api-server.ts';
import { errorOf } from '../support/api-surfaces.ts';

/** Written out here once more, so that a change of the table is a decision and not a slip. */
const expected: Record<string, Role> = {
  'agents.list': 'viewer',
  'agents.get': 'viewer',
  'agents.setStatus': 'admin',
  'commands.submit': 'operator',
  'commands.get': 'viewer',
  'commands.list': 'viewer',
  'commands.plan': 'viewer',
  'commands.cancel': 'operator',
  'commands.watch': 'viewer',
  'commands.output': 'viewer',
  'commands.approve': 'operator',
  'commands.reject': 'operator',
  'commands.retry': 'operator',
  'commands.statistics': 'viewer',
  'verbs.list': 'viewer',
  'verbs.get': 'viewer',
  'rollouts.get': 'viewer',
  'rollouts.list': 'viewer',
  'rollouts.pause': 'operator',
  'rollouts.resume': 'operator',
  'rollouts.abort': 'operator',
  'templates.list': 'viewer',
  'templates.get': 'viewer',
  'templates.save': 'operator',
  'templates.delete': 'operator',
  'templates.render': 'viewer',
  'templates.run': 'operator',
  'schedules.list': 'viewer',
  'schedules.get': 'viewer',
  'schedules.create': 'operator',
  'schedules.update': 'operator',
  'schedules.delete': 'operator',
  'schedules.pause': 'operator',
  'schedules.resume': 'operator',
  'schedules.run': 'operator',
  'schedules.next': 'viewer',
  'system.health': 'viewer',
  'tokens.createEnrollment': 'admin',
  'tokens.createApi': 'admin',
  'tokens.create': 'admin',
  'tokens.list': 'admin',
  'tokens.revoke': 'admin',
  'issuer.listKeys': 'admin',
  'issuer.rotateKey': 'admin',
  'issuer.revokeKey': 'admin',
};

const callers = ['nobody', 'a bad token', ...roles] as const;
type Caller = (typeof callers)[number];

function verdict(caller: Caller, operation: string): 'unauthenticated' | 'permission_denied' | 'allowed' {
  if (caller === 'nobody' || caller === 'a bad token') return 'unauthenticated';
  const least = expected[operation];
  const may = least !== undefined && roles.indexOf(caller) >= roles.indexOf(least);
  return may ? 'allowed' : 'permission_denied';
}

async function headersOf(api: TestApi, caller: Caller): Promise<Record<string, string>> {
  if (caller === 'nobody') return {};
  if (caller === 'a bad token') return { authorization: `Bearer ${await api.tokenFor('admin')}x` };
  return api.authorization(caller);
}

/** The procedures of the real router, by path. */
function procedures(): Map<string, string> {
  const router: AnyTRPCRouter = createAppRouter({} as Parameters<typeof createAppRouter>[0]);
  const all: Record<string, AnyTRPCProcedure> = router._def.procedures;
  return new Map(Object.entries(all).map(([path, { _def }]) => [path, _def.type]));
}

test('the table names exactly the procedures there are, each with its role', () => {
  expect([...procedures().keys()].sort()).toEqual([...operations.keys()].sort());
  expect(Object.fromEntries(operations)).toEqual(expected);
  expect([...controlOperations.keys()].sort()).toEqual(
    ControlService.methods.map((method) => method.localName).sort(),
  );
});

test('what is not in the table is denied to everybody', () => {
  for (const operation of ['agents.destroy', 'toString', '__proto__', '']) {
    expect(() => authorize({ subject: 'ada', role: 'admin' }, operation)).toThrow(/Nobody may do this/);
  }
});

describe.each(callers)('for %s', (caller) => {
  test('every tRPC procedure', async () => {
    await using api = await startApi();
    const headers = { ...(await headersOf(api, caller)), 'content-type': 'application/json' };
    for (const [path, type] of procedures()) {
      // No procedure that changes something accepts this input, so that nothing but the verdict is tested.
      const input = JSON.stringify({ unknownField: 1 });
      const url = `${api.url1}/trpc/${path}`;
      const response =
        type === 'mutation'
          ? await fetch(url, { method: 'POST', headers, body: input })
          : await fetch(`${url}?input=${encodeURIComponent(input)}`, { headers });
      const text = await response.text();
      const code = /"code":"([a-z_]+)"/.exec(text)?.[1] ?? 'allowed';
      const seen = code === 'invalid_request' ? 'allowed' : code;
      expect({ path, seen }).toEqual({ path, seen: verdict(caller, path) });
      if (type !== 'subscription' && seen === 'unauthenticated') expect(response.status).toBe(401);
      if (type !== 'subscription' && seen === 'permission_denied') expect(response.status).toBe(403);
    }
  });

  test.each(['grpc', 'connect'] as const)('every method over %s', async (protocol) => {
    await using api = await startApi();
    const client = createClient(ControlService, api.transport(protocol, await headersOf(api, caller)));
    for (const method of ControlService.methods) {
      const { code } = await errorOf(callEmpty(client, method)).catch(() => ({ code: 'allowed' }));
      const seen = code === 'invalid_request' ? 'allowed' : code;
      const operation = controlOperations.get(method.localName) ?? '';
      expect({ operation, seen }).toEqual({ operation, seen: verdict(caller, operation) });
    }
  });
});

/** Calls any method with the empty request, and reads a stream to its end. */
async function callEmpty(client: Client<typeof ControlService>, method: DescMethod): Promise<void> {
  if (method.methodKind === 'server_streaming') {
    for await (const _event of client.watchCommand({}));
    return;
  }
  const calls: Record<string, unknown> = client;
  const call = calls[method.localName] as (request: object) => Promise<unknown>;
  await call({});
}

test.each([
  ['another scheme', (token: string) => `Basic ${token}`],
  ['no scheme', (token: string) => token],
  ['two tokens', (token: string) => `Bearer ${token} ${token}`],
  ['an empty token', () => 'Bearer '],
])('%s in the header is no token', async (_what, header) => {
  await using api = await startApi();
  const authorization = header(await api.tokenFor('admin'));
  const response = await fetch(`${api.url1}/trpc/verbs.list`, { headers: { authorization } });
  expect(response.status).toBe(401);
});

test('a token in the address is not taken', async () => {
  await using api = await startApi();
  const params = encodeURIComponent(
    JSON.stringify({ authorization: `Bearer ${await api.tokenFor('admin')}` }),
  );
  const response = await fetch(`${api.url1}/trpc/verbs.list?connectionParams=${params}`);
  expect(response.status).toBe(401);
});

test('a token that the API issued is good for its role, and only as long as asked', async () => {
  await using api = await startApi();
  const admin = await api.trpc('admin');
  const before = Date.now();
  const { token, expiresAt } = await admin.tokens.createApi.mutate({
    subject: 'shop',
    role: 'viewer',
    lifetimeMs: 60_000,
  });
  expect(Math.abs(Date.parse(expiresAt) - before - 60_000)).toBeLessThan(10_000);
  const headers = { authorization: `Bearer ${token}` };
  const read = await fetch(`${api.url1}/trpc/verbs.list`, { headers });
  expect(read.status).toBe(200);
  const create = await fetch(`${api.url1}/trpc/tokens.createApi`, {
    method: 'POST',
    headers: { ...headers, 'content-type': 'application/json' },
    body: JSON.stringify({ subject: 'x', role: 'admin' }),
  });
  expect(create.status).toBe(403);
});
