import type { X509Certificate } from 'node:crypto';
import { certificateIn, checkValidity, privateKey } from './certificate-files.ts';
import { configError, type NameOf } from './problem.ts';
import type { Config } from './schema.ts';
import { agentTlsOf, clientCertificatesOf } from './tls.ts';

/** Rules about certificates of agents, and the authority that issues them. */

/** @param now milliseconds since 1970 @throws config_invalid */
export function checkCertificates(config: Config, nameOf: NameOf, now: number): void {
  const { agent_management: agents, security } = config;
  const name = (key: keyof Config['agent_management']) => nameOf(`agent_management.${key}`);
  const tls = agentTlsOf(config);
  if (agents.built_in_tls === true) {
    for (const other of ['tls_certificate_path', 'allow_clear_text'] as const) {
      if (agents[other] === undefined || agents[other] === false) continue;
      throw configError(name('built_in_tls'), `contradicts ${name(other)}; leave one of them out`);
    }
  }
  if (tls === 'none' && clientCertificatesOf(config) !== 'off')
    throw configError(
      name('client_certificates'),
      'needs TLS that ends here: set agent_management.built_in_tls = true or agent_management.tls_certificate_path; ' +
        'what agents show to a proxy is not seen here',
    );
  if (tls === 'none' && agents.backup_pins.length > 0)
    throw configError(name('backup_pins'), 'needs TLS that ends here; without it there is no key to pin');
  if (tls !== 'built-in' && agents.tls_names.length > 0)
    throw configError(
      name('tls_names'),
      'is for agent_management.built_in_tls; the names in a file are its own',
    );
  checkAuthority(security, tls, nameOf, now);
}

function checkAuthority(
  { ca_certificate_path: certificatePath, ca_private_key_path: keyPath }: Config['security'],
  tls: ReturnType<typeof agentTlsOf>,
  nameOf: NameOf,
  now: number,
): void {
  const [certificateName, keyName] = [
    nameOf('security.ca_certificate_path'),
    nameOf('security.ca_private_key_path'),
  ];
  if (certificatePath === undefined) {
    if (keyPath === undefined) return;
    throw configError(certificateName, 'is missing; a private key needs its certificate');
  }
  const certificate: X509Certificate = certificateIn(certificatePath, certificateName);
  if (!certificate.ca)
    throw configError(certificateName, 'must be the certificate of an authority (basicConstraints CA:TRUE)');
  checkValidity(certificate, certificateName, now);
  if (keyPath === undefined) {
    if (tls !== 'built-in') return;
    throw configError(
      keyName,
      'is missing; without it this server cannot make the certificate of agent_management.built_in_tls',
    );
  }
  if (!certificate.checkPrivateKey(privateKey(keyPath, keyName)))
    throw configError(keyName, 'must be the key of the first certificate in security.ca_certificate_path');
}
