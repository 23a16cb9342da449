import type { AgentCertificate, CertificateRequest } from '#gen/viworks/agent/v1/certificate_pb.js';
import { CertificateRequestSchema } from '#gen/viworks/agent/v1/certificate_pb.js';
import type { HelloOffer, Welcome } from '#gen/viworks/agent/v1/handshake_pb.js';
import type { Certificates } from '../identity/certificates/certificates.ts';
import type { AgentName } from '../protocol/certificates/agent-name.ts';
import type { ShownCertificate } from '../protocol/certificates/client-check.ts';
import { assertValid } from '../protocol/validation.ts';

/** Certificates of one agent, in its session. */
export interface SessionCertificates {
  /** Answers CERTIFICATE_REQUEST. @throws rate_limited, certificates_off, invalid_request, database_unavailable */
  request(request: CertificateRequest): Promise<AgentCertificate>;
  /** The agent has stored a trust document. */
  stored(version: bigint): void;
}

export type IssuingCertificates = Pick<
  Certificates,
  'trust' | 'issues' | 'onChange' | 'holds' | 'issueTo' | 'stored'
>;

/** @param holder has the certificate that counts for the session */
export function certificatesOf(
  certificates: IssuingCertificates,
  agent: AgentName,
  holder: { certificate: ShownCertificate | undefined },
): SessionCertificates {
  return {
    async request(message) {
      assertValid(CertificateRequestSchema, message, 'protocol_violation', 'certificate_request.');
      const issued = await certificates.issueTo(agent, message.request, 'certificate_request.request');
      holder.certificate = issued.certificate;
      return issued.message;
    },
    stored: (version) => certificates.stored(agent, version),
  };
}

/** What WELCOME says of certificates. */
export function certificateFacts(
  { trust, issues, stored }: IssuingCertificates,
  { agentId, incarnation, tlsTrustVersion: has }: HelloOffer,
): Partial<Pick<Welcome, 'tlsTrust' | 'issuesCertificates'>> {
  stored({ agentId, incarnation }, has);
  const missing = trust !== undefined && has !== trust.version;
  return { issuesCertificates: issues, ...(missing ? { tlsTrust: trust.message } : {}) };
}
