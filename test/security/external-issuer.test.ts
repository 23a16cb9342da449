import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, SignJWT } from 'jose';
import { expect, onTestFinished, test } from 'vitest';
import { createExternalIssuer } from '../../src/identity/external-issuer.ts';
import { createUserTokens, secretSigner } from '../../src/identity/user-tokens.ts';
import { systemClock } from '../../src/lib/clock.ts';

/** Threat: another issuer, or whoever stands between, has us believe what it did not say. */

const issuer = 'https://login.example';
const audience = 'our-api';

interface Key {
  kid: string;
  alg: string;
  publicKey: KeyObject;
  privateKey: KeyObject;
}

const makeKey = (kid: string): Key => ({
  kid,
  alg: 'ES256',
  ...generateKeyPairSync('ec', { namedCurve: 'P-256' }),
});

/** A server that publishes keys, and can be taken away. */
async function startIssuer(keys: Key[]) {
  let fetched = 0;
  let answer: () => Promise<string> = async () =>
    JSON.stringify({
      keys: await Promise.all(
        keys.map(async ({ kid, alg, publicKey }) => ({
          ...(await exportJWK(publicKey)),
          kid,
          alg,
          use: 'sig',
        })),
      ),
    });
  const server = createServer(async (_request, response) => {
    fetched += 1;
    response.setHeader('content-type', 'application/json');
    response.end(await answer());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const stop = () =>
    new Promise<void>((done) => {
      server.closeAllConnections();
      server.close(() => done());
    });
  onTestFinished(stop);
  const external = createExternalIssuer({
    issuer,
    audience,
    jwksUrl: `http://127.0.0.1:${port}/keys`,
    type: 'at+jwt',
    roleClaim: 'realm.roles',
    sitesClaim: 'sites',
    verbsClaim: 'verbs',
    roles: { staff: 'viewer', ops: 'operator', root: 'admin' },
    clock: systemClock,
  });
  const services = { verify: async () => undefined, isRevoked: async (jti: string) => jti === 'revoked' };
  const signer = secretSigner(new Uint8Array(32).fill(9));
  const tokens = createUserTokens({ signer, services, external, clock: systemClock, audit: { tell() {} } });
  return {
    tokens,
    stop,
    fetched: () => fetched,
    answerWith(text: string) {
      answer = async () => text;
    },
  };
}

const sign = (
  { kid, alg, privateKey }: Key,
  claims: Record<string, unknown> = {},
  header: Record<string, string> = {},
) =>
  new SignJWT({ realm: { roles: ['ops'] }, jti: crypto.randomUUID(), sub: 'ada', ...claims })
    .setProtectedHeader({ alg, kid, typ: 'at+jwt', ...header })
    .setIssuer((claims.iss as string | undefined) ?? issuer)
    .setAudience((claims.aud as string | undefined) ?? audience)
    .setIssuedAt()
    .setExpirationTime((claims.exp as number | undefined) ?? '5m')
    .sign(privateKey);

const refused = { code: 'unauthenticated', message: 'The token is missing, expired or not valid.' };

test('its tokens say who, in which role and within which limits; its people have names of their own', async () => {
  const key = makeKey('one');
  const { tokens } = await startIssuer([key]);
  const actor = await tokens.verify(await sign(key, { sites: ['bern'], verbs: ['docker.*'] }));
  expect(actor).toMatchObject({
    subject: 'external:ada',
    role: 'operator',
    scope: { sites: ['bern'], verbs: ['docker.*'] },
  });
  const both = await tokens.verify(await sign(key, { realm: { roles: ['staff', 'root', 'other'] } }));
  expect(both).toMatchObject({ role: 'admin', scope: undefined });
});

test.each([
  ['another audience', { aud: 'their-api' }, {}],
  ['another issuer', { iss: 'https://elsewhere.example' }, {}],
  ['our own issuer', { iss: 'viworks', aud: 'viworks-api', role: 'admin' }, {}],
  ['no role of ours', { realm: { roles: ['guest'] } }, {}],
  ['a role by the name of a prototype', { realm: { roles: ['constructor', '__proto__'] } }, {}],
  ['no realm', { realm: undefined }, {}],
  ['no jti', { jti: undefined }, {}],
  ['a revoked jti', { jti: 'revoked' }, {}],
  ['limits that are none', { sites: 'bern' }, {}],
  ['limits to nothing that is a verb', { verbs: ['**'] }, {}],
  ['a name that no database takes', { sub: 'a\0da' }, {}],
  ['a name of half a character', { sub: 'ada\ud83d' }, {}],
  ['a jti that no database takes', { jti: 'x\0' }, {}],
  ['an end in the past', { exp: 1_000_000 }, {}],
  ['another type', {}, { typ: 'JWT' }],
  ['an unknown key', {}, { kid: 'two' }],
])('a token with %s is refused', async (_what, claims, header) => {
  const key = makeKey('one');
  const { tokens } = await startIssuer([key]);
  await expect(tokens.verify(await sign(key, claims, header))).rejects.toMatchObject(refused);
});

test('a key set is no password: nothing that is signed with a secret is believed', async () => {
  const key = makeKey('one');
  const { tokens } = await startIssuer([key]);
  const secret = Buffer.from(JSON.stringify(await exportJWK(key.publicKey)));
  const token = await new SignJWT({ realm: { roles: ['root'] }, jti: 'x', sub: 'ada' })
    .setProtectedHeader({ alg: 'HS256', kid: 'one', typ: 'at+jwt' })
    .setIssuer(issuer)
    .setAudience(audience)
    .setIssuedAt()
    .setExpirationTime('5m')
    .sign(secret);
  await expect(tokens.verify(token)).rejects.toMatchObject(refused);
});

test('keys are fetched once for many tokens, and unknown key ids do not make us fetch without end', async () => {
  const key = makeKey('one');
  const { tokens, fetched } = await startIssuer([key]);
  for (let n = 0; n < 5; n++) await tokens.verify(await sign(key));
  expect(fetched()).toBe(1);
  for (let n = 0; n < 20; n++)
    await expect(tokens.verify(await sign(key, {}, { kid: `no-${n}` }))).rejects.toMatchObject(refused);
  expect(fetched()).toBeLessThanOrEqual(2);
});

test('while the keys cannot be fetched, nobody is let in and nobody is refused for good', async () => {
  const key = makeKey('one');
  const away = await startIssuer([key]);
  await away.stop();
  const unavailable = { code: 'unavailable', retryAfterMs: 5000 };
  await expect(away.tokens.verify(await sign(key))).rejects.toMatchObject(unavailable);

  for (const text of ['no json', '{"keys": 7}', JSON.stringify({ keys: [], more: 'x'.repeat(300_000) })]) {
    const odd = await startIssuer([key]);
    odd.answerWith(text);
    await expect(odd.tokens.verify(await sign(key))).rejects.toMatchObject(unavailable);
  }
});

test('what is signed by our own key stays ours, beside the other issuer', async () => {
  const { tokens } = await startIssuer([makeKey('one')]);
  const token = await tokens.issue({ subject: 'bob', role: 'viewer', lifetimeMs: 60_000 });
  expect(await tokens.verify(token)).toMatchObject({ subject: 'bob', role: 'viewer' });
});
