import { createHash, createPrivateKey, generateKeyPairSync, type KeyObject, sign, verify } from 'node:crypto';
import { invalidField } from '../errors.ts';
import { publicKeyOf, rawKeyBytes, rawPublicKey } from './raw-keys.ts';

/** Ed25519 keys in the raw 32-byte form that travels, and signatures over exact bytes (RFC 8032). */

/** PKCS#8 wraps the raw key in a constant prefix (RFC 8410). */
const pkcs8Prefix = Buffer.from('302e020100300506032b657004220420', 'hex');

export interface KeyPair {
  keyId: string;
  publicKey: Uint8Array;
  privateKey: KeyObject;
}

/** The name of a public key: first 16 bytes of its SHA-256, lower-case hex. */
export function keyIdOf(publicKey: Uint8Array): string {
  return createHash('sha256').update(publicKey).digest('hex').slice(0, 32);
}

export function generateKeyPair(): KeyPair {
  return keyPairOf(generateKeyPairSync('ed25519').privateKey);
}

/** @param pem PKCS#8 */
export function keyPairFromPem(pem: string): KeyPair {
  return keyPairOf(createPrivateKey(pem));
}

/** @param seed the raw private key, 32 bytes */
export function keyPairFromSeed(seed: Uint8Array): KeyPair {
  return keyPairOf(
    createPrivateKey({ key: Buffer.concat([pkcs8Prefix, seed]), format: 'der', type: 'pkcs8' }),
  );
}

export function keyPairToPem(pair: KeyPair): string {
  return pair.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
}

function keyPairOf(privateKey: KeyObject): KeyPair {
  if (privateKey.asymmetricKeyType !== 'ed25519') throw invalidField('key', 'must be an Ed25519 private key');
  const publicKey = rawPublicKey(privateKey);
  return { keyId: keyIdOf(publicKey), publicKey, privateKey };
}

export function signBytes(pair: KeyPair, bytes: Uint8Array): Uint8Array {
  return sign(null, bytes, pair.privateKey);
}

/** @param publicKey raw, 32 bytes */
export function verifyBytes(publicKey: Uint8Array, bytes: Uint8Array, signature: Uint8Array): boolean {
  if (publicKey.byteLength !== rawKeyBytes || signature.byteLength !== 64) return false;
  return createVerifier(publicKey)(bytes, signature);
}

export type Verifier = (bytes: Uint8Array, signature: Uint8Array) => boolean;

/** For a key that is used often. @param publicKey raw, 32 bytes */
export function createVerifier(publicKey: Uint8Array): Verifier {
  const key = publicKeyOf('ed25519', publicKey);
  return (bytes, signature) => signature.byteLength === 64 && verify(null, bytes, key, signature);
}
