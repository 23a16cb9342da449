import { createPublicKey, type KeyObject, X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import {
  certificatePem,
  issueCertificate,
  makeAuthority,
  newTlsKey,
  privateKeyPem,
} from '../protocol/certificates/x509.ts';
import { loadConfig } from './load.ts';
import { noticesOf } from './notices.ts';
import { agentTlsOf, clientCertificatesOf } from './tls.ts';

const now = Date.parse('2026-01-31T08:00:00Z');
const dayMs = 86_400_000;

function folder() {
  const dir = mkdtempSync(join(tmpdir(), 'viworks-config-'));
  onTestFinished(() => rmSync(dir, { recursive: true }));
  return (name: string, text: string): string => {
    const file = join(dir, name);
    writeFileSync(file, text, { mode: 0o600 });
    return file;
  };
}

const authority = (key: KeyObject, days = 365) =>
  makeAuthority({ subject: 'ours', notBefore: now - dayMs, notAfter: now + days * dayMs }, key);

const load = (env: Record<string, string>) => loadConfig({ env, now });

test('an own authority is one, in time, with its own key', () => {
  const put = folder();
  const key = newTlsKey();
  const certificate = put('ca.pem', certificatePem(authority(key)));
  const keyFile = put('ca.key', privateKeyPem(key));
  load({ CA_CERTIFICATE_PATH: certificate, CA_PRIVATE_KEY_PATH: keyFile });
  load({ CA_CERTIFICATE_PATH: certificate });
  expect(() => load({ CA_PRIVATE_KEY_PATH: keyFile })).toThrow(/ca_certificate_path: is missing/);
  const other = put('other.key', privateKeyPem(newTlsKey()));
  expect(() => load({ CA_CERTIFICATE_PATH: certificate, CA_PRIVATE_KEY_PATH: other })).toThrow(
    /^CA_PRIVATE_KEY_PATH: must be the key of the first certificate/,
  );
  const over = put('over.pem', certificatePem(authority(key, -0.5)));
  expect(() => load({ CA_CERTIFICATE_PATH: over })).toThrow(/^CA_CERTIFICATE_PATH: expired at/);
  const leaf = issueCertificate(
    {
      subject: 'leaf',
      publicKey: createPublicKey(newTlsKey()),
      use: 'server',
      names: ['leaf.example'],
      notBefore: now - dayMs,
      notAfter: now + dayMs,
    },
    { certificate: new X509Certificate(authority(key)), key },
  );
  const file = put('leaf.pem', certificatePem(leaf));
  expect(() => load({ CA_CERTIFICATE_PATH: file })).toThrow(/must be the certificate of an authority/);
  expect(() => load({ CA_CERTIFICATE_PATH: certificate, VIWORKS_AGENT_BUILT_IN_TLS: 'true' })).toThrow(
    /^security.ca_private_key_path: is missing/,
  );
  const soon = put('soon.pem', certificatePem(authority(key, 5)));
  expect(noticesOf(load({ CA_CERTIFICATE_PATH: soon }), now)).toContainEqual({
    setting: 'security.ca_certificate_path',
    text: 'the certificate expires in 5 days; renew it',
  });
});

test.each([
  [{}, 'none', 'off'],
  [{ VIWORKS_MODE: 'production' }, 'built-in', 'on'],
  [{ VIWORKS_MODE: 'production', VIWORKS_AGENT_BIND_ADDRESS: '0.0.0.0' }, 'built-in', 'on'],
  [{ VIWORKS_MODE: 'production', VIWORKS_TRUSTED_PROXIES: '10.0.0.1' }, 'none', 'off'],
  [{ VIWORKS_MODE: 'production', VIWORKS_AGENT_BUILT_IN_TLS: 'false' }, 'none', 'off'],
  [{ VIWORKS_AGENT_BUILT_IN_TLS: 'true' }, 'built-in', 'on'],
  [{ VIWORKS_AGENT_BUILT_IN_TLS: 'true', AGENT_CLIENT_CERTIFICATES: 'off' }, 'built-in', 'off'],
])('TLS of agents with %o', (env, tls, certificates) => {
  const config = load(env);
  expect([agentTlsOf(config), clientCertificatesOf(config)]).toEqual([tls, certificates]);
});
