import fc from 'fast-check';
import { expect, test } from 'vitest';
import { pinText } from '../../protocol/certificates/pins.ts';
import type { TrustDocument } from '../../protocol/certificates/trust-document.ts';
import { certificateIdOf } from '../../protocol/certificates/x509.ts';
import {
  activated,
  changed,
  documentLifetimeMs,
  dropped,
  isOld,
  noTrust,
  prepared,
  retired,
  trustDifference,
} from './trust-changes.ts';

const named = (name: number) => new Uint8Array([name]);
const statesOf = ({ authorities }: TrustDocument) =>
  authorities.map(({ certificate, state }) => `${certificate[0]} ${state}`);
const begun = changed(noTrust, { authorities: [{ certificate: named(1), state: 'active' }] }, 1_000);

test('an authority is prepared, issues, and takes the place of the one before', () => {
  const one = prepared(begun, named(2), 2_000);
  expect(statesOf(one)).toEqual(['1 active', '2 prepared']);
  expect(statesOf(dropped(one, 3_000))).toEqual(['1 active']);
  const two = activated(one, 3_000);
  expect(statesOf(two)).toEqual(['1 retiring', '2 active']);
  expect(statesOf(retired(two, 4_000))).toEqual(['2 active']);
});

test('a step out of turn is refused', () => {
  const refused = expect.objectContaining({ code: 'certificate_state' });
  const two = prepared(begun, named(2), 2_000);
  const wrong = [
    () => activated(begun, 2_000),
    () => retired(begun, 2_000),
    () => dropped(begun, 2_000),
    () => prepared(two, named(3), 3_000),
    () => prepared(activated(two, 3_000), named(3), 4_000),
  ];
  for (const step of wrong) expect(step).toThrow(refused);
});

test('whatever is done, one authority issues at most, and versions grow also when clocks go back', () => {
  const steps = { prepared, activated, dropped, retired };
  const step = fc.constantFrom(...(Object.keys(steps) as (keyof typeof steps)[]));
  fc.assert(
    fc.property(fc.array(fc.tuple(step, fc.nat(10_000)), { maxLength: 20 }), (all) => {
      let document = begun;
      let name = 2;
      for (const [which, now] of all) {
        const before = document;
        try {
          document =
            which === 'prepared' ? prepared(document, named(name++), now) : steps[which](document, now);
        } catch {
          continue;
        }
        expect(document.version).toBeGreaterThan(before.version);
        expect(document.authorities.filter(({ state }) => state === 'active')).toHaveLength(1);
        expect(document.authorities.length).toBeLessThanOrEqual(2);
      }
    }),
  );
});

test('a document is made anew long before its end', () => {
  expect(isOld(noTrust, 1_000)).toBe(false);
  expect(isOld(begun, 1_000)).toBe(false);
  expect(isOld(begun, 1_000 + documentLifetimeMs / 3 + 1)).toBe(true);
});

test('what became of a document is told by what came, what went, and what is in use', () => {
  const [one, other] = [new Uint8Array(32).fill(1), new Uint8Array(32).fill(2)];
  const before = changed(begun, { pins: [one, other] }, 2_000);
  const again = changed(before, {}, 3_000);
  const expiresAt = new Date(3_000 + documentLifetimeMs).toISOString();
  expect(trustDifference(before, again)).toEqual({ expiresAt });
  const next = activated(prepared(before, named(2), 2_500), 2_600);
  expect(trustDifference(before, changed(retired(next, 2_700), { pins: [other] }, 3_000))).toEqual({
    expiresAt,
    added: [certificateIdOf(named(2))],
    removed: [certificateIdOf(named(1)), pinText(one)],
    issuer: certificateIdOf(named(2)),
    pin: pinText(other),
  });
});
