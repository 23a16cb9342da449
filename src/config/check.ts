import { isLoopback } from '../lib/addresses.ts';
import { certificateIn, checkValidity, privateKey } from './certificate-files.ts';
import { checkCertificates } from './check-certificates.ts';
import { configError, type NameOf } from './problem.ts';
import { checkProduction } from './production.ts';
import type { Config } from './schema.ts';
import { weaknessOf } from './secrets.ts';
import { agentTlsOf } from './tls.ts';

/** Rules between settings, and what the files they name must contain. */

/** @param now milliseconds since 1970 @throws config_invalid */
export function checkRules(config: Config, nameOf: NameOf, now: number): void {
  checkListener(config.server, 'server', nameOf, now);
  checkListener(config.agent_management, 'agent_management', nameOf, now, agentTlsOf(config) === 'built-in');
  checkCertificates(config, nameOf, now);
  const { server, agent_management: agents, database, redis, security, telemetry } = config;
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
  if (telemetry.rollup_retention < telemetry.retention) {
    throw configError(
      nameOf('telemetry.rollup_retention'),
      `must not be less than ${nameOf('telemetry.retention')}`,
    );
  }
  if (security.jwt_secret !== undefined) {
    const weakness = weaknessOf(security.jwt_secret);
    if (weakness !== undefined) throw configError(nameOf('security.jwt_secret'), weakness);
  }
  checkIssuer(security, nameOf);
  if (security.backend_private_key_path !== undefined) {
    const name = nameOf('security.backend_private_key_path');
    const key = privateKey(security.backend_private_key_path, name);
    if (key.asymmetricKeyType !== 'ed25519')
      throw configError(name, 'must be an Ed25519 private key in PEM form');
  }
  if (server.mode === 'production') checkProduction(config, nameOf);
}

/** Of another issuer all is known, or nothing. */
function checkIssuer(security: Config['security'], nameOf: NameOf): void {
  const { jwt_issuer: issuer, jwt_audience: audience, jwks_url: url } = security;
  for (const [key, value] of Object.entries({ jwt_issuer: issuer, jwt_audience: audience, jwks_url: url })) {
    if (value === undefined && (issuer ?? audience ?? url) !== undefined) {
      const problem = 'is missing; another issuer needs jwt_issuer, jwt_audience and jwks_url';
      throw configError(nameOf(`security.${key}`), problem);
    }
  }
  if (issuer === 'viworks')
    throw configError(nameOf('security.jwt_issuer'), 'must not be viworks, the name of our own');
  if (url?.startsWith('http:') && !isLoopback(new URL(url).hostname))
    throw configError(
      nameOf('security.jwks_url'),
      'must be https: who changes the keys on their way is anybody',
    );
}

type Listener = Pick<
  Config['server'],
  'bind_address' | 'tls_certificate_path' | 'tls_private_key_path' | 'allow_clear_text'
>;

function checkListener(
  listener: Listener,
  section: string,
  nameOf: NameOf,
  now: number,
  builtInTls = false,
): void {
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
    if (listener.allow_clear_text) {
      throw configError(
        name('allow_clear_text'),
        `contradicts ${name('tls_certificate_path')}; leave one of them out`,
      );
    }
    checkValidity(certificate, name('tls_certificate_path'), now);
    const key = privateKey(keyPath, name('tls_private_key_path'));
    if (!certificate.checkPrivateKey(key)) {
      throw configError(name('tls_private_key_path'), 'must be the key of the certificate');
    }
    return;
  }
  if (!builtInTls && !listener.allow_clear_text && !isLoopback(listener.bind_address)) {
    throw configError(
      name('bind_address'),
      `is not loopback, which needs TLS (${section}.tls_certificate_path) or ${section}.allow_clear_text = true`,
    );
  }
}
