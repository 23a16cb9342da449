import { createPublicKey, type KeyObject } from 'node:crypto';

/**
 * Raw public keys of Ed25519 and X25519 (RFC 8410), 32 bytes, and the key objects of node:crypto. By way of text: of
 * a buffer, node:crypto finds out by an exception that it is no key object, and takes three times as long.
 */

export const rawKeyBytes = 32;

/** What comes before a raw key in its SPKI form, in base64. */
const spkiHead = { ed25519: 'MCowBQYDK2VwAyEA', x25519: 'MCowBQYDK2VuAyEA' };

/** @param raw 32 bytes */
export function publicKeyOf(curve: keyof typeof spkiHead, raw: Uint8Array): KeyObject {
  const base64 = Buffer.from(raw.buffer, raw.byteOffset, raw.byteLength).toString('base64');
  return createPublicKey(
    `-----BEGIN PUBLIC KEY-----\n${spkiHead[curve]}${base64}\n-----END PUBLIC KEY-----\n`,
  );
}

/** @param key of either half */
export function rawPublicKey(key: KeyObject): Uint8Array {
  const { x = '' } = (key.type === 'private' ? createPublicKey(key) : key).export({ format: 'jwk' });
  return new Uint8Array(Buffer.from(x, 'base64url'));
}
