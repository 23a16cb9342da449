import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, expect, test } from 'vitest';
import { environmentSettings } from '../../src/config/environment.ts';
import { loadConfig } from '../../src/config/load.ts';
import { configSchema } from '../../src/config/schema.ts';
import { ViworksError } from '../../src/errors.ts';
import {
  clientAddress,
  clientNetwork,
  createAddressList,
  isAddressOrRange,
} from '../../src/lib/addresses.ts';
import { fuzz, fuzzTimeout, mutated } from '../support/fuzz.ts';

/** Settings and headers of whatever text: they are a whole configuration, or one line that names what is wrong. */

const folder = mkdtempSync(join(tmpdir(), 'viworks-fuzz-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const file = join(folder, 'viworks.toml');
const pristine = JSON.stringify({});

/** A secret that must not stand in an error. */
const secret = 'zQ7xVb2LkP9sTnWm4RcYh8DfGjAe6UiB';

/** Undefined where it is refused, in words for a person and in the one code. */
function load(sources: Parameters<typeof loadConfig>[0]) {
  try {
    const config = loadConfig(sources);
    // What is taken is whole: every rule holds when it is read once more.
    expect(configSchema.safeParse(config).success).toBe(true);
    return config;
  } catch (error) {
    if (!(error instanceof ViworksError)) throw error;
    expect(error.code).toBe('config_invalid');
    expect(error.message).toMatch(/^.+: ./s);
    // A path is no secret, and a person has to see which file it was.
    if (!/_path|plugins|PLUGINS|_PATH/.test(error.message)) expect(error.message).not.toContain(secret);
    return undefined;
  } finally {
    // Nothing leaks into the objects that everybody shares.
    expect(JSON.stringify(Object.assign({}, Object.prototype))).toBe(pristine);
  }
}

const sections = Object.entries(configSchema.shape).flatMap(([section, schema]) =>
  Object.keys(schema.unwrap().shape).map((name) => [section, name] as const),
);

const tomlValue = fc.oneof(
  fc.integer().map(String),
  fc.double().map((value) => (Number.isNaN(value) ? 'nan' : String(value).replace('Infinity', 'inf'))),
  fc.constantFrom(
    'true',
    'false',
    '[]',
    '{}',
    '[[1]]',
    '{ a = 1 }',
    '1979-05-27',
    '"*"',
    '-1',
    '0',
    '65536',
    '1e400',
  ),
  fc.string({ unit: 'binary', maxLength: 40 }).map((text) => JSON.stringify(text)),
  fc.constant(JSON.stringify(secret)),
  fc.array(fc.string({ maxLength: 8 }), { maxLength: 4 }).map((list) => JSON.stringify(list)),
);
const tomlLine = fc.oneof(
  fc
    .tuple(fc.constantFrom(...sections), tomlValue)
    .map(([[section, name], value]) => `[${section}]\n${name} = ${value}`),
  fc
    .tuple(fc.constantFrom('__proto__', 'constructor', 'toString', 'server'), tomlValue)
    .map(([name, value]) => `[${name}]\n${name} = ${value}`),
  fc
    .tuple(fc.string({ maxLength: 20 }), tomlValue)
    .map(([name, value]) => `${JSON.stringify(name)} = ${value}`),
);

test(
  'a file of settings with any values, known or not',
  () => {
    fc.assert(
      fc.property(fc.array(tomlLine, { maxLength: 4 }), (lines) => {
        writeFileSync(file, lines.join('\n'));
        load({ file });
      }),
      fuzz(1_000),
    );
  },
  fuzzTimeout,
);

test(
  'a file that is nearly right, or no text at all',
  () => {
    const right = Buffer.from(
      '[server]\nport = 8080\nbind_address = "127.0.0.1"\ntrusted_proxies = ["10.0.0.0/8"]\n[security]\nrate_limit_requests = 100\n[command.verb_limits."docker.build"]\nmax_concurrent = 4\n',
    );
    fc.assert(
      fc.property(fc.oneof(mutated([right]), fc.uint8Array({ maxLength: 500 })), (bytes) => {
        writeFileSync(file, bytes);
        load({ file });
      }),
      fuzz(1_000),
    );
  },
  fuzzTimeout,
);

test('values that nest without an end do not end the process', () => {
  for (const text of [
    `a = ${'['.repeat(200_000)}`,
    `[a${'.a'.repeat(50_000)}]`,
    `a = ${'{a='.repeat(50_000)}`,
  ]) {
    writeFileSync(file, text);
    expect(load({ file })).toBeUndefined();
  }
});

test(
  'an environment of any names and values',
  () => {
    const names = environmentSettings.map(({ name }) => name);
    const value = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 30 }),
      fc.constantFrom(
        '',
        '0',
        '-1',
        '1e9',
        '0x10',
        'true',
        'TRUE',
        '5m',
        '-5m',
        '99999999999999999999',
        ',',
        ', ,',
        secret,
      ),
      fc.integer().map(String),
    );
    const environment = fc.dictionary(
      fc.oneof(
        { weight: 9, arbitrary: fc.constantFrom(...names) },
        { weight: 1, arbitrary: fc.string({ maxLength: 8 }).map((name) => `VIWORKS_${name}`) },
      ),
      value,
      { maxKeys: 4 },
    );
    fc.assert(
      fc.property(environment, (env) => void load({ env })),
      fuzz(2_000),
    );
  },
  fuzzTimeout,
);

const address = fc.oneof(
  fc.ipV4(),
  fc.ipV6(),
  fc.ipV4().map((ip) => `::ffff:${ip}`),
);
const hop = fc.oneof(
  address,
  fc.string({ unit: 'binary', maxLength: 30 }),
  fc.constantFrom(
    '',
    ' ',
    '127.0.0.1',
    '10.0.0.1',
    '10.0.0.1:80',
    '[::1]:80',
    'unknown',
    '_hidden',
    '999.1.1.1',
    '10.1',
    '0x7f.1',
  ),
);

test(
  'whatever X-Forwarded-For says, the client is the peer or what a believed proxy wrote',
  () => {
    const proxies = createAddressList(['10.0.0.0/8', '127.0.0.1', 'fd00::/8']);
    const header = fc.array(hop, { maxLength: 8 }).map((hops) => hops.join(','));
    fc.assert(
      fc.property(address, header, (peer, forwarded) => {
        const client = clientAddress(peer, forwarded, proxies);
        const plain = peer.replace(/^::ffff:(?=\d+\.)/i, '');
        if (!proxies.has(peer)) expect(client).toBe(plain);
        else if (client !== plain) {
          expect(isAddressOrRange(client)).toBe(true);
          // Everything behind it, as far as the peer, is a proxy that is believed.
          const hops = forwarded.split(',').map((text) => text.trim().replace(/^::ffff:(?=\d+\.)/i, ''));
          const behind = hops.slice(hops.lastIndexOf(client) + 1);
          expect(behind.every((text) => proxies.has(text))).toBe(true);
        }
        expect(clientNetwork(client).length).toBeLessThan(50);
      }),
      fuzz(5_000),
    );
  },
  fuzzTimeout,
);

test('a very long X-Forwarded-For costs little', () => {
  const proxies = createAddressList(['0.0.0.0/0', '::/0']);
  const forwarded = '10.0.0.1,'.repeat(1_800);
  const began = performance.now();
  for (let n = 0; n < 10; n++) clientAddress('10.0.0.1', forwarded, proxies);
  expect(performance.now() - began).toBeLessThan(2_000);
});
