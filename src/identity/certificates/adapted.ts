import { X509Certificate } from 'node:crypto';
import { pinOf, pinText } from '../../protocol/certificates/pins.ts';
import type { TrustDocument, TrustedAuthority } from '../../protocol/certificates/trust-document.ts';
import { certificateIdOf } from '../../protocol/certificates/x509.ts';
import { newAuthority, newServerKey } from './authorities.ts';
import type { CertificateSettings } from './settings.ts';
import type { NamedKey, Trust } from './trust.ts';
import { changed, ownAuthorities, sameAuthorities, samePins } from './trust-changes.ts';

/**
 * What the trust document is to have by the configuration. Nothing here reads a clock or changes anything; what is new
 * comes with its keys, and what an operator should know is said beside it.
 */
export interface Adapted {
  document: TrustDocument;
  made: readonly NamedKey[];
  notices: readonly Notice[];
}

export interface Notice {
  level: 'warn' | 'error';
  text: string;
}

type Wanted = Pick<CertificateSettings, 'trustDomain' | 'server' | 'backupPins' | 'ownAuthorities'>;
type KeyOf = Trust['keyOf'];

/** Undefined where the document has it already. @param now milliseconds since 1970 */
export function adapted(
  settings: Wanted,
  document: TrustDocument,
  now: number,
  keyOf: KeyOf,
): Adapted | undefined {
  const theirs = authoritiesFor(settings, document.authorities, now, keyOf);
  const pins = pinsFor(settings, document.pins, keyOf);
  if (sameAuthorities(theirs.wanted, document.authorities) && samePins(pins.wanted, document.pins))
    return undefined;
  const notices = [...theirs.notices, ...pins.notices];
  const [primary] = pins.wanted;
  if (primary !== undefined && !isKnown(document.pins, primary))
    notices.push({
      level: 'error',
      text: `agents do not know the key ${pinText(primary)}: announce it in agent_management.backup_pins before it is used`,
    });
  return {
    document: changed(document, { authorities: theirs.wanted, pins: pins.wanted }, now),
    made: [...theirs.made, ...pins.made],
    notices,
  };
}

/** The pin of a certificate of files that none of the document's pins announced; undefined where that is in order. */
export function unannounced(
  certificate: X509Certificate,
  { pins }: Pick<TrustDocument, 'pins'>,
): string | undefined {
  const pin = pinOf(certificate);
  return isKnown(pins, pin) ? undefined : pinText(pin);
}

interface Part<T> {
  wanted: readonly T[];
  made: readonly NamedKey[];
  notices: readonly Notice[];
}

const asItIs = <T>(wanted: readonly T[]): Part<T> => ({ wanted, made: [], notices: [] });

/** Where nothing is pinned, every key will do. */
const isKnown = (pins: readonly Uint8Array[], pin: Uint8Array): boolean =>
  pins.length === 0 || pins.some((known) => pinText(known) === pinText(pin));

function authoritiesFor(
  { ownAuthorities: own, trustDomain }: Wanted,
  present: readonly TrustedAuthority[],
  now: number,
  keyOf: KeyOf,
): Part<TrustedAuthority> {
  if (own !== undefined) return asItIs(ownAuthorities(own.certificates));
  const active = present.find(({ state }) => state === 'active');
  if (active !== undefined && keyOf(certificateIdOf(active.certificate)) !== undefined)
    return asItIs(present);
  // What the one before issued stays good.
  const before = present.map((one) => ({ ...one, state: 'retiring' as const }));
  const { certificate, made } = newAuthority(trustDomain, now);
  return {
    wanted: [...before, { certificate, state: 'active' as const }],
    made: [made],
    notices:
      active === undefined
        ? []
        : [{ level: 'error', text: 'the key of the authority cannot be opened; another one is made' }],
  };
}

/** Where this server makes its certificate, the first two are its keys. */
function pinsFor(
  { server, backupPins }: Wanted,
  present: readonly Uint8Array[],
  keyOf: KeyOf,
): Part<Uint8Array> {
  const further = (pins: readonly Uint8Array[]) =>
    backupPins.filter((pin) => !pins.some((known) => pinText(known) === pinText(pin)));
  if (server.source === 'none') return asItIs(present);
  if (server.source === 'files') {
    const pin = pinOf(new X509Certificate(server.files.current.cert));
    const others = further([pin]);
    if (others.length > 0) return asItIs([pin, ...others]);
    const text = 'agents pin the server no more: agent_management.backup_pins names no key that may follow';
    return { ...asItIs([]), notices: present.length > 0 ? [{ level: 'warn', text }] : [] };
  }
  const [primary, backup] = present;
  if (primary !== undefined && backup !== undefined && keyOf(pinText(primary)) !== undefined) {
    const keys = keyOf(pinText(backup)) === undefined ? [newServerKey()] : [];
    const pins = [primary, keys[0]?.pin ?? backup];
    return { ...asItIs([...pins, ...further(pins)]), made: keys.map(({ made }) => made) };
  }
  const keys = [newServerKey(), newServerKey()];
  const pins = keys.map(({ pin }) => pin);
  return { ...asItIs([...pins, ...further(pins)]), made: keys.map(({ made }) => made) };
}
