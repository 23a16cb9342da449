import { beforeEach, expect, test } from 'vitest';
import type { AuditRow } from '../storage/audit.ts';
import { rowOf } from './calls.ts';
import { createRefusals } from './refusals.ts';
import type { AuditEntry } from './types.ts';

let now = 0;
let written: AuditRow[] = [];
const make = () =>
  createRefusals({
    write: (row) => void written.push(row),
    rowOf: (entry) => rowOf(entry, now),
    now: () => now,
    counted: () => {},
  });
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
  expect(written.map(({ count }) => count)).toEqual([1, 9999]);
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

test('callers who differ beyond what is kept of their names are one', () => {
  const refusals = make();
  const named = (rest: string) =>
    refusals.add({ ...refusal('10.0.0.1'), actor: `agent:${'a'.repeat(200)}${rest}` });
  named('1');
  named('2');
  refusals.flush(true);
  expect(written.map(({ count }) => count)).toEqual([1, 1]);
  expect(written[0]?.actor).toHaveLength(128);
});
