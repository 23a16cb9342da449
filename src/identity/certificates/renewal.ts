import { randomBytes } from 'node:crypto';
import {
  type AgentCertificate,
  type RenewCertificateRequest,
  RenewCertificateRequestSchema,
  type TlsTrust,
} from '#gen/viworks/agent/v1/certificate_pb.js';
import type { NonceCache } from '../../bus/nonces.ts';
import { ViworksError } from '../../errors.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/logger.ts';
import { verifyBytes } from '../../protocol/keys.ts';
import { renewCertificateInput } from '../../protocol/signed.ts';
import { assertValid } from '../../protocol/validation.ts';
import { findAgentKeys } from '../../storage/agent-keys.ts';
import { findStanding } from '../../storage/agent-standing.ts';
import type { Database } from '../../storage/database.ts';
import type { Certificates } from './certificates.ts';

/**
 * The way back of an agent whose certificate is not good any more, or that has none: it signs a fresh challenge with
 * the key of its identity, which is what a session needs too. A certificate only adds to that key, and so nothing is
 * gained by whoever does not hold it.
 */
export interface CertificateRenewal {
  /** A nonce that is good once. @throws unavailable */
  challenge(): Promise<Uint8Array>;
  /** @throws authentication_failed with one indistinct message; certificates_off, invalid_request, rate_limited, database_unavailable */
  renew(
    request: RenewCertificateRequest,
    address?: string,
  ): Promise<{ certificate: AgentCertificate; tlsTrust?: TlsTrust }>;
}

export type RenewalRefusal = 'challenge_used' | 'key_unknown' | 'signature_wrong' | 'held';

export interface CertificateRenewalDeps {
  database: Database;
  nonces: NonceCache;
  certificates: Pick<Certificates, 'issueTo' | 'issues' | 'trust'>;
  clock: Clock;
  log: Logger;
  /** Told of every refusal beside the log. */
  onRefused?: (
    reason: RenewalRefusal,
    agent: { agentId: string; keyId: string; address: string | undefined },
  ) => void;
}

const nonceLifetimeMs = 30_000;

export function createCertificateRenewal(deps: CertificateRenewalDeps): CertificateRenewal {
  const { database, nonces, certificates, clock, log } = deps;

  function refuse(
    { agentId, keyId }: RenewCertificateRequest,
    address: string | undefined,
    reason: RenewalRefusal,
  ): never {
    log.warn({ agentId, keyId, address, reason }, 'an agent failed to authenticate for a certificate');
    deps.onRefused?.(reason, { agentId, keyId, address });
    throw new ViworksError('authentication_failed', 'The agent could not be authenticated.');
  }

  return {
    async challenge() {
      if (!certificates.issues)
        throw new ViworksError('certificates_off', 'This server does not issue certificates for agents.');
      const nonce = new Uint8Array(randomBytes(32));
      await nonces.issue(nonce, nonceLifetimeMs);
      return nonce;
    },
    async renew(request, address) {
      assertValid(RenewCertificateRequestSchema, request);
      const { agentId, incarnation, keyId, nonce, request: asked, signature } = request;
      // First of all, so that nothing that follows is tried twice with one challenge.
      if (!(await nonces.consume(nonce))) refuse(request, address, 'challenge_used');
      const name = { agentId, incarnation, keyId };
      const [key] = await findAgentKeys(database.query, [name], new Date(clock.now()));
      if (key === undefined) refuse(request, address, 'key_unknown');
      const input = renewCertificateInput(agentId, incarnation, nonce, asked);
      if (!verifyBytes(key.publicKey, input, signature)) refuse(request, address, 'signature_wrong');
      const standing = await findStanding(database.query, agentId, incarnation);
      if (standing === undefined || standing.held) refuse(request, address, 'held');
      const { message } = await certificates.issueTo({ agentId, incarnation }, asked, 'request');
      const { trust } = certificates;
      return { certificate: message, ...(trust === undefined ? {} : { tlsTrust: trust.message }) };
    },
  };
}
