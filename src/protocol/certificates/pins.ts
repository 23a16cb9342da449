import { createHash, type X509Certificate } from 'node:crypto';
import { sameBytes } from '../sealing/primitives.ts';

/** Pins: SHA-256 of a public key as SubjectPublicKeyInfo (RFC 7469, section 2.4), written `sha256/` and base64. */

export const pinBytes = 32;

export const pinOfSpki = (spki: Uint8Array): Uint8Array =>
  new Uint8Array(createHash('sha256').update(spki).digest());

export const pinOf = ({ publicKey }: X509Certificate): Uint8Array =>
  pinOfSpki(publicKey.export({ type: 'spki', format: 'der' }));

export const pinText = (pin: Uint8Array): string => `sha256/${Buffer.from(pin).toString('base64')}`;

/** Undefined where the text is no pin. */
export function readPin(text: string): Uint8Array | undefined {
  const [, base64 = ''] = /^sha256\/([A-Za-z0-9+/]{43}=)$/.exec(text) ?? [];
  const pin = new Uint8Array(Buffer.from(base64, 'base64'));
  return pin.byteLength === pinBytes ? pin : undefined;
}

export interface ServerCheck {
  /** Of the server's own certificate. */
  pin: Uint8Array;
  pins: readonly Uint8Array[];
  /** The pins are out of date: they can still show who the server is, but not that it is another. */
  expired: boolean;
  /** An authority that is believed vouches for the certificate, its times and its name. */
  vouchedFor: boolean;
}

/**
 * Whether a server is the one it should be. A pinned key is one that the server's identity key vouched for by name:
 * nothing that an authority says makes it better, and so a chain that does not hold is no matter then.
 */
export function judgeServer({
  pin,
  pins,
  expired,
  vouchedFor,
}: ServerCheck): 'trusted' | 'wrong_pin' | 'untrusted' {
  if (pins.some((known) => sameBytes(known, pin))) return 'trusted';
  if (pins.length > 0 && !expired) return 'wrong_pin';
  return vouchedFor ? 'trusted' : 'untrusted';
}
