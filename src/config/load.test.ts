import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { unknownName } from './environment.ts';
import { type ConfigSources, loadConfig } from './load.ts';

const folder = mkdtempSync(join(tmpdir(), 'viworks-test-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function write(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

const strongSecret = randomBytes(24).toString('base64');

const key = write(
  'key.pem',
  generateKeyPairSync('ec', { namedCurve: 'P-256' })
    .privateKey.export({ type: 'pkcs8', format: 'pem' })
    .toString(),
);

test('without anything, the defaults', () => {
  const config = loadConfig({});
  expect(config.server).toMatchObject({
    bind_address: '127.0.0.1',
    port: 8080,
    data_dir: resolve('.viworks'),
  });
  expect(config.agent_management).toMatchObject({ port: 8081, heartbeat_interval: 30 });
  expect(config.database.url).toBeUndefined();
});

test('flags win over the environment, that over the file, that over the defaults', () => {
  const file = write(
    'layers.toml',
    '[server]\nport = 1\n[logging]\nlevel = "debug"\n[agent_management]\nport = 2\n',
  );
  const config = loadConfig({
    defaults: { 'logging.level': 'warn', 'logging.format': 'text' },
    file,
    env: { VIWORKS_API_PORT: '3', AGENT_HEARTBEAT_INTERVAL: '1m' },
    flags: [{ flag: '--api-port', key: 'server.port', value: 4 }],
  });
  expect(config.server.port).toBe(4);
  expect(config.agent_management).toMatchObject({ port: 2, heartbeat_interval: 60 });
  expect(config.logging).toEqual({ level: 'debug', format: 'text' });
});

test('names of the environment reach the settings they stand for', () => {
  const config = loadConfig({
    env: {
      DATABASE_URL: 'postgres://db/viworks',
      DATABASE_MAX_CONNECTIONS: '25',
      JWT_SECRET: strongSecret,
      JWT_EXPIRATION: '2h',
      BACKEND_AGENT_BIND_ADDRESS: '127.0.0.2',
      BACKEND_AGENT_PORT: '9000',
      MAX_AGENT_CONNECTIONS: '7',
      COMMAND_TIMEOUT: '90',
      LOG_LEVEL: 'error',
      LOG_FORMAT: 'text',
      VIWORKS_DATA_DIR: 'data',
      VIWORKS_API_CORS_ORIGINS: 'https://a.example, https://b.example',
      VIWORKS_ENROLLMENT_TOKEN: 'read by the agent',
      PATH: '/bin',
    },
  });
  expect(config).toMatchObject({
    server: { data_dir: resolve('data'), cors_origins: ['https://a.example', 'https://b.example'] },
    database: { url: 'postgres://db/viworks', max_connections: 25 },
    security: { jwt_expiration: 7200 },
    agent_management: { bind_address: '127.0.0.2', port: 9000, max_agent_connections: 7 },
    command: { command_timeout: 90 },
    logging: { level: 'error', format: 'text' },
  });
});

const toml = (text: string): ConfigSources => ({ file: write(`${Math.random()}.toml`, text) });

const refused: [what: string, sources: () => ConfigSources, message: RegExp][] = [
  [
    'an unknown key',
    () => toml('[server]\nprot = 1'),
    /^server\.prot in .*toml: there is no such setting; did you mean server\.port\?$/,
  ],
  [
    'an unknown section',
    () => toml('[sever]\nport = 1'),
    /^sever\.port in .*: there is no such setting; did you mean server\.port\?$/,
  ],
  ['a key outside a section', () => toml('port = 1'), /^port in .*: there is no such setting/],
  [
    'a file that is not there',
    () => ({ file: '/nowhere/x.toml' }),
    /^\/nowhere\/x\.toml: cannot be read as TOML: ENOENT/,
  ],
  ['a file that is no TOML', () => toml('[server'), /toml: cannot be read as TOML: /],
  ['a wrong type in the file', () => toml('[server]\nport = "80"'), /^server\.port in .*: must be a number$/],
  [
    'a wrong type in the environment',
    () => ({ env: { VIWORKS_API_PORT: 'http' } }),
    /^VIWORKS_API_PORT: must be a number$/,
  ],
  [
    'half a port',
    () => ({ env: { VIWORKS_API_PORT: '80.5' } }),
    /^VIWORKS_API_PORT: must be a whole number$/,
  ],
  [
    'a port out of range',
    () => ({ env: { VIWORKS_AGENT_PORT: '70000' } }),
    /^VIWORKS_AGENT_PORT: must be at most 65535$/,
  ],
  [
    'an unknown level',
    () => ({ env: { LOG_LEVEL: 'loud' } }),
    /^LOG_LEVEL: must be one of trace, debug, info/,
  ],
  [
    'a short secret',
    () => ({ env: { JWT_SECRET: 'short' } }),
    /^JWT_SECRET: must be at least 32 characters$/,
  ],
  [
    'an empty value',
    () => ({ env: { DATABASE_URL: '' } }),
    /^DATABASE_URL: is empty; give it a value or unset it$/,
  ],
  [
    'no duration',
    () => ({ env: { COMMAND_TIMEOUT: 'soon' } }),
    /^COMMAND_TIMEOUT: must be a number of seconds, or/,
  ],
  [
    'no flag',
    () => ({ env: { VIWORKS_API_ALLOW_CLEAR_TEXT: 'yes' } }),
    /^VIWORKS_API_ALLOW_CLEAR_TEXT: must be true or false$/,
  ],
  [
    'an unknown name',
    () => ({ env: { VIWORKS_PORT: '1' } }),
    /^VIWORKS_PORT: there is no such setting; did you mean VIWORKS_API_PORT\?$/,
  ],
  [
    'another kind of database',
    () => ({ env: { DATABASE_URL: 'mysql://x' } }),
    /^DATABASE_URL: must be a URL that begins with postgres/,
  ],
  [
    'another kind of cache',
    () => ({ env: { REDIS_URL: 'memcached://x' } }),
    /^REDIS_URL: must be a URL that begins with redis:/,
  ],
  [
    'one port for both',
    () => ({ env: { VIWORKS_AGENT_PORT: '8080' } }),
    /^VIWORKS_AGENT_PORT: must differ from server\.port$/,
  ],
  [
    'clear text for the world',
    () => ({ env: { BACKEND_AGENT_BIND_ADDRESS: '0.0.0.0' } }),
    /^BACKEND_AGENT_BIND_ADDRESS: is not loopback, which needs TLS .* or agent_management\.allow_clear_text = true$/,
  ],
  [
    'a certificate without its key',
    () => ({ env: { VIWORKS_API_TLS_CERTIFICATE_PATH: 'c.pem' } }),
    /^server\.tls_private_key_path: is missing; a certificate needs its private key$/,
  ],
  [
    'a key without its certificate',
    () => ({ env: { VIWORKS_AGENT_TLS_PRIVATE_KEY_PATH: 'k.pem' } }),
    /^agent_management\.tls_certificate_path: is missing/,
  ],
  [
    'a certificate that is not there',
    () => toml(`[server]\ntls_certificate_path = "/nowhere.pem"\ntls_private_key_path = "${key}"`),
    /^server\.tls_certificate_path in .*: \/nowhere\.pem cannot be read \(ENOENT\)$/,
  ],
  [
    'a certificate that is none',
    () => toml(`[server]\ntls_certificate_path = "${key}"\ntls_private_key_path = "${key}"`),
    /key\.pem holds no certificate in PEM form$/,
  ],
  [
    'the secret of an example',
    () => ({ env: { JWT_SECRET: 'change-me-in-production-0123456789' } }),
    /^JWT_SECRET: is that of an example; make one with/,
  ],
  [
    'a secret without variety',
    () => ({ env: { JWT_SECRET: 'abababababababababababababababab' } }),
    /^JWT_SECRET: is too easy to guess; make one with/,
  ],
  [
    'a proxy by name',
    () => ({ env: { VIWORKS_TRUSTED_PROXIES: '10.0.0.1, proxy' } }),
    /^VIWORKS_TRUSTED_PROXIES: must be addresses or ranges such as/,
  ],
  [
    'two names of one setting that differ',
    () => ({ env: { VIWORKS_AGENT_PORT: '9000', BACKEND_AGENT_PORT: '9001' } }),
    /^BACKEND_AGENT_PORT: contradicts VIWORKS_AGENT_PORT, which says the same setting; unset one of them$/,
  ],
  [
    'an identity key of another kind',
    () => ({ env: { BACKEND_PRIVATE_KEY_PATH: key } }),
    /^BACKEND_PRIVATE_KEY_PATH: must be an Ed25519 private key/,
  ],
];

test.for(refused)('refuses %s', ([, sources, message]) => {
  expect(() => loadConfig(sources())).toThrow(
    expect.objectContaining({ code: 'config_invalid', message: expect.stringMatching(message) }),
  );
});

test('a secret never appears in the message', () => {
  expect(() => loadConfig({ env: { JWT_SECRET: 'hunter2' } })).toThrow(
    expect.objectContaining({ message: expect.not.stringContaining('hunter2') }),
  );
});

test('names of others are left alone', () => {
  expect(unknownName({ HOME: '/', VIWORKS_URL: 'x', MY_VIWORKS_X: 'y' })).toBeUndefined();
});

test('two names of one setting may agree', () => {
  const env = { VIWORKS_AGENT_PORT: '9000', BACKEND_AGENT_PORT: '9000' };
  expect(loadConfig({ env }).agent_management.port).toBe(9000);
});
