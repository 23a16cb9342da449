import fc from 'fast-check';
import { expect, test } from 'vitest';
import { generateKeyPair } from '../protocol/keys.ts';
import {
  activeKey,
  type KeySet,
  noKeys,
  readKeySet,
  rotated,
  stateOf,
  without,
  writeKeySet,
} from './command-key-set.ts';

const now = 1_800_000_000_000;
let made = 0;
const newKey = () => ({ keyId: `key-${++made}`, publicKey: new Uint8Array(32) });
const states = (set: KeySet, at: number) => set.keys.map((key) => stateOf(set, key, at));

test('a new key signs at once, and the one before is believed for the overlap', () => {
  const first = rotated(noKeys, newKey(), { activeFrom: now, overlapMs: 0 }, now);
  const second = rotated(first, newKey(), { activeFrom: now + 1, overlapMs: 1000 }, now + 1);
  expect(states(second, now + 1)).toEqual(['retired', 'active']);
  expect(second.keys[0]?.notAfter).toBe(now + 1001);
  expect(second.version).toBeGreaterThan(first.version);
});

test('a key that is to sign later is next until then', () => {
  const first = rotated(noKeys, newKey(), { activeFrom: now, overlapMs: 0 }, now);
  const second = rotated(first, newKey(), { activeFrom: now + 5000, overlapMs: 1000 }, now + 1);
  expect(states(second, now + 1)).toEqual(['active', 'next']);
  expect(states(second, now + 5000)).toEqual(['retired', 'active']);
  expect(activeKey(second, now + 6001)?.keyId).toBe(second.keys[1]?.keyId);
  // One that never signed is dropped by the next rotation.
  const third = rotated(second, newKey(), { activeFrom: now + 2, overlapMs: 1000 }, now + 2);
  expect(third.keys.map((key) => key.keyId)).not.toContain(second.keys[1]?.keyId);
});

test('to revoke the key that signs has the next one sign, and leaves nobody where there is none', () => {
  const first = rotated(noKeys, newKey(), { activeFrom: now, overlapMs: 0 }, now);
  const second = rotated(first, newKey(), { activeFrom: now + 5000, overlapMs: 1000 }, now + 1);
  const left = without(second, first.keys[0]?.keyId ?? '', now + 2);
  expect(states(left, now + 2)).toEqual(['active']);
  const none = without(left, left.keys[0]?.keyId ?? '', now + 3);
  expect(activeKey(none, now + 3)).toBeUndefined();
  expect(none.version).toBeGreaterThan(left.version);
});

test('a set is the same after it was written and read', () => {
  const { keyId, publicKey } = generateKeyPair();
  const set = rotated(noKeys, { keyId, publicKey }, { activeFrom: now, overlapMs: 0 }, now);
  const both = rotated(set, newKey(), { activeFrom: now + 1, overlapMs: 1000 }, now + 1);
  expect(readKeySet(writeKeySet(both))).toEqual(both);
});

test('whatever is done, versions grow, a revoked key is gone, and after a rotation exactly one key signs', () => {
  const step = fc.oneof(
    fc.record({ delay: fc.nat(1000), overlap: fc.nat(5000), wait: fc.nat(3000) }),
    fc.record({ revoke: fc.nat(10), wait: fc.integer({ min: -100, max: 3000 }) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 20 }), (steps) => {
      let at = now;
      let set = rotated(noKeys, newKey(), { activeFrom: at, overlapMs: 0 }, at);
      for (const one of steps) {
        at += one.wait;
        const before = set;
        if ('revoke' in one) {
          const keyId = set.keys[one.revoke % Math.max(1, set.keys.length)]?.keyId ?? '';
          set = without(set, keyId, at);
          expect(set.keys.map((key) => key.keyId)).not.toContain(keyId);
        } else {
          const times = { activeFrom: at + one.delay, overlapMs: one.overlap };
          set = rotated(set, newKey(), times, at);
          expect(activeKey(set, at + one.delay)?.keyId).toBe(set.keys.at(-1)?.keyId);
          expect(states(set, at + one.delay).filter((state) => state === 'active')).toHaveLength(1);
        }
        expect(set.version).toBeGreaterThan(before.version);
      }
    }),
  );
});
