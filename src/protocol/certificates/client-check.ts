import { X509Certificate } from 'node:crypto';
import { type AgentName, readAgentUri } from './agent-name.ts';
import { certificateIdOf, isForClients, isInTime, isIssuedBy, urisOf } from './x509.ts';

/** What a certificate that an agent showed is worth: a pure decision. */

/** Why a certificate counts for nothing. */
export type CertificateProblem =
  | 'certificate_unreadable'
  | 'certificate_untrusted'
  | 'certificate_out_of_time'
  | 'certificate_wrong_use'
  | 'certificate_wrong_agent';

export interface ShownCertificate {
  /** The authority that issued it, see `certificateIdOf`. */
  authorityId: string;
  /** Upper-case hex. */
  serial: string;
  /** Milliseconds since 1970. */
  notAfter: number;
}

export interface ClientCheck {
  trustDomain: string;
  /** Those that are believed now. */
  authorities: readonly X509Certificate[];
  /** Milliseconds since 1970. */
  now: number;
}

/** Whoever shows it holds its private key: TLS has seen to that. */
export function checkClient(
  der: Uint8Array,
  agent: AgentName,
  { trustDomain, authorities, now }: ClientCheck,
): ShownCertificate | CertificateProblem {
  let certificate: X509Certificate;
  let uris: string[];
  try {
    certificate = new X509Certificate(der);
    uris = urisOf(der);
  } catch {
    return 'certificate_unreadable';
  }
  const issuer = authorities.find((authority) => isIssuedBy(certificate, authority));
  if (issuer === undefined || !isInTime(issuer, now)) return 'certificate_untrusted';
  if (!isInTime(certificate, now)) return 'certificate_out_of_time';
  if (certificate.ca || !isForClients(certificate)) return 'certificate_wrong_use';
  const [uri, ...more] = uris;
  const name = uri === undefined || more.length > 0 ? undefined : readAgentUri(trustDomain, uri);
  if (name?.agentId !== agent.agentId || name.incarnation !== agent.incarnation)
    return 'certificate_wrong_agent';
  return {
    authorityId: certificateIdOf(new Uint8Array(issuer.raw)),
    serial: certificate.serialNumber,
    notAfter: certificate.validToDate.getTime(),
  };
}
