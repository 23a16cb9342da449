import { createCipheriv, hkdfSync } from 'node:crypto';
import { expect, test } from 'vitest';
import { generateKeyPair, keyPairToPem } from '../protocol/keys.ts';
import {
  commandSecretBox,
  createSecretBox,
  openPrivateKey,
  sealPrivateKey,
  tokenSecretBox,
} from './secret-box.ts';

const secret = new Uint8Array(32).fill(5);
const box = createSecretBox(secret, 'test-secret');
const content = Uint8Array.of(1, 2, 3);

test('what is sealed opens with the same secret, label and context', () => {
  const sealed = box.seal('one', content);
  expect(createSecretBox(secret, 'test-secret').open('one', sealed)).toEqual(Buffer.from(content));
  expect(box.open('other', sealed)).toBeUndefined();
  expect(createSecretBox(secret, 'other-secret').open('one', sealed)).toBeUndefined();
  expect(createSecretBox(new Uint8Array(32), 'test-secret').open('one', sealed)).toBeUndefined();
  expect(box.seal('one', content)).not.toEqual(sealed);
});

test('what was changed or cut does not open', () => {
  const sealed = box.seal('one', content);
  for (let at = 0; at < sealed.byteLength; at += 1) {
    const changed = Uint8Array.from(sealed, (byte, index) => (index === at ? byte ^ 1 : byte));
    expect(box.open('one', changed)).toBeUndefined();
    expect(box.open('one', sealed.subarray(0, at))).toBeUndefined();
  }
});

test('each use has a key and a code of its own', () => {
  expect(box.keyFor('one')).toEqual(box.keyFor('one'));
  expect(box.keyFor('one')).not.toEqual(box.keyFor('other'));
  expect(box.macFor('one')('text')).toEqual(box.macFor('one')('text'));
  expect(box.macFor('one')('text')).not.toEqual(box.macFor('other')('text'));
});

test('a private key opens as the key that it is, and as no other', () => {
  const pair = generateKeyPair();
  const sealed = sealPrivateKey(box, pair);
  expect(openPrivateKey(box, pair.keyId, sealed)?.publicKey).toEqual(pair.publicKey);
  expect(openPrivateKey(box, generateKeyPair().keyId, sealed)).toBeUndefined();
  expect(openPrivateKey(box, 'none', box.seal('none', Buffer.from('no key')))).toBeUndefined();
});

/** What databases hold must be readable for as long as there are any. */
test.each([
  ['command-secret', commandSecretBox],
  ['token-secret', tokenSecretBox],
] as const)('the stored form under the %s stays as it is', (label, boxOf) => {
  const pair = generateKeyPair();
  const key = Buffer.from(hkdfSync('sha256', secret, Buffer.alloc(0), `viworks.${label}.sealing.v1`, 32));
  const nonce = Buffer.alloc(12, 9);
  const cipher = createCipheriv('chacha20-poly1305', key, nonce, { authTagLength: 16 });
  cipher.setAAD(Buffer.from(pair.keyId), { plaintextLength: 0 });
  const text = Buffer.concat([cipher.update(keyPairToPem(pair), 'utf8'), cipher.final()]);
  const stored = Buffer.concat([nonce, text, cipher.getAuthTag()]);
  expect(openPrivateKey(boxOf(secret), pair.keyId, stored)?.publicKey).toEqual(pair.publicKey);
});
