import { randomBytes } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { makeCertificate } from '../../test/support/tls-certificate.ts';
import type { Environment } from './environment.ts';
import { loadConfig } from './load.ts';
import { noticesOf } from './notices.ts';

const folder = mkdtempSync(join(tmpdir(), 'viworks-test-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const { cert, key } = await makeCertificate();
const certificatePath = join(folder, 'server.pem');
const keyPath = join(folder, 'server.key');
writeFileSync(certificatePath, cert);
writeFileSync(keyPath, key, { mode: 0o600 });
const tls = {
  VIWORKS_API_TLS_CERTIFICATE_PATH: certificatePath,
  VIWORKS_API_TLS_PRIVATE_KEY_PATH: keyPath,
};

const production = { VIWORKS_MODE: 'production', JWT_SECRET: randomBytes(32).toString('base64') };
const load = (env: Environment, now?: number) => loadConfig({ env, ...(now === undefined ? {} : { now }) });

const refusedInProduction: [what: string, env: Environment, message: RegExp][] = [
  [
    'clear text for the world',
    { VIWORKS_API_BIND_ADDRESS: '0.0.0.0', VIWORKS_API_ALLOW_CLEAR_TEXT: 'true' },
    /^VIWORKS_API_ALLOW_CLEAR_TEXT: in production clear text is taken only from a proxy .* server\.tls_certificate_path$/,
  ],
  [
    'clear text for the agents of the world',
    { VIWORKS_AGENT_BIND_ADDRESS: '::', VIWORKS_AGENT_ALLOW_CLEAR_TEXT: 'true' },
    /^VIWORKS_AGENT_ALLOW_CLEAR_TEXT: in production/,
  ],
  ['every origin', { VIWORKS_API_CORS_ORIGINS: '*' }, /^VIWORKS_API_CORS_ORIGINS: must name the origins/],
  [
    'the password of a tutorial',
    { DATABASE_URL: 'postgres://viworks:postgres@db/viworks' },
    /^DATABASE_URL: has the password of an example, or none/,
  ],
  ['no password', { DATABASE_URL: 'postgres://viworks@db/viworks' }, /^DATABASE_URL: has the password/],
  [
    'no password where a parameter names the host',
    { DATABASE_URL: 'postgres://viworks@/viworks?host=db' },
    /^DATABASE_URL: has the password/,
  ],
  [
    'the password of a tutorial in a parameter',
    { DATABASE_URL: 'postgres://viworks@db/viworks?password=postgres' },
    /^DATABASE_URL: has the password/,
  ],
  [
    'a database that nothing can be said of',
    { DATABASE_URL: 'postgres://a b' },
    /^DATABASE_URL: must be a URL such as/,
  ],
];

test.for(refusedInProduction)('production refuses %s, development does not', ([, env, message]) => {
  expect(() => load({ ...production, ...env })).toThrow(
    expect.objectContaining({ code: 'config_invalid', message: expect.stringMatching(message) }),
  );
  expect(() => load(env)).not.toThrow();
});

test('production takes what is safe', () => {
  load(production);
  load({ ...production, DATABASE_URL: `postgres://viworks:${randomBytes(16).toString('hex')}@db/viworks` });
  load({ ...production, DATABASE_URL: 'postgres://viworks@localhost/viworks' });
  load({ ...production, DATABASE_URL: 'postgres://viworks@/viworks?host=/run/postgresql' });
  load({ ...production, DATABASE_URL: `postgres://viworks:${randomBytes(16).toString('hex')}%@db/viworks` });
  load({ ...production, ...tls, VIWORKS_API_BIND_ADDRESS: '0.0.0.0' });
  load({
    ...production,
    VIWORKS_API_BIND_ADDRESS: '0.0.0.0',
    VIWORKS_API_ALLOW_CLEAR_TEXT: 'true',
    VIWORKS_TRUSTED_PROXIES: '10.0.0.0/8',
  });
});

const dayMs = 86_400_000;

test('a certificate outside of its time stops the start, in every mode', () => {
  expect(() => load(tls, Date.now() + 400 * dayMs)).toThrow(
    /^VIWORKS_API_TLS_CERTIFICATE_PATH: expired at .* UTC/,
  );
  expect(() => load(tls, Date.now() - 400 * dayMs)).toThrow(
    /^VIWORKS_API_TLS_CERTIFICATE_PATH: is valid only from .* UTC/,
  );
  load(tls);
});

test('a certificate and leave for clear text contradict each other', () => {
  expect(() => load({ ...tls, VIWORKS_API_ALLOW_CLEAR_TEXT: 'true' })).toThrow(
    /^VIWORKS_API_ALLOW_CLEAR_TEXT: contradicts VIWORKS_API_TLS_CERTIFICATE_PATH/,
  );
});

test('what works and deserves a look is told', () => {
  const config = load(tls);
  expect(noticesOf(config, Date.now())).toEqual([
    {
      setting: 'server.tls_certificate_path',
      text: expect.stringMatching(/^the certificate expires in \d+ days/),
    },
  ]);
  chmodSync(keyPath, 0o644);
  expect(noticesOf(config, Date.now()).map(({ setting }) => setting)).toContain(
    'server.tls_private_key_path',
  );
  const secrets = load({ COMMAND_SECRET_PATH: keyPath, TOKEN_SECRET_PATH: join(folder, 'nothing') });
  expect(noticesOf(secrets, Date.now()).map(({ setting }) => setting)).toEqual([
    'security.command_secret_path',
  ]);
  const open = load({ VIWORKS_AGENT_BIND_ADDRESS: '0.0.0.0', VIWORKS_AGENT_ALLOW_CLEAR_TEXT: 'true' });
  expect(noticesOf(open, Date.now())).toEqual([
    { setting: 'server.mode', text: expect.stringContaining('agent') },
  ]);
  expect(
    noticesOf(load({ VIWORKS_MODE: 'production', RATE_LIMIT_REQUESTS: '0' }), Date.now()),
  ).toContainEqual({
    setting: 'security.rate_limit_requests',
    text: expect.stringContaining('any number of calls'),
  });
  expect(noticesOf(load({}), Date.now())).toEqual([]);
});
