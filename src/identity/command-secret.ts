import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';
import { type KeyPair, keyPairFromPem, keyPairToPem } from '../protocol/keys.ts';

/**
 * The command secret is what a copy of the database lacks: it opens the private keys that sign commands and
 * certificates, and it vouches for what was submitted. Each use has a key of its own, derived from it (HKDF-SHA-256, RFC 5869).
 */
export type CommandSecretUse = 'sealing' | 'binding' | 'certificates';

export const commandSecretBytes = 32;

export const commandSecretKey = (secret: Uint8Array, use: CommandSecretUse): Buffer =>
  Buffer.from(hkdfSync('sha256', secret, Buffer.alloc(0), `viworks.command-secret.${use}.v1`, 32));

const nonceBytes = 12;
const tagBytes = 16;
const cipher = 'chacha20-poly1305';

/** Text as it is stored: nonce, ciphertext, tag. Bound to a name. */
export function sealText(secret: Uint8Array, use: CommandSecretUse, name: string, text: string): Uint8Array {
  const nonce = randomBytes(nonceBytes);
  const sealing = createCipheriv(cipher, commandSecretKey(secret, use), nonce, {
    authTagLength: tagBytes,
  });
  sealing.setAAD(Buffer.from(name), { plaintextLength: 0 });
  const sealed = Buffer.concat([sealing.update(text, 'utf8'), sealing.final()]);
  return Buffer.concat([nonce, sealed, sealing.getAuthTag()]);
}

/** Undefined where it was not sealed with this secret for this use and name. */
export function openText(
  secret: Uint8Array,
  use: CommandSecretUse,
  name: string,
  sealed: Uint8Array,
): string | undefined {
  if (sealed.byteLength < nonceBytes + tagBytes) return undefined;
  const key = commandSecretKey(secret, use);
  const opening = createDecipheriv(cipher, key, sealed.subarray(0, nonceBytes), {
    authTagLength: tagBytes,
  });
  opening.setAAD(Buffer.from(name), { plaintextLength: 0 });
  opening.setAuthTag(sealed.subarray(-tagBytes));
  try {
    const text = Buffer.concat([opening.update(sealed.subarray(nonceBytes, -tagBytes)), opening.final()]);
    return text.toString('utf8');
  } catch {
    return undefined;
  }
}

/** The private key as it is stored. Bound to its key id. */
export const sealPrivateKey = (secret: Uint8Array, pair: KeyPair): Uint8Array =>
  sealText(secret, 'sealing', pair.keyId, keyPairToPem(pair));

/** Undefined where it was not sealed with this secret for this key. */
export function openPrivateKey(secret: Uint8Array, keyId: string, sealed: Uint8Array): KeyPair | undefined {
  const pem = openText(secret, 'sealing', keyId, sealed);
  if (pem === undefined) return undefined;
  try {
    const pair = keyPairFromPem(pem);
    return pair.keyId === keyId ? pair : undefined;
  } catch {
    return undefined;
  }
}
