import { X509Certificate } from 'node:crypto';
import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/logger.ts';
import { pinOf, pinText } from '../../protocol/certificates/pins.ts';
import { certificateIdOf, chainPem, privateKeyPem } from '../../protocol/certificates/x509.ts';
import { sameBytes } from '../../protocol/sealing/primitives.ts';
import { issueFrom, issuerOf } from './authorities.ts';
import type { TlsFiles, TlsIdentity } from './tls-files.ts';
import type { Trust } from './trust.ts';
import type { ServerCertificate } from './types.ts';

/** The certificate of the agents' listener: of files, or made with the pinned key by our own authority. */
export interface ServerCertificates {
  /** What the listener shows; undefined where it speaks in clear text. */
  readonly current: TlsIdentity | undefined;
  readonly details: ServerCertificate | undefined;
  /** Makes a new one where the key, the authority or the time asks for it. True if it did. */
  renew(): boolean;
}

export type ServerCertificateSource =
  | { source: 'none' }
  | { source: 'files'; files: TlsFiles }
  | { source: 'built-in'; names: readonly string[] };

const lifetimeMs = 7 * 86_400_000;
const renewBeforeMs = lifetimeMs / 3;

export function createServerCertificates(
  source: ServerCertificateSource,
  { trust, clock, log }: { trust: Trust; clock: Clock; log: Logger },
): ServerCertificates {
  let made: (TlsIdentity & { authorityId: string; pin: Uint8Array; notAfter: number }) | undefined;

  function isGood(pin: Uint8Array, authorityId: string): boolean {
    if (made === undefined || made.authorityId !== authorityId || !sameBytes(made.pin, pin)) return false;
    return made.notAfter - clock.now() > renewBeforeMs;
  }

  function renew(): boolean {
    if (source.source !== 'built-in') return false;
    const { document } = trust;
    const [pin] = document.pins;
    const key = pin && trust.keyOf(pinText(pin));
    const issuer = issuerOf(document, trust.keyOf);
    if (pin === undefined || key === undefined || issuer === undefined) return false;
    const terms = {
      subject: source.names[0] ?? 'viworks',
      publicKey: key,
      use: 'server' as const,
      names: source.names,
      lifetimeMs,
    };
    const authority = new Uint8Array(issuer.certificate.raw);
    const authorityId = certificateIdOf(authority);
    if (isGood(pin, authorityId)) return false;
    const { certificate, notAfter } = issueFrom(issuer, terms, clock.now());
    made = {
      cert: chainPem([certificate, authority]),
      key: privateKeyPem(key),
      authorityId,
      pin,
      notAfter,
    };
    log.info(
      { until: new Date(notAfter), pin: pinText(pin) },
      'the server has a new certificate for its agents',
    );
    return true;
  }

  const current = () => (source.source === 'files' ? source.files.current : made);

  return {
    get current() {
      const found = current();
      return found && { cert: found.cert, key: found.key };
    },
    get details() {
      const found = current();
      if (found === undefined) return undefined;
      const certificate = new X509Certificate(found.cert);
      return {
        source: source.source === 'files' ? ('files' as const) : ('built-in' as const),
        serial: certificate.serialNumber,
        notAfter: certificate.validToDate,
        pin: pinText(pinOf(certificate)),
        names: certificate.subjectAltName ?? '',
      };
    },
    renew,
  };
}
