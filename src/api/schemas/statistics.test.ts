import { expect, test } from 'vitest';
import { spanOf } from './statistics.ts';

test('without both ends it is a day, and never before there are times', () => {
  const now = Date.parse('2026-05-04T00:00:00Z');
  expect(spanOf({}, now)).toEqual({ from: new Date('2026-05-03T00:00:00Z'), to: new Date(now) });
  expect(spanOf({ to: new Date('0000-01-01T00:00:00Z') }, now).from).toEqual(new Date(0));
});
