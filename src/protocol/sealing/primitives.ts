import {
  createCipheriv,
  createDecipheriv,
  createPrivateKey,
  createSecretKey,
  diffieHellman,
  generateKeyPairSync,
  hash,
  hkdfSync,
  type KeyObject,
  timingSafeEqual,
} from 'node:crypto';
import { ViworksError } from '../../errors.ts';
import { publicKeyOf, rawKeyBytes, rawPublicKey } from '../raw-keys.ts';

/**
 * The one suite of sealed envelopes: X25519 (RFC 7748), HKDF-SHA-256 (RFC 5869), ChaCha20-Poly1305 (RFC 8439). There
 * is no choice of another. Nothing else of sealing knows of node:crypto.
 */

/** PKCS#8 wraps the raw key in a constant prefix (RFC 8410). */
const pkcs8Prefix = Buffer.from('302e020100300506032b656e04220420', 'hex');

export const publicKeyBytes = rawKeyBytes;
export const tagBytes = 16;
const keyBytes = 32;

/** A key pair of one agreement. The private half stays in here and goes with it. */
export interface Ephemeral {
  /** Raw X25519 public key, 32 bytes. */
  readonly publicKey: Uint8Array;
  /** The shared value. @throws protocol_violation where the peer's key is none, or one that makes it guessable */
  agree(peerKey: Uint8Array): Uint8Array;
}

export function newEphemeral(): Ephemeral {
  return ephemeralOf(generateKeyPairSync('x25519').privateKey);
}

/** @param seed the raw private key, 32 bytes */
export function ephemeralFromSeed(seed: Uint8Array): Ephemeral {
  const key = Buffer.concat([pkcs8Prefix, seed]);
  return ephemeralOf(createPrivateKey({ key, format: 'der', type: 'pkcs8' }));
}

function ephemeralOf(privateKey: KeyObject): Ephemeral {
  return {
    publicKey: rawPublicKey(privateKey),
    agree(peerKey) {
      if (peerKey.byteLength !== publicKeyBytes) throw noKey();
      try {
        // Points of small order end in an error here, as RFC 7748 section 6.1 asks for.
        return diffieHellman({ privateKey, publicKey: publicKeyOf('x25519', peerKey) });
      } catch (cause) {
        throw noKey(cause);
      }
    },
  };
}

const noKey = (cause?: unknown) =>
  new ViworksError('protocol_violation', 'ephemeral_key: is not an X25519 public key.', { cause });

/** What keys are derived from: HKDF-SHA-256, 32 bytes each, one for each use. */
export type Derivation = (info: string) => Uint8Array;

export function derivation(ikm: Uint8Array, salt: Uint8Array): Derivation {
  // With its bytes instead of a KeyObject each would take twice as long.
  const key = createSecretKey(ikm);
  return (info) => new Uint8Array(hkdfSync('sha256', key, salt, info, keyBytes));
}

export function digest(bytes: Uint8Array): Uint8Array {
  return hash('sha256', bytes, 'buffer');
}

/** Compares in a time that tells nothing of where they differ. */
export function sameBytes(one: Uint8Array, other: Uint8Array): boolean {
  return one.byteLength === other.byteLength && timingSafeEqual(one, other);
}

/** A KeyObject and not its bytes: with these each frame would take four times as long. */
export function cipherKey(bytes: Uint8Array): KeyObject {
  return createSecretKey(bytes);
}

const algorithm = 'chacha20-poly1305';
const cipherOptions = { authTagLength: tagBytes };

/** The ciphertext with its tag at the end. */
export function encrypt(key: KeyObject, nonce: Uint8Array, aad: Uint8Array, plaintext: Uint8Array): Buffer {
  const cipher = createCipheriv(algorithm, key, nonce, cipherOptions);
  cipher.setAAD(aad, { plaintextLength: plaintext.byteLength });
  const text = cipher.update(plaintext);
  cipher.final();
  return Buffer.concat([text, cipher.getAuthTag()]);
}

/** Undefined where the tag is wrong. */
export function decrypt(
  key: KeyObject,
  nonce: Uint8Array,
  aad: Uint8Array,
  sealed: Uint8Array,
): Buffer | undefined {
  const length = sealed.byteLength - tagBytes;
  if (length < 0) return undefined;
  const decipher = createDecipheriv(algorithm, key, nonce, cipherOptions);
  decipher.setAAD(aad, { plaintextLength: length });
  decipher.setAuthTag(sealed.subarray(length));
  const text = decipher.update(sealed.subarray(0, length));
  try {
    decipher.final();
    return text;
  } catch {
    return undefined;
  }
}
