import { expect, test } from 'vitest';
import { said } from '../../../test/support/sealed-pair.ts';
import { ephemeralFromSeed, newEphemeral } from './primitives.ts';
import { sessionSecrets } from './secrets.ts';

test('both ends make the same secrets, another transcript or another key makes others', () => {
  const [one, two, three] = [newEphemeral(), newEphemeral(), newEphemeral()];
  const ours = sessionSecrets(one.agree(two.publicKey), said);
  expect(sessionSecrets(two.agree(one.publicKey), said)).toEqual(ours);
  const values = (secrets: typeof ours) =>
    [...Object.values(secrets.chains), ...Object.values(secrets.confirmations)].map((bytes) =>
      Buffer.from(bytes).toString('hex'),
    );
  const all = values(ours);
  for (const part of Object.keys(said)) {
    all.push(...values(sessionSecrets(one.agree(two.publicKey), { ...said, [part]: Uint8Array.of(9) })));
  }
  all.push(...values(sessionSecrets(three.agree(two.publicKey), said)));
  expect(new Set(all).size).toBe(all.length);
});

test.each([
  ['zero', new Uint8Array(32)],
  ['one', Uint8Array.from({ length: 32 }, (_, n) => (n === 0 ? 1 : 0))],
  ['of order eight', Buffer.from('e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800', 'hex')],
  ['too short', new Uint8Array(31)],
  ['too long', new Uint8Array(33)],
])('a public key that is %s is none', (_, key) => {
  expect(() => newEphemeral().agree(key)).toThrow(expect.objectContaining({ code: 'protocol_violation' }));
});

test('the agreement is that of RFC 7748, section 5.2', () => {
  const hex = (text: string) => new Uint8Array(Buffer.from(text, 'hex'));
  const own = ephemeralFromSeed(hex('a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4'));
  const peer = hex('e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c');
  expect(Buffer.from(own.agree(peer)).toString('hex')).toBe(
    'c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552',
  );
});
