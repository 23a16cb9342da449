import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { configError, type NameOf } from './problem.ts';
import type { Config } from './schema.ts';

/** Rules between settings, and what the files they name must contain. */

/** @throws config_invalid */
export function checkRules(config: Config, nameOf: NameOf): void {
  checkListener(config.server, 'server', nameOf);
  checkListener(config.agent_management, 'agent_management', nameOf);
  const { server, agent_management: agents, database, redis, security } = config;
  if (server.port !== 0 && server.port === agents.port) {
    throw configError(nameOf('agent_management.port'), `must differ from ${nameOf('server.port')}`);
  }
  if (database.url !== undefined && !/^postgres(ql)?:\/\//.test(database.url)) {
    throw configError(nameOf('database.url'), 'must be a URL that begins with postgres:// or postgresql://');
  }
  if (redis.url !== undefined && !/^rediss?:\/\//.test(redis.url)) {
    throw configError(nameOf('redis.url'), 'must be a URL that begins with redis:// or rediss://');
  }
  if (agents.reconnect_backoff_ms > agents.reconnect_backoff_max_ms) {
    throw configError(
      nameOf('agent_management.reconnect_backoff_ms'),
      'must not be more than reconnect_backoff_max_ms',
    );
  }
  if (security.backend_private_key_path !== undefined) {
    const name = nameOf('security.backend_private_key_path');
    const key = privateKey(security.backend_private_key_path, name);
    if (key.asymmetricKeyType !== 'ed25519')
      throw configError(name, 'must be an Ed25519 private key in PEM form');
  }
}

type Listener = Pick<
  Config['server'],
  'bind_address' | 'tls_certificate_path' | 'tls_private_key_path' | 'allow_clear_text'
>;

function checkListener(listener: Listener, section: string, nameOf: NameOf): void {
  const name = (key: keyof Listener) => nameOf(`${section}.${key}`);
  const { tls_certificate_path: certificatePath, tls_private_key_path: keyPath } = listener;
  if (certificatePath !== undefined && keyPath === undefined) {
    throw configError(name('tls_private_key_path'), 'is missing; a certificate needs its private key');
  }
  if (certificatePath === undefined && keyPath !== undefined) {
    throw configError(name('tls_certificate_path'), 'is missing; a private key needs its certificate');
  }
  if (certificatePath !== undefined && keyPath !== undefined) {
    const certificate = certificateIn(certificatePath, name('tls_certificate_path'));
    const key = privateKey(keyPath, name('tls_private_key_path'));
    if (!certificate.checkPrivateKey(key)) {
      throw configError(name('tls_private_key_path'), 'must be the key of the certificate');
    }
    return;
  }
  if (!listener.allow_clear_text && !isLoopback(listener.bind_address)) {
    throw configError(
      name('bind_address'),
      `is not loopback, which needs TLS (${section}.tls_certificate_path) or ${section}.allow_clear_text = true`,
    );
  }
}

function isLoopback(address: string): boolean {
  if (isIP(address) === 4) return address.startsWith('127.');
  return address === 'localhost' || address === '::1';
}

function privateKey(path: string, name: string) {
  const pem = contentsOf(path, name);
  try {
    return createPrivateKey(pem);
  } catch {
    throw configError(name, `${path} holds no private key in PEM form`);
  }
}

function certificateIn(path: string, name: string): X509Certificate {
  const pem = contentsOf(path, name);
  try {
    return new X509Certificate(pem);
  } catch {
    throw configError(name, `${path} holds no certificate in PEM form`);
  }
}

function contentsOf(path: string, name: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw configError(name, `${path} cannot be read (${(error as NodeJS.ErrnoException).code})`);
  }
}
