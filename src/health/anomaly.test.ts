import { expect, test } from 'vitest';
import { judgeAnomalies, quartersBefore } from './anomaly.ts';

const now = Date.parse('2026-05-08T13:20:00Z');

/** What was measured at this hour of the days before. @param of the day, 1 for yesterday, and the quarter */
const past = (days: number, cpu: (day: number, quarter: number) => number | null, others = {}) =>
  quartersBefore(now).flatMap((at, index) => {
    const ago = 14 - Math.floor(index / 4);
    return ago > days ? [] : [{ at: new Date(at), cpu: cpu(ago, index % 4), ...others }];
  });
/** Between 20 and 35. */
const usual = (ago: number, quarter: number) => 20 + ((ago * 7 + quarter * 4) % 16);

test('now is compared with the same hour of the two weeks before', () => {
  const quarters = quartersBefore(now);
  expect(quarters).toHaveLength(56);
  expect(new Date(quarters[0] ?? 0).toISOString()).toBe('2026-04-24T13:00:00.000Z');
  expect(new Date(quarters.at(-1) ?? 0).toISOString()).toBe('2026-05-07T13:45:00.000Z');
  // Just after the hour most of the last quarter of an hour lies before it.
  expect(quartersBefore(Date.parse('2026-05-08T13:05:00Z')).at(-1)).toBe(Date.parse('2026-05-07T12:45:00Z'));
});

test('what is far off is told with plain numbers', () => {
  const report = judgeAnomalies({ cpu: 91 }, past(14, usual));
  expect(report).toMatchObject({ enabled: true, days: 14, neededDays: 7 });
  expect(report.found).toMatchObject([{ metric: 'cpu', value: 91 }]);
  expect(report.text).toMatch(
    /^cpu 91\.0 %, at this hour of the last 14 days usually 2\d\.\d % to 3\d\.\d %$/,
  );
});

test.each([
  ['as usual', { cpu: 28 }, past(14, usual)],
  ['a little above', { cpu: 45 }, past(14, usual)],
  ['two points above what never changed', { cpu: 22 }, past(14, () => 20)],
  ['as on each seventh day', { cpu: 90 }, past(14, (ago) => (ago % 7 === 0 ? 90 : 20))],
  ['a metric that is new', { cpu: 20, load: 9 }, past(14, () => 20)],
])('%s is nothing unusual', (_what, lately, before) => {
  expect(judgeAnomalies(lately, before)).toMatchObject({
    found: [],
    text: 'nothing unusual beside this hour of the last 14 days',
  });
});

test('what never changed is unusual when it does, downwards too', () => {
  expect(
    judgeAnomalies(
      { cpu: 40 },
      past(14, () => 20),
    ).found,
  ).toHaveLength(1);
  expect(
    judgeAnomalies(
      { cpu: 1 },
      past(14, () => 60),
    ).found,
  ).toHaveLength(1);
});

test('one wild day of the past does not make wild usual', () => {
  const before = past(14, (ago, quarter) => (ago === 3 && quarter === 0 ? 100 : usual(ago, quarter)));
  expect(judgeAnomalies({ cpu: 91 }, before).found).toHaveLength(1);
});

test('without enough of the past nothing is said, and that is said', () => {
  expect(judgeAnomalies({ cpu: 100 }, past(6, usual))).toEqual({
    enabled: true,
    days: 6,
    neededDays: 7,
    found: [],
    text: 'not known yet: 6 of 7 days that it takes',
  });
  expect(
    judgeAnomalies(
      { cpu: 100 },
      past(14, (ago, quarter) => (ago < 7 ? usual(ago, quarter) : null)),
    ).found,
  ).toEqual([]);
  expect(judgeAnomalies({ cpu: null }, past(14, usual)).text).toMatch(/^not known: nothing was measured/);
  expect(judgeAnomalies(undefined, past(14, usual)).found).toEqual([]);
});

test('of what was nothing at all nothing can be said', () => {
  const before = past(14, usual, { received: 0 });
  expect(judgeAnomalies({ received: 10, cpu: 25 }, before).found).toEqual([]);
});
