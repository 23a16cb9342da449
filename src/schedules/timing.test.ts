import { expect, test } from 'vitest';
import { checkTiming } from './timing.ts';

const now = Date.parse('2026-05-04T00:00:00Z');

test('a time is in the future, and in a year of four digits', () => {
  expect(checkTiming({ at: '9999-12-31T23:59:59.999Z' }, now)).toMatchObject({
    at: '9999-12-31T23:59:59.999Z',
  });
  expect(() => checkTiming({ at: '2026-05-04T00:00:00Z' }, now)).toThrow('timing.at: must be in the future');
  for (const at of ['9999-12-31T23:59:59-01:00', '+010000-01-01T00:00:00.000Z', '+275000-01-01T00:00:00Z'])
    expect(() => checkTiming({ at }, now)).toThrow('timing.at: must be before the year 10000');
});

test('an expression is refused that names nothing that comes, or is none', () => {
  for (const cron of ['0 0 30 2 *', '* * 31 4,6 *']) {
    expect(() => checkTiming({ cron }, now)).toThrow('timing.cron: names no time that ever comes');
  }
  for (const cron of ['*/0 * * * *', '*/99999999999 * * * *', '@every 1s x y z', '-1 * * * *', '0 0 W * *'])
    expect(() => checkTiming({ cron }, now)).toThrow('timing.cron: must be a cron expression');
});
