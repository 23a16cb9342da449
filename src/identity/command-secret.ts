import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';
import { type KeyPair, keyPairFromPem, keyPairToPem } from '../protocol/keys.ts';

/**
 * The command secret is what a copy of the database lacks: it opens the private keys that sign commands, and it
 * vouches for what was submitted. Each use has a key of its own, derived from it (HKDF-SHA-256, RFC 5869).
 */
export type CommandSecretUse = 'sealing' | 'binding';

export const commandSecretBytes = 32;

export const commandSecretKey = (secret: Uint8Array, use: CommandSecretUse): Buffer =>
  Buffer.from(hkdfSync('sha256', secret, Buffer.alloc(0), `viworks.command-secret.${use}.v1`, 32));

const nonceBytes = 12;
const tagBytes = 16;
const cipher = 'chacha20-poly1305';

/** The private key as it is stored: nonce, ciphertext, tag. Bound to its key id. */
export function sealPrivateKey(secret: Uint8Array, pair: KeyPair): Uint8Array {
  const nonce = randomBytes(nonceBytes);
  const sealing = createCipheriv(cipher, commandSecretKey(secret, 'sealing'), nonce, {
    authTagLength: tagBytes,
  });
  sealing.setAAD(Buffer.from(pair.keyId), { plaintextLength: 0 });
  const text = Buffer.concat([sealing.update(keyPairToPem(pair), 'utf8'), sealing.final()]);
  return Buffer.concat([nonce, text, sealing.getAuthTag()]);
}

/** Undefined where it was not sealed with this secret for this key. */
export function openPrivateKey(secret: Uint8Array, keyId: string, sealed: Uint8Array): KeyPair | undefined {
  if (sealed.byteLength < nonceBytes + tagBytes) return undefined;
  const opening = createDecipheriv(
    cipher,
    commandSecretKey(secret, 'sealing'),
    sealed.subarray(0, nonceBytes),
    { authTagLength: tagBytes },
  );
  opening.setAAD(Buffer.from(keyId), { plaintextLength: 0 });
  opening.setAuthTag(sealed.subarray(-tagBytes));
  try {
    const pem = Buffer.concat([opening.update(sealed.subarray(nonceBytes, -tagBytes)), opening.final()]);
    const pair = keyPairFromPem(pem.toString('utf8'));
    return pair.keyId === keyId ? pair : undefined;
  } catch {
    return undefined;
  }
}
