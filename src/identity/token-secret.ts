import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomBytes } from 'node:crypto';
import { type KeyPair, keyPairFromPem, keyPairToPem } from '../protocol/keys.ts';

/**
 * The token secret is what a copy of the database lacks, and whoever writes into it: it opens the private keys that
 * sign tokens, and vouches for service tokens. Each use has a key of its own, derived from it (HKDF-SHA-256).
 */
export interface TokenSecret {
  /** The private key as it is stored: nonce, ciphertext, tag. Bound to its key id. */
  seal(pair: KeyPair): Uint8Array;
  /** Undefined where it was not sealed with this secret for this key. */
  open(keyId: string, sealed: Uint8Array): KeyPair | undefined;
  /** What a token is found by. */
  hashOf(token: string): Uint8Array;
  /** Vouches for a text: what a service token may. */
  vouch(text: string): Uint8Array;
}

export const tokenSecretBytes = 32;
const nonceBytes = 12;
const tagBytes = 16;
const cipher = 'chacha20-poly1305';
const cipherOptions = { authTagLength: tagBytes };

export function createTokenSecret(secret: Uint8Array): TokenSecret {
  const keyFor = (use: string) =>
    Buffer.from(hkdfSync('sha256', secret, Buffer.alloc(0), `viworks.token-secret.${use}.v1`, 32));
  const [sealing, hashing, vouching] = [keyFor('sealing'), keyFor('hashing'), keyFor('vouching')];
  const hmac = (key: Buffer, text: string) => createHmac('sha256', key).update(text).digest();
  return {
    seal(pair) {
      const nonce = randomBytes(nonceBytes);
      const sealer = createCipheriv(cipher, sealing, nonce, cipherOptions);
      sealer.setAAD(Buffer.from(pair.keyId), { plaintextLength: 0 });
      const text = Buffer.concat([sealer.update(keyPairToPem(pair), 'utf8'), sealer.final()]);
      return Buffer.concat([nonce, text, sealer.getAuthTag()]);
    },
    open(keyId, sealed) {
      if (sealed.byteLength < nonceBytes + tagBytes) return undefined;
      const opener = createDecipheriv(cipher, sealing, sealed.subarray(0, nonceBytes), cipherOptions);
      opener.setAAD(Buffer.from(keyId), { plaintextLength: 0 });
      opener.setAuthTag(sealed.subarray(-tagBytes));
      try {
        const pem = Buffer.concat([opener.update(sealed.subarray(nonceBytes, -tagBytes)), opener.final()]);
        const pair = keyPairFromPem(pem.toString('utf8'));
        return pair.keyId === keyId ? pair : undefined;
      } catch {
        return undefined;
      }
    },
    hashOf: (token) => hmac(hashing, token),
    vouch: (text) => hmac(vouching, text),
  };
}
