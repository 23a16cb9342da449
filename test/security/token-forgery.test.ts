import { createPublicKey, generateKeyPairSync, type JsonWebKey, randomBytes } from 'node:crypto';
import fc from 'fast-check';
import {
  createRemoteJWKSet,
  decodeJwt,
  decodeProtectedHeader,
  exportJWK,
  jwtVerify,
  SignJWT,
  UnsecuredJWT,
} from 'jose';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type ApiApp, startApiApp } from '../support/api-app.ts';

/** Threat: a token that nobody issued is believed, whoever wrote what into it, its header or the database. */

let app: ApiApp;
beforeAll(async () => {
  app = await startApiApp();
});
afterAll(() => app.stop());

/** What the API says to a token: the status, and the code of the error. */
async function verdict(token: string): Promise<string> {
  const headers = { authorization: `Bearer ${token}` };
  const response = await fetch(`${app.url}/trpc/agents.list`, { headers });
  return response.ok ? 'accepted' : (/"code":"([a-z_]+)"/.exec(await response.text())?.[1] ?? '');
}

const jwksUrl = () => new URL(`${app.url}/.well-known/jwks.json`);

async function published() {
  const response = await fetch(jwksUrl());
  const { keys } = (await response.json()) as { keys: (JsonWebKey & { kid: string })[] };
  return keys;
}

test('a token is signed with a published key, and whoever has the key set can check it', async () => {
  const token = await app.tokenFor('viewer');
  expect(await verdict(token)).toBe('accepted');
  const { payload } = await jwtVerify(token, createRemoteJWKSet(jwksUrl()), {
    issuer: 'viworks',
    audience: 'viworks-api',
    algorithms: ['EdDSA'],
  });
  expect(payload.role).toBe('viewer');
  for (const key of await published()) expect(key).not.toHaveProperty('d');
});

describe('forgeries', () => {
  const claims = async () => {
    const real = decodeJwt(await app.tokenFor('viewer'));
    return { ...real, role: 'admin' };
  };
  const own = generateKeyPairSync('ed25519');
  const header = async (change: object = {}) => {
    const { kid = '' } = decodeProtectedHeader(await app.tokenFor('viewer'));
    return { alg: 'EdDSA', typ: 'at+jwt', kid, ...change };
  };
  const signed = async (change: object, key: Parameters<SignJWT['sign']>[0] = own.privateKey) =>
    new SignJWT(await claims()).setProtectedHeader(await header(change)).sign(key);

  test('a key of somebody else under the id of ours', async () => {
    expect(await verdict(await signed({}))).toBe('unauthenticated');
  });

  test('the public key taken for a shared secret', async () => {
    const [jwk] = await published();
    const key = createPublicKey({ key: { ...jwk }, format: 'jwk' });
    const secrets = [
      Buffer.from(jwk?.x ?? '', 'base64url'),
      Buffer.from(jwk?.x ?? ''),
      key.export({ format: 'der', type: 'spki' }),
      Buffer.from(key.export({ format: 'pem', type: 'spki' })),
      Buffer.from(JSON.stringify(jwk)),
    ];
    for (const secret of secrets)
      expect(await verdict(await signed({ alg: 'HS256' }, secret))).toBe('unauthenticated');
  });

  test('no algorithm, however it is spelt', async () => {
    const [, body] = new UnsecuredJWT(await claims()).encode().split('.');
    for (const alg of ['none', 'None', 'NONE', '', 'nOnE']) {
      const head = Buffer.from(JSON.stringify(await header({ alg }))).toString('base64url');
      for (const signature of ['', 'AA']) {
        expect(await verdict(`${head}.${body}.${signature}`)).toBe('unauthenticated');
      }
    }
  });

  test('a key that the token brings along, or says where to find', async () => {
    const jwk = await exportJWK(own.publicKey);
    const url = 'http://127.0.0.1:1/keys';
    for (const change of [
      { jwk },
      { jwk, kid: undefined },
      { jku: url },
      { jku: url, kid: 'elsewhere' },
      { x5u: url },
      { x5c: ['AAAA'] },
      { crit: ['b64'], b64: true },
    ]) {
      expect(await verdict(await signed(change))).toBe('unauthenticated');
    }
  });

  test('key ids that are paths, statements or names of prototypes', async () => {
    const ids = ['../../../../dev/null', "' or 1=1 --", '__proto__', 'constructor', 'toString', '\u0000', ''];
    for (const kid of ids) expect(await verdict(await signed({ kid }))).toBe('unauthenticated');
  });

  test('another type', async () => {
    for (const typ of ['JWT', 'application/jwt', 'secevent+jwt', undefined])
      expect(await verdict(await signed({ typ }))).toBe('unauthenticated');
  });
});

test('no text is believed, and none breaks anything', async () => {
  const good = await app.tokenFor('admin');
  const service = await (await app.client()).tokens.create.mutate({ name: 'fuzz', role: 'viewer' });
  const real = [good, service.token];
  const mutated = fc
    .tuple(fc.constantFrom(...real), fc.nat(good.length), fc.constantFrom(...'aZ0.-_~=+/'), fc.nat(2))
    .map(([token, at, letter, kind]) => {
      const place = at % token.length;
      if (kind === 0) return token.slice(0, place) + letter + token.slice(place + 1);
      return kind === 1 ? token.slice(0, place) : token.slice(0, place) + letter + token.slice(place);
    });
  const letters = [...'abcXYZ019._~+/=-'];
  const text = fc.string({ unit: fc.constantFrom(...letters), maxLength: 400 });
  const parts = fc
    .array(
      fc.oneof(
        text,
        fc.json().map((json) => Buffer.from(json).toString('base64url')),
      ),
      { minLength: 1, maxLength: 5 },
    )
    .map((all) => all.join('.'));
  const opaque = text.map((rest) => `vwk_${rest}`);
  await fc.assert(
    fc.asyncProperty(fc.oneof(mutated, text, parts, opaque), async (token) => {
      fc.pre(!real.includes(token) && !real.some((each) => sameBytes(each, token)));
      expect(await verdict(token)).toBe('unauthenticated');
    }),
    { numRuns: 400 },
  );
  expect(await verdict(`vwk_${'a'.repeat(9000)}`)).toBe('unauthenticated');
  expect(await verdict(good)).toBe('accepted');
}, 60_000);

/** The last letter of base64url may have bits that mean nothing. */
function sameBytes(one: string, other: string): boolean {
  const bytes = (token: string) =>
    token.split('.').map((part) => Buffer.from(part, 'base64url').toString('hex'));
  return (
    one.split('.').length === 3 && String(bytes(one)) === String(bytes(other)) && one.length === other.length
  );
}

describe('whoever writes into the database', () => {
  test('makes no service token wider, and none of another’s', async () => {
    const admin = await app.client();
    const weak = await admin.tokens.create.mutate({ name: 'weak', role: 'viewer', sites: ['bern'] });
    const strong = await admin.tokens.create.mutate({ name: 'strong', role: 'admin' });
    const changes = [
      ['role', "update service_tokens set role = 'admin' where token_id = $1"],
      ['scope', 'update service_tokens set scope = null where token_id = $1'],
      ['name', "update service_tokens set name = 'strong' where token_id = $1"],
    ] as const;
    for (const [name, text] of changes) {
      const made = await admin.tokens.create.mutate({ name: 'weak', role: 'viewer', sites: ['bern'] });
      await app.query(`test_change_${name}`, text, [made.details.tokenId]);
      expect({ name, seen: await verdict(made.token) }).toEqual({ name, seen: 'unauthenticated' });
    }
    await app.query(
      'test_swap',
      `with w as (delete from service_tokens where token_id = $2 returning token_hash)
       update service_tokens s set token_hash = w.token_hash from w where s.token_id = $1`,
      [strong.details.tokenId, weak.details.tokenId],
    );
    expect(await verdict(weak.token)).toBe('unauthenticated');
    expect(await verdict(strong.token)).toBe('unauthenticated');
  });

  test('makes no key of its own into one of ours', async () => {
    const { privateKey, publicKey } = generateKeyPairSync('ed25519');
    const kid = 'f'.repeat(32);
    await app.query(
      'test_key',
      `insert into issuer_keys (key_id, public_key, sealed_key, number, created_by, created_at, last_expiry)
       values ($1, $2, $3, 0, 'x', now(), now() + interval '1 day')`,
      [kid, publicKey.export({ format: 'der', type: 'spki' }).subarray(-32), randomBytes(140)],
    );
    const claims = { ...decodeJwt(await app.tokenFor('viewer')), role: 'admin' };
    const token = await new SignJWT(claims)
      .setProtectedHeader({ alg: 'EdDSA', typ: 'at+jwt', kid })
      .sign(privateKey);
    // Tokens of ours make the keys be read anew.
    await (await app.client()).issuer.rotateKey.mutate();
    expect(await verdict(token)).toBe('unauthenticated');
    expect((await published()).map((key) => key.kid)).not.toContain(kid);
  });

  test('reads no token and no key there', async () => {
    const { token } = await (await app.client()).tokens.create.mutate({ name: 'x', role: 'viewer' });
    const rows = JSON.stringify(await app.query('test_rows', 'select s::text as t from service_tokens s'));
    expect(rows).not.toContain(token);
    const keys = await app.query('test_keys', 'select sealed_key from issuer_keys');
    for (const { sealed_key: sealed } of keys) expect(String(sealed)).not.toContain('PRIVATE KEY');
  });
});
