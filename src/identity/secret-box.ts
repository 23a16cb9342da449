import { createHmac, createSecretKey, randomBytes } from 'node:crypto';
import { type KeyPair, keyPairFromPem, keyPairToPem } from '../protocol/keys.ts';
import { cipherKey, decrypt, derivation, encrypt, tagBytes } from '../protocol/sealing/primitives.ts';

/**
 * What one secret of this instance seals, and keys of their own for whatever else it is used for. The secret is what
 * a copy of the database lacks, and whoever writes into it.
 */
export interface SecretBox {
  /** 32 bytes that are for this use alone: of different uses none tells anything of another (HKDF-SHA-256). */
  keyFor(use: string): Uint8Array;
  /** Vouches for texts of that use (HMAC-SHA-256), 32 bytes. */
  macFor(use: string): (text: string) => Uint8Array;
  /**
   * As it is stored: nonce, ciphertext, tag (ChaCha20-Poly1305).
   * @param context what it belongs to, for example a key id: under another one it does not open
   */
  seal(context: string, content: Uint8Array): Uint8Array;
  /** Undefined where it was not sealed with this secret in this context. */
  open(context: string, sealed: Uint8Array): Uint8Array | undefined;
}

/** The least that a secret has. */
export const secretBytes = 32;

const nonceBytes = 12;
const noSalt = Buffer.alloc(0);

/** @param label names the secret, so that the same bytes in two places make different keys */
export function createSecretBox(secret: Uint8Array, label: string): SecretBox {
  const derive = derivation(secret, noSalt);
  const keyFor = (use: string) => derive(`viworks.${label}.${use}.v1`);
  const key = cipherKey(keyFor('sealing'));
  return {
    keyFor,
    macFor(use) {
      // With its bytes instead of a KeyObject each would take four times as long.
      const macKey = createSecretKey(keyFor(use));
      return (text) => createHmac('sha256', macKey).update(text).digest();
    },
    seal(context, content) {
      const nonce = randomBytes(nonceBytes);
      return Buffer.concat([nonce, encrypt(key, nonce, Buffer.from(context), content)]);
    },
    open(context, sealed) {
      if (sealed.byteLength < nonceBytes + tagBytes) return undefined;
      const nonce = sealed.subarray(0, nonceBytes);
      return decrypt(key, nonce, Buffer.from(context), sealed.subarray(nonceBytes));
    },
  };
}

/** Opens the keys that sign commands, and vouches for what was submitted. */
export const commandSecretBox = (secret: Uint8Array): SecretBox => createSecretBox(secret, 'command-secret');

/** Opens the keys that sign tokens, and vouches for service tokens. */
export const tokenSecretBox = (secret: Uint8Array): SecretBox => createSecretBox(secret, 'token-secret');

/** The private key as it is stored. Bound to its key id. */
export const sealPrivateKey = (box: SecretBox, pair: KeyPair): Uint8Array =>
  box.seal(pair.keyId, Buffer.from(keyPairToPem(pair)));

/** Undefined where it was not sealed with this secret for this key. */
export function openPrivateKey(box: SecretBox, keyId: string, sealed: Uint8Array): KeyPair | undefined {
  const pem = box.open(keyId, sealed);
  if (pem === undefined) return undefined;
  try {
    const pair = keyPairFromPem(Buffer.from(pem).toString('utf8'));
    return pair.keyId === keyId ? pair : undefined;
  } catch {
    return undefined;
  }
}
