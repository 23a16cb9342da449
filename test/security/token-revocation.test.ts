import { decodeJwt, decodeProtectedHeader } from 'jose';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type ApiApp, startApiApp } from '../support/api-app.ts';

/** Threat: a token that was stolen, or whose owner left, goes on to work. */

let app: ApiApp;
beforeAll(async () => {
  app = await startApiApp();
  await app.addAgents('bern', 'bern-1');
});
afterAll(() => app.stop());

const gone = { data: { code: 'unauthenticated' } };

test('a service token works until it is revoked, is listed, and tells when it was used', async () => {
  const admin = await app.client();
  const { token, details } = await admin.tokens.create.mutate({ name: 'shop', role: 'operator' });
  const { tokenId } = details;
  expect(details).toMatchObject({ name: 'shop', role: 'operator', createdBy: 'the admin' });
  const shop = app.withToken(token);
  await shop.agents.list.query({});
  const find = async () =>
    (await admin.tokens.list.query({ withRevoked: true })).tokens.find((each) => each.tokenId === tokenId);
  let used = await find();
  while (used?.lastUsedAt === undefined) used = await find();
  expect(Math.abs(Date.parse(used.lastUsedAt) - Date.now())).toBeLessThan(60_000);

  const { revoked } = await admin.tokens.revoke.mutate({ tokenId });
  expect(revoked).toMatchObject({ tokenId, revokedBy: 'the admin' });
  await expect(shop.agents.list.query({})).rejects.toMatchObject(gone);
  expect((await admin.tokens.list.query({})).tokens.map((each) => each.tokenId)).not.toContain(tokenId);
  expect((await find())?.revokedAt).toBeDefined();
  expect((await admin.tokens.revoke.mutate({ tokenId })).revoked?.revokedAt).toBe(revoked?.revokedAt);
});

test('a service token ends when it said it would', async () => {
  const admin = await app.client();
  const { token, details } = await admin.tokens.create.mutate({ name: 'brief', role: 'viewer' });
  const values = [details.tokenId, new Date(Date.now() - 1000)];
  await app.query('test_expire', 'update service_tokens set expires_at = $2 where token_id = $1', values);
  await expect(app.withToken(token).agents.list.query({})).rejects.toMatchObject(gone);
});

test('a signed token is revoked by its jti, and no other with it', async () => {
  const admin = await app.client();
  const [stolen, other] = [await app.tokenFor('operator'), await app.tokenFor('operator')];
  await app.withToken(stolen).agents.list.query({});
  const { jti = '' } = decodeJwt(stolen);
  expect((await admin.tokens.revoke.mutate({ tokenId: jti })).revoked).toBeUndefined();
  await expect(app.withToken(stolen).agents.list.query({})).rejects.toMatchObject(gone);
  await app.withToken(other).agents.list.query({});
});

test('a revocation that another instance wrote down is seen within seconds', async () => {
  const token = await app.tokenFor('operator');
  const client = app.withToken(token);
  await client.agents.list.query({});
  await app.query(
    'test_revoke',
    `insert into revoked_tokens (jti, revoked_by, revoked_at, expires_at)
     values ($1, 'x', now(), now() + interval '1 hour')`,
    [decodeJwt(token).jti],
  );
  const began = performance.now();
  let error: unknown;
  while (error === undefined && performance.now() - began < 10_000)
    error = await client.agents.list.query({}).then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
  expect(error).toMatchObject(gone);
  expect(performance.now() - began).toBeLessThan(5000);
}, 15_000);

test('a stream that is open ends with its token', async () => {
  const admin = await app.client();
  const made = await admin.tokens.create.mutate({ name: 'watcher', role: 'viewer' });
  const { command } = await admin.commands.submit.mutate({
    verb: 'exec',
    args: { argv: ['true'] },
    target: { agents: ['bern-1'] },
  });
  const begun = Promise.withResolvers<void>();
  const ended = Promise.withResolvers<unknown>();
  app.withToken(made.token).commands.watch.subscribe(
    { commandId: command.commandId },
    {
      onData: () => begun.resolve(),
      onComplete: () => ended.resolve('complete'),
      onError: (error) => ended.resolve(error),
    },
  );
  await begun.promise;
  await admin.tokens.revoke.mutate({ tokenId: made.details.tokenId });
  expect(await ended.promise).toMatchObject(gone);
}, 20_000);

test('a new key signs, and the one before is believed until it is revoked', async () => {
  const admin = await app.client();
  const before = await app.tokenFor('viewer');
  const { keys } = await admin.issuer.rotateKey.mutate();
  const after = await app.tokenFor('viewer');
  const [oldId, newId] = [before, after].map((token) => decodeProtectedHeader(token).kid ?? '');
  expect(newId).not.toBe(oldId);
  expect(keys.find((key) => key.keyId === newId)?.state).toBe('active');
  expect(keys.find((key) => key.keyId === oldId)).toMatchObject({ state: 'retired' });
  await app.withToken(before).agents.list.query({});

  const last = await app.client();
  await last.issuer.revokeKey.mutate({ keyId: oldId ?? '' });
  await expect(app.withToken(before).agents.list.query({})).rejects.toMatchObject(gone);
  await app.withToken(after).agents.list.query({});
  const published = await (await fetch(`${app.url}/.well-known/jwks.json`)).json();
  const ids = (published as { keys: { kid: string }[] }).keys.map((key) => key.kid);
  expect(ids).toContain(newId);
  expect(ids).not.toContain(oldId);
});

test('when the key that signs is revoked, another one signs at once', async () => {
  const admin = await app.client();
  const { keys } = await admin.issuer.listKeys.query();
  await admin.issuer.revokeKey.mutate({ keyId: keys[0]?.keyId ?? '' });
  await expect(admin.agents.list.query({})).rejects.toMatchObject(gone);
  await (await app.client()).agents.list.query({});
});
