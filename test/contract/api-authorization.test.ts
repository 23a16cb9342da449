import type { DescMethod } from '@bufbuild/protobuf';
import { type Client, createClient } from '@connectrpc/connect';
import type { AnyTRPCProcedure, AnyTRPCRouter } from '@trpc/server';
import { SignJWT } from 'jose';
import { describe, expect, test } from 'vitest';
import { ControlService } from '#gen/viworks/control/v1/control_service_pb.js';
import { authorize, controlOperations, limitedOperations, operations } from '../../src/api/authorize.ts';
import { createAppRouter } from '../../src/api/trpc/router.ts';
import { type Role, roles } from '../../src/identity/types.ts';
import { testSecret } from '../support/api-identity.ts';
import { startApi, type TestApi } from '../support/api-server.ts';
import { errorOf } from '../support/api-surfaces.ts';

/** Written out here once more, so that a change of the table is a decision and not a slip. */
const expected: Record<string, Role> = {
  'agents.list': 'viewer',
  'agents.get': 'viewer',
  'agents.setStatus': 'admin',
  'agents.revoke': 'admin',
  'agents.release': 'admin',
  'agents.rotateKey': 'admin',
  'agents.remove': 'admin',
  'enrollment.createToken': 'admin',
  'enrollment.listTokens': 'admin',
  'enrollment.getToken': 'admin',
  'enrollment.revokeToken': 'admin',
  'enrollment.listRequests': 'viewer',
  'enrollment.approve': 'admin',
  'enrollment.reject': 'admin',
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
  'alerts.list': 'viewer',
  'alerts.get': 'viewer',
  'alerts.acknowledge': 'operator',
  'alerts.silence': 'operator',
  'alerts.listSilences': 'viewer',
  'alerts.endSilence': 'operator',
  'alerts.listRules': 'viewer',
  'alerts.getRule': 'viewer',
  'alerts.saveRule': 'operator',
  'alerts.deleteRule': 'operator',
  'alerts.listWebhooks': 'admin',
  'alerts.addWebhook': 'admin',
  'alerts.removeWebhook': 'admin',
  'alerts.testWebhook': 'admin',
  'alerts.listDeadLetters': 'admin',
  'alerts.retryDeadLetters': 'admin',
  'telemetry.latest': 'viewer',
  'telemetry.samples': 'viewer',
  'telemetry.series': 'viewer',
  'telemetry.aggregate': 'viewer',
  'telemetry.sites': 'viewer',
  'health.report': 'viewer',
  'health.trends': 'viewer',
  'audit.list': 'admin',
  'audit.verify': 'admin',
  'audit.export': 'admin',
  'audit.head': 'viewer',
  'keys.list': 'viewer',
  'keys.rotate': 'admin',
  'keys.revoke': 'admin',
  'certs.status': 'viewer',
  'certs.pins': 'viewer',
  'certs.list': 'viewer',
  'certs.prepareAuthority': 'admin',
  'certs.dropAuthority': 'admin',
  'certs.activateAuthority': 'admin',
  'certs.retireAuthority': 'admin',
  'certs.rotatePins': 'admin',
  'certs.issue': 'admin',
  'certs.revoke': 'admin',
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

/** What somebody whose token is limited to sites or verbs may do; all else is refused, whatever the role. */
const unlimitedOnly = new Set([
  'alerts.silence',
  'alerts.listSilences',
  'alerts.endSilence',
  'alerts.listRules',
  'alerts.getRule',
  'alerts.saveRule',
  'alerts.deleteRule',
  'alerts.listWebhooks',
  'alerts.addWebhook',
  'alerts.removeWebhook',
  'alerts.testWebhook',
  'alerts.listDeadLetters',
  'alerts.retryDeadLetters',
  'audit.list',
  'audit.verify',
  'audit.export',
  'audit.head',
  'agents.revoke',
  'agents.release',
  'agents.rotateKey',
  'agents.remove',
  'enrollment.listTokens',
  'enrollment.getToken',
  'enrollment.revokeToken',
  'enrollment.listRequests',
  'enrollment.approve',
  'enrollment.reject',
  'certs.status',
  'certs.list',
  'certs.prepareAuthority',
  'certs.dropAuthority',
  'certs.activateAuthority',
  'certs.retireAuthority',
  'certs.rotatePins',
  'certs.issue',
  'certs.revoke',
  'keys.list',
  'keys.rotate',
  'keys.revoke',
  'templates.save',
  'templates.delete',
  'tokens.createApi',
  'tokens.create',
  'tokens.list',
  'tokens.revoke',
  'issuer.listKeys',
  'issuer.rotateKey',
  'issuer.revokeKey',
]);

const strangers = [
  'nobody',
  'a bad token',
  'an expired token',
  'a token for another audience',
  'a revoked token',
  'a revoked service token',
] as const;
const limited = { 'an admin of a site': { sites: ['nowhere'] }, 'an admin of verbs': { verbs: ['none.*'] } };
const limitedCallers = ['an admin of a site', 'an admin of verbs'] as const;
const callers = [...strangers, ...roles, 'a service token of an operator', ...limitedCallers] as const;
type Caller = (typeof callers)[number];

const isStranger = (caller: Caller) => strangers.some((each) => each === caller);
const isLimited = (caller: Caller): caller is keyof typeof limited => Object.hasOwn(limited, caller);
const roleOf = (caller: Caller): Role =>
  isLimited(caller) ? 'admin' : (roles.find((role) => role === caller) ?? 'operator');

function verdict(caller: Caller, operation: string): string {
  if (isStranger(caller)) return 'unauthenticated';
  const least = expected[operation];
  const may = least !== undefined && roles.indexOf(roleOf(caller)) >= roles.indexOf(least);
  if (isLimited(caller) && unlimitedOnly.has(operation)) return 'scope_exceeded';
  return may ? 'allowed' : 'permission_denied';
}

async function headersOf(api: TestApi, caller: Caller): Promise<Record<string, string>> {
  if (caller === 'nobody') return {};
  return { authorization: `Bearer ${await tokenOf(api, caller)}` };
}

async function tokenOf(api: TestApi, caller: Caller): Promise<string> {
  const { userTokens, serviceTokens } = api;
  const admin = { subject: 'ada', role: 'admin' } as const;
  switch (caller) {
    case 'a bad token':
      return `${await api.tokenFor('admin')}x`;
    case 'an expired token':
      return userTokens.issue({ ...admin, lifetimeMs: -1000 });
    case 'a token for another audience': {
      const now = Math.floor(Date.now() / 1000);
      return new SignJWT({ ...admin, sub: 'ada', jti: 'x', iat: now, exp: now + 60 })
        .setProtectedHeader({ alg: 'HS256', typ: 'at+jwt' })
        .setIssuer('viworks')
        .setAudience('viworks-agents')
        .sign(testSecret);
    }
    case 'a revoked token': {
      const token = await api.tokenFor('admin');
      await serviceTokens.revoke('ada', (await userTokens.verify(token)).tokenId ?? '');
      return token;
    }
    case 'a revoked service token': {
      const { token, details } = await serviceTokens.create('ada', { name: 'shop', role: 'admin' });
      await serviceTokens.revoke('ada', details.tokenId);
      return token;
    }
    case 'a service token of an operator':
      return (await serviceTokens.create('ada', { name: 'shop', role: 'operator' })).token;
    default:
      return api.tokenFor(roleOf(caller), isLimited(caller) ? limited[caller] : undefined);
  }
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

test('whatever is not said to know limits is refused to whoever has any', () => {
  const all = [...operations.keys()];
  expect(all.filter((operation) => !limitedOperations.has(operation)).sort()).toEqual(
    [...unlimitedOnly].sort(),
  );
});

test('the routes of plain HTTP are those that need no token', async () => {
  await using api = await startApi();
  const open = ['/livez', '/readyz', '/health', '/metrics', '/.well-known/jwks.json'];
  for (const path of open) expect((await fetch(api.url1 + path)).status).toBe(200);
  expect(api.routes().toSorted()).toEqual([...open, '/trpc/:path'].toSorted());
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
      if (type !== 'subscription' && ['permission_denied', 'scope_exceeded'].includes(seen))
        expect(response.status).toBe(403);
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
