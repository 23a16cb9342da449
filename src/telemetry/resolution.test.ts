import { expect, test } from 'vitest';
import { resolutionFor, spansOf, unsettledFrom } from './resolution.ts';

const hour = 3_600_000;
const day = 24 * hour;
const now = Date.parse('2026-03-02T12:34:56.789Z');
const limits = { points: 1440, now, keepMs: 30 * day };

test.each([
  ['an hour', hour, 60],
  ['a day', day, 60],
  ['a little more than a day', day + 1, 900],
  ['a fortnight', 14 * day, 900],
  ['two months', 60 * day, 3600],
  ['ten years, which nothing is fine enough for', 3650 * day, 3600],
])('%s is answered with at most 1440 spans, if that can be', (_, length, resolution) => {
  expect(resolutionFor({ from: now - length, to: now }, limits)).toBe(resolution);
});

test('what is older than the roll-ups of a minute is answered with coarser ones', () => {
  const from = now - 31 * day;
  expect(resolutionFor({ from, to: from + hour }, limits)).toBe(900);
});

test('a range is that of all spans which it touches', () => {
  const to = Date.parse('2026-03-02T12:15:00Z');
  expect(spansOf({ from: now - 26 * 60_000, to }, 900)).toEqual({
    from: new Date('2026-03-02T12:00:00Z'),
    to: new Date('2026-03-02T12:15:00Z'),
  });
});

test('a span is believed to be rolled up five minutes after its end', () => {
  expect(unsettledFrom(Date.parse('2026-03-02T13:04:59Z'), 3600)).toEqual(new Date('2026-03-02T12:00:00Z'));
  expect(unsettledFrom(Date.parse('2026-03-02T13:05:00Z'), 3600)).toEqual(new Date('2026-03-02T13:00:00Z'));
});
