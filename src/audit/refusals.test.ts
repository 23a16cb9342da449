import { beforeEach, expect, test } from 'vitest';
import { createRefusals } from './refusals.ts';
import type { AuditEntry } from './types.ts';

let now = 0;
let written: AuditEntry[] = [];
const make = () =>
  createRefusals({ write: (entry) => void written.push(entry), now: () => now, counted: () => {} });
const refusal = (address: string): AuditEntry => ({
  actor: 'unknown',
  action: 'agents.list',
  outcome: 'refused',
  code: 'unauthenticated',
  address,
});

beforeEach(() => {
  now = 0;
  written = [];
});

test('the first is written, the others of the minute are counted', () => {
  const refusals = make();
  for (let at = 0; at < 10_000; at++) refusals.add(refusal('10.0.0.1'));
  expect(written).toHaveLength(1);
  now = 59_999;
  refusals.flush();
  expect(written).toHaveLength(1);
  now = 60_000;
  refusals.flush();
  expect(written.map(({ count }) => count)).toEqual([undefined, 9999]);
  refusals.add(refusal('10.0.0.1'));
  expect(written).toHaveLength(3);
});

test('of two addresses each is told', () => {
  const refusals = make();
  refusals.add(refusal('10.0.0.1'));
  refusals.add(refusal('10.0.0.2'));
  expect(written.map(({ address }) => address)).toEqual(['10.0.0.1', '10.0.0.2']);
});

test('many addresses are told together, and none is left out of the count', () => {
  const refusals = make();
  for (let at = 0; at < 50_000; at++) refusals.add(refusal(`10.${at >> 16}.${(at >> 8) & 255}.${at & 255}`));
  refusals.flush(true);
  expect(written.length).toBeLessThan(1100);
  expect(written.reduce((sum, { count = 1 }) => sum + count, 0)).toBe(50_000);
  expect(written.find(({ actor }) => actor === 'many')).toMatchObject({ action: 'agents.list' });
});
