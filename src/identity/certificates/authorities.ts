import { createHash, type KeyObject, X509Certificate } from 'node:crypto';
import { pinOfSpki, pinText } from '../../protocol/certificates/pins.ts';
import type { TrustDocument } from '../../protocol/certificates/trust-document.ts';
import {
  certificateIdOf,
  type Issuer,
  issueCertificate,
  makeAuthority,
  newTlsKey,
  spkiOf,
} from '../../protocol/certificates/x509.ts';
import type { NamedKey } from './trust.ts';
import { activeAuthority } from './trust-changes.ts';
import type { AuthorityStatus } from './types.ts';

/** What authorities make, and what is known of them. Times are milliseconds since 1970. */

const authorityLifetimeMs = 5 * 365 * 86_400_000;
/** For what another instance issues, whose clock is a little ahead. */
const earlierMs = 60_000;

/** A new authority of our own. */
export function newAuthority(trustDomain: string, now: number): { certificate: Uint8Array; made: NamedKey } {
  const key = newTlsKey();
  const year = new Date(now).getUTCFullYear();
  const terms = {
    subject: `ViWorkS authority of ${trustDomain} ${year}`,
    notBefore: now - earlierMs,
    notAfter: now + authorityLifetimeMs,
  };
  const certificate = makeAuthority(terms, key);
  return { certificate, made: { name: certificateIdOf(certificate), key } };
}

/** A new key of the server, by its pin. */
export function newServerKey(): { pin: Uint8Array; made: NamedKey } {
  const key = newTlsKey();
  const pin = pinOfSpki(spkiOf(key));
  return { pin, made: { name: pinText(pin), key } };
}

/** The authority that issues now, where its key is here. */
export function issuerOf(
  document: TrustDocument,
  keyOf: (name: string) => KeyObject | undefined,
): Issuer | undefined {
  const active = activeAuthority(document);
  const key = active && keyOf(certificateIdOf(active.certificate));
  if (active === undefined || key === undefined) return undefined;
  return { certificate: new X509Certificate(active.certificate), key };
}

export interface IssueTerms {
  subject: string;
  publicKey: KeyObject;
  use: 'client' | 'server';
  names: readonly string[];
  lifetimeMs: number;
}

export interface Issued {
  /** DER. */
  certificate: Uint8Array;
  serial: string;
  authorityId: string;
  issuedAt: number;
  notAfter: number;
}

/** Nothing outlives its authority. */
export function issueFrom(issuer: Issuer, { lifetimeMs, ...terms }: IssueTerms, now: number): Issued {
  const notAfter = Math.min(now + lifetimeMs, issuer.certificate.validToDate.getTime());
  const certificate = issueCertificate({ ...terms, notBefore: now - earlierMs, notAfter }, issuer);
  const made = new X509Certificate(certificate);
  return {
    certificate,
    serial: made.serialNumber,
    authorityId: certificateIdOf(new Uint8Array(issuer.certificate.raw)),
    issuedAt: now,
    notAfter: made.validToDate.getTime(),
  };
}

export function authorityStatus(
  { authorities }: TrustDocument,
  keyOf: (name: string) => KeyObject | undefined,
): AuthorityStatus[] {
  return authorities.map(({ certificate: der, state }) => {
    const certificate = new X509Certificate(der);
    const authorityId = certificateIdOf(der);
    return {
      authorityId,
      state,
      subject: certificate.subject.replaceAll('\n', ', '),
      notAfter: certificate.validToDate,
      fingerprint: createHash('sha256')
        .update(der)
        .digest('hex')
        .toUpperCase()
        .replace(/(..)(?=.)/g, '$1:'),
      certificate: der,
      hasKey: keyOf(authorityId) !== undefined,
    };
  });
}
