import { createPrivateKey } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { hostname, networkInterfaces } from 'node:os';
import type { Config } from '../../config/schema.ts';
import { agentTlsOf, clientCertificatesOf } from '../../config/tls.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/logger.ts';
import { readPin } from '../../protocol/certificates/pins.ts';
import { certificatesIn } from '../../protocol/certificates/x509.ts';
import type { ServerCertificateSource } from './server-certificate.ts';
import type { CertificateSettings } from './settings.ts';
import { openTlsFiles, type TlsFiles } from './tls-files.ts';

/** What the configuration says of certificates. @throws config_invalid where a file cannot be read */
export async function certificateSettings(
  config: Config,
  deps: { clock: Clock; log: Logger },
): Promise<CertificateSettings> {
  const { agent_management: agents, security } = config;
  return {
    clientCertificates: clientCertificatesOf(config),
    lifetimeMs: Math.round(agents.certificate_lifetime * 1000),
    trustDomain: security.trust_domain,
    server: await sourceOf(config, deps),
    backupPins: agents.backup_pins.flatMap((text) => readPin(text) ?? []),
    ownAuthorities: await ownAuthorities(security),
  };
}

/** A listener's certificate and key, where files have them. */
export async function configuredTls(
  section: { tls_certificate_path?: string | undefined; tls_private_key_path?: string | undefined },
  deps: { clock: Clock; log: Logger },
): Promise<TlsFiles | undefined> {
  const { tls_certificate_path: certificatePath, tls_private_key_path: keyPath } = section;
  if (certificatePath === undefined || keyPath === undefined) return undefined;
  return openTlsFiles({ certificatePath, keyPath, ...deps });
}

async function sourceOf(
  config: Config,
  deps: { clock: Clock; log: Logger },
): Promise<ServerCertificateSource> {
  const files = await configuredTls(config.agent_management, deps);
  if (files !== undefined) return { source: 'files', files };
  if (agentTlsOf(config) === 'none') return { source: 'none' };
  const { tls_names: names, bind_address: address } = config.agent_management;
  return { source: 'built-in', names: names.length > 0 ? names : namesOf(address) };
}

/** By what an agent may call a server that listens there. */
function namesOf(address: string): string[] {
  const everywhere = address === '0.0.0.0' || address === '::';
  const addresses = everywhere
    ? Object.values(networkInterfaces())
        .flatMap((found) => found ?? [])
        .filter((found) => !found.internal)
        .map((found) => found.address.replace(/%.*$/, ''))
    : [address];
  return [...new Set([hostname(), ...addresses, 'localhost', '127.0.0.1', '::1'])];
}

async function ownAuthorities({
  ca_certificate_path: certificatePath,
  ca_private_key_path: keyPath,
}: Config['security']): Promise<CertificateSettings['ownAuthorities']> {
  if (certificatePath === undefined) return undefined;
  return {
    certificates: certificatesIn(await readFile(certificatePath, 'utf8')),
    key: keyPath === undefined ? undefined : createPrivateKey(await readFile(keyPath, 'utf8')),
  };
}
