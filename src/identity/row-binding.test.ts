import { expect, test } from 'vitest';
import { createRowBinding } from './row-binding.ts';

const { bind, holds } = createRowBinding(new Uint8Array(32).fill(3));
const values = {
  name: 'nightly',
  action: { command: { verb: 'exec', args: { argv: ['true'] } } },
  scope: null,
};

test('it holds for the same values, in whatever order they are read', () => {
  const { scope, action, name } = values;
  expect(holds('schedules', { scope, action, name }, bind('schedules', values))).toBe(true);
});

test.each([
  { name: 'nightly2' },
  { action: { command: { verb: 'exec', args: { argv: ['false'] } } } },
  { action: { command: { verb: 'exec', args: { argv: ['true', ''] } } } },
  { scope: { sites: [] } },
  { more: null },
])('no binding holds with %j', (change) => {
  expect(holds('schedules', { ...values, ...change }, bind('schedules', values))).toBe(false);
});

test('that of another table, secret or length is none, and so is no binding', () => {
  const other = createRowBinding(new Uint8Array(32).fill(4));
  const own = bind('schedules', values);
  for (const wrong of [null, bind('templates', values), other.bind('schedules', values), own.subarray(1)])
    expect(holds('schedules', values, wrong)).toBe(false);
});
