import { ViworksError } from '../../errors.ts';
import { pinText } from '../../protocol/certificates/pins.ts';
import type { TrustDocument, TrustedAuthority } from '../../protocol/certificates/trust-document.ts';
import { certificateIdOf } from '../../protocol/certificates/x509.ts';
import { sameBytes } from '../../protocol/sealing/primitives.ts';

/**
 * What becomes of the trust document: pure functions. An authority is prepared, so that every agent knows it; then it
 * issues, and the one before is retiring; then that one is taken out. Times are milliseconds since 1970.
 */

export const noTrust: TrustDocument = { version: 0, issuedAt: 0, expiresAt: 0, authorities: [], pins: [] };

/** How long a document is good for, and how long before its end another one takes its place. */
export const documentLifetimeMs = 30 * 86_400_000;
const refreshBeforeMs = (documentLifetimeMs * 2) / 3;

type Parts = Partial<Pick<TrustDocument, 'authorities' | 'pins'>>;

/** By the clock, so that a document made after a restore of an old database is newer than what agents have seen. */
export function changed(document: TrustDocument, parts: Parts, now: number): TrustDocument {
  const at = Math.floor(now);
  return {
    ...document,
    ...parts,
    version: Math.max(document.version + 1, at),
    issuedAt: at,
    expiresAt: at + documentLifetimeMs,
  };
}

/** It is time for the same one with later times. */
export const isOld = ({ version, expiresAt }: TrustDocument, now: number): boolean =>
  version > 0 && expiresAt - now < refreshBeforeMs;

export const activeAuthority = ({ authorities }: TrustDocument): TrustedAuthority | undefined =>
  authorities.find(({ state }) => state === 'active');

export const retiringAuthorities = ({ authorities }: TrustDocument): TrustedAuthority[] =>
  authorities.filter(({ state }) => state === 'retiring');

/** Adds an authority that is to issue later. @throws certificate_state */
export function prepared(document: TrustDocument, certificate: Uint8Array, now: number): TrustDocument {
  if (document.authorities.some(({ state }) => state === 'prepared'))
    throw new ViworksError(
      'certificate_state',
      'A new authority is prepared already; activate it, or drop it.',
    );
  if (retiringAuthorities(document).length > 0)
    throw new ViworksError('certificate_state', 'The authority before is still believed; retire it first.');
  return changed(
    document,
    { authorities: [...document.authorities, { certificate, state: 'prepared' }] },
    now,
  );
}

/** Takes out an authority that was to issue later. @throws certificate_state */
export function dropped(document: TrustDocument, now: number): TrustDocument {
  const authorities = document.authorities.filter(({ state }) => state !== 'prepared');
  if (authorities.length === document.authorities.length) throw nonePrepared();
  return changed(document, { authorities }, now);
}

/** The prepared authority issues from now on. @throws certificate_state */
export function activated(document: TrustDocument, now: number): TrustDocument {
  if (!document.authorities.some(({ state }) => state === 'prepared')) throw nonePrepared();
  const next = { prepared: 'active', active: 'retiring', retiring: 'retiring' } as const;
  const authorities = document.authorities.map((authority) => ({
    ...authority,
    state: next[authority.state],
  }));
  return changed(document, { authorities }, now);
}

/** Authorities that issue no more are not believed any more either. @throws certificate_state */
export function retired(document: TrustDocument, now: number): TrustDocument {
  if (retiringAuthorities(document).length === 0)
    throw new ViworksError('certificate_state', 'No authority is retiring; activate a new one first.');
  const authorities = document.authorities.filter(({ state }) => state !== 'retiring');
  return changed(document, { authorities }, now);
}

/** Of an operator's own authorities the first one issues; the others are believed. */
export function ownAuthorities(certificates: readonly Uint8Array[]): TrustedAuthority[] {
  return certificates.map((certificate, index) => ({
    certificate,
    state: index === 0 ? 'active' : 'retiring',
  }));
}

export function sameAuthorities(
  one: readonly TrustedAuthority[],
  other: readonly TrustedAuthority[],
): boolean {
  const names = (list: readonly TrustedAuthority[]) =>
    list.map(({ certificate, state }) => `${state} ${certificateIdOf(certificate)}`).join();
  return names(one) === names(other);
}

/** The names of keys in a document: ids of authorities, and pins. */
export const namesIn = ({ authorities, pins }: TrustDocument): string[] => [
  ...authorities.map(({ certificate }) => certificateIdOf(certificate)),
  ...pins.map((pin) => pinText(pin)),
];

/** For the audit log; what is the same in both is left out, so that one that is only issued again says nothing more. */
export function trustDifference(before: TrustDocument, after: TrustDocument): Record<string, unknown> {
  const known = namesIn(before);
  const left = namesIn(after);
  const active = ({ authorities }: TrustDocument) =>
    authorities.flatMap(({ certificate, state }) =>
      state === 'active' ? [certificateIdOf(certificate)] : [],
    );
  const [issuer] = active(after);
  const [pin] = after.pins;
  const [pinBefore] = before.pins;
  return {
    expiresAt: new Date(after.expiresAt).toISOString(),
    ...listed(
      'added',
      left.filter((name) => !known.includes(name)),
    ),
    ...listed(
      'removed',
      known.filter((name) => !left.includes(name)),
    ),
    ...(issuer === active(before)[0] ? {} : { issuer: issuer ?? 'none' }),
    ...(samePins(pin ? [pin] : [], pinBefore ? [pinBefore] : []) ? {} : { pin: pin ? pinText(pin) : 'none' }),
  };
}

const listed = (name: string, items: readonly string[]) => (items.length === 0 ? {} : { [name]: items });

export const samePins = (one: readonly Uint8Array[], other: readonly Uint8Array[]): boolean =>
  one.length === other.length && one.every((pin, index) => sameBytes(pin, other[index] ?? new Uint8Array()));

const nonePrepared = () =>
  new ViworksError('certificate_state', 'No authority is prepared; `viworks certs ca prepare` makes one.');
