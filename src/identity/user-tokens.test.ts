import { SignJWT, UnsecuredJWT } from 'jose';
import { expect, test } from 'vitest';
import { checkedForMs, createUserTokens, secretSigner } from './user-tokens.ts';

const secret = 'a secret of more than thirty-two bytes';
const key = new TextEncoder().encode(secret);
const start = Date.parse('2030-01-01T00:00:00Z');
const message = 'The token is missing, expired or not valid.';

function at(now = start) {
  const clock = { time: now, now: () => clock.time };
  const revoked = new Set<string>();
  const services = { verify: async () => undefined, isRevoked: async (jti: string) => revoked.has(jti) };
  return {
    clock,
    revoked,
    tokens: createUserTokens({ signer: secretSigner(secret), services, clock, audit: { tell() {} } }),
  };
}

/** A token that is right but for what the caller changes. */
function forged(change: {
  header?: Record<string, string>;
  claims?: Record<string, unknown>;
  key?: Uint8Array;
}) {
  const seconds = start / 1000;
  return new SignJWT({
    iss: 'viworks',
    aud: 'viworks-api',
    sub: 'ada',
    jti: 'x',
    iat: seconds,
    exp: seconds + 60,
    role: 'admin',
    ...change.claims,
  })
    .setProtectedHeader({ alg: 'HS256', typ: 'at+jwt', ...change.header })
    .sign(change.key ?? key);
}

test('a token tells who and in which role until it expires', async () => {
  const { clock, tokens } = at();
  const token = await tokens.issue({ subject: 'ada', role: 'operator', lifetimeMs: 60_000 });
  expect(await tokens.verify(token)).toMatchObject({ subject: 'ada', role: 'operator' });
  clock.time += 61_000;
  await expect(tokens.verify(token)).rejects.toMatchObject({ code: 'unauthenticated', message });
});

test('nobody gets a token whose name cannot be written down', async () => {
  const { tokens } = at();
  for (const subject of ['a\0da', 'ada\ud83d'])
    await expect(tokens.issue({ subject, role: 'viewer', lifetimeMs: 60_000 })).rejects.toMatchObject({
      code: 'invalid_request',
      fields: [{ field: 'subject' }],
    });
});

test('limits come back as they were said', async () => {
  const { tokens } = at();
  const scope = { sites: ['bern'], verbs: ['docker.*'] };
  const token = await tokens.issue({ subject: 'ada', role: 'operator', lifetimeMs: 60_000, scope });
  expect((await tokens.verify(token)).scope).toEqual(scope);
});

test('a revoked token counts no more, at once where it is told and a moment later everywhere', async () => {
  const { clock, revoked, tokens } = at();
  const token = await tokens.issue({ subject: 'ada', role: 'operator', lifetimeMs: 60_000 });
  revoked.add((await tokens.verify(token)).tokenId ?? '');
  await tokens.verify(token);
  clock.time += checkedForMs;
  await expect(tokens.verify(token)).rejects.toMatchObject({ code: 'unauthenticated', message });

  const other = await tokens.issue({ subject: 'ada', role: 'operator', lifetimeMs: 60_000 });
  revoked.add((await tokens.verify(other)).tokenId ?? '');
  tokens.forget();
  await expect(tokens.verify(other)).rejects.toMatchObject({ code: 'unauthenticated', message });
});

test('nobody takes a name of the other issuer', async () => {
  const spec = { subject: 'external:ada', role: 'viewer', lifetimeMs: 60_000 } as const;
  await expect(at().tokens.issue(spec)).rejects.toMatchObject({ code: 'invalid_request' });
});

test('two tokens of the same person differ', async () => {
  const { tokens } = at();
  const spec = { subject: 'ada', role: 'viewer', lifetimeMs: 60_000 } as const;
  expect(await tokens.issue(spec)).not.toBe(await tokens.issue(spec));
});

test('the forger in these tests makes a good token when it changes nothing', async () => {
  expect(await at().tokens.verify(await forged({}))).toMatchObject({
    subject: 'ada',
    role: 'admin',
    scope: undefined,
  });
});

test.each([
  ['another key', { key: new Uint8Array(32) }],
  ['another algorithm', { header: { alg: 'HS512' }, key: new Uint8Array(64) }],
  ['another type', { header: { typ: 'JWT' } }],
  ['another issuer', { claims: { iss: 'somebody' } }],
  ['another audience', { claims: { aud: 'viworks-agents' } }],
  ['no expiry', { claims: { exp: undefined } }],
  ['no id', { claims: { jti: undefined } }],
  ['a subject that no database takes', { claims: { sub: 'a\0da' } }],
  ['no subject', { claims: { sub: undefined } }],
  ['an unknown role', { claims: { role: 'root' } }],
  ['a role that is a list', { claims: { role: ['admin'] } }],
  ['a key id', { header: { kid: 'x' } }],
  ['sites that are no list', { claims: { sites: 'bern' } }],
  ['a verb that is no verb', { claims: { verbs: ['*.*'] } }],
  ['not yet valid', { claims: { nbf: start / 1000 + 3600 } }],
])('refuses a token with %s', async (_name, change) => {
  const { tokens } = at();
  await expect(tokens.verify(await forged(change))).rejects.toMatchObject({
    code: 'unauthenticated',
    message,
  });
});

test.each(['', 'x', 'a.b.c', new UnsecuredJWT({ role: 'admin', sub: 'ada' }).encode()])(
  'refuses %j, which is no signed token',
  async (token) => {
    await expect(at().tokens.verify(token)).rejects.toMatchObject({ code: 'unauthenticated', message });
  },
);

test('a short secret is refused at the start, by the name of the setting', () => {
  expect(() => secretSigner('short')).toThrow(/security\.jwt_secret/);
});
