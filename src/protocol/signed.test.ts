import fc from 'fast-check';
import { expect, test } from 'vitest';
import { generateKeyPair, keyIdOf, keyPairFromPem, keyPairToPem, signBytes, verifyBytes } from './keys.ts';
import { challengeInput, enrollInput, proofInput, signedInput } from './signed.ts';

const part = fc.uint8Array({ maxLength: 40 });
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

/** Takes a signed input apart again, as only its own lengths say. */
function partsOf(input: Uint8Array): string[] {
  const view = new DataView(input.buffer, input.byteOffset, input.byteLength);
  const parts: string[] = [];
  for (let at = 0; at < input.length; ) {
    const length = view.getUint32(at);
    parts.push(hex(input.subarray(at + 4, at + 4 + length)));
    at += 4 + length;
  }
  return parts;
}

test('a signed input can be taken apart in one way only, so no two have the same bytes', () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 20 }), fc.array(part, { maxLength: 6 }), (domain, parts) => {
      expect(partsOf(signedInput(domain, ...parts))).toEqual([Buffer.from(domain), ...parts].map(hex));
    }),
  );
});

test('lengths are four bytes, big endian', () => {
  expect(hex(signedInput('a', Uint8Array.of(), Uint8Array.of(1, 2)))).toBe('000000016100000000000000020102');
});

test('each input names its purpose and holds its parts in order', () => {
  const [offer, terms, signature, statement] = [1, 2, 3, 4].map((byte) => Uint8Array.of(byte));
  if (!offer || !terms || !signature || !statement) throw new Error('four parts');
  const domain = (name: string) => hex(Buffer.from(name));
  expect(partsOf(challengeInput(offer, terms))).toEqual([
    domain('viworks.handshake.challenge.v1'),
    '01',
    '02',
  ]);
  expect(partsOf(proofInput(offer, terms, signature, statement))).toEqual([
    domain('viworks.handshake.proof.v1'),
    '01',
    '02',
    '03',
    '04',
  ]);
  expect(partsOf(enrollInput('t', 'a', Uint8Array.of(9)))).toEqual([
    domain('viworks.enroll.v1'),
    domain('t'),
    domain('a'),
    '09',
  ]);
});

test('a signature holds for its bytes and its key alone', () => {
  const [own, other] = [generateKeyPair(), generateKeyPair()];
  const property = fc.property(fc.uint8Array({ minLength: 1, maxLength: 200 }), fc.nat(), (bytes, where) => {
    const signature = signBytes(own, bytes);
    expect(verifyBytes(own.publicKey, bytes, signature)).toBe(true);
    expect(verifyBytes(other.publicKey, bytes, signature)).toBe(false);
    const altered = Uint8Array.from(bytes);
    altered[where % bytes.length] = (altered[where % bytes.length] ?? 0) ^ 1;
    expect(verifyBytes(own.publicKey, altered, signature)).toBe(false);
    const forged = Uint8Array.from(signature);
    forged[where % 64] = (forged[where % 64] ?? 0) ^ 1;
    expect(verifyBytes(own.publicKey, bytes, forged)).toBe(false);
  });
  fc.assert(property, { numRuns: 30 });
});

test('keys and signatures of a wrong length are refused, never an exception', () => {
  const pair = generateKeyPair();
  const bytes = Uint8Array.of(1);
  const signature = signBytes(pair, bytes);
  fc.assert(
    fc.property(part, part, (key, forged) => {
      expect(verifyBytes(key, bytes, signature)).toBe(false);
      expect(verifyBytes(pair.publicKey, bytes, forged)).toBe(false);
    }),
  );
  expect(verifyBytes(new Uint8Array(32), bytes, signature)).toBe(false);
});

test('a key keeps its name through its PEM form; other kinds of keys are refused', () => {
  const pair = generateKeyPair();
  const again = keyPairFromPem(keyPairToPem(pair));
  expect(again.keyId).toBe(pair.keyId);
  expect(hex(again.publicKey)).toBe(hex(pair.publicKey));
  expect(keyIdOf(pair.publicKey)).toMatch(/^[0-9a-f]{32}$/);
  expect(() => keyPairFromPem(x25519Pem)).toThrow('must be an Ed25519 private key');
});

/** Any X25519 key. */
const x25519Pem = `-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VuBCIEIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f
-----END PRIVATE KEY-----`;
