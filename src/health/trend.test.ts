import fc from 'fast-check';
import { expect, test } from 'vitest';
import { lineThrough, mostPoints, type Point, thinned } from './line.ts';
import { trendOf } from './trend.ts';

const now = Date.parse('2026-05-08T00:00:00Z');
const hour = 3_600_000;
const day = 24 * hour;

/** One point each hour until now. @param used of the days since the first */
const hours = (count: number, used: (day: number, index: number) => number): Point[] =>
  Array.from({ length: count }, (_, index) => ({
    at: now - (count - 1 - index) * hour,
    value: used(index / 24, index),
  }));
const disk = (points: readonly Point[]) => trendOf({ metric: 'disk', subject: '/data', points, now });
/** The same for each index, between -1 and 1. */
const noise = (index: number) => Math.sin(index * 12.9898) * Math.cos(index * 78.233);

test.each<[string, (at: number, n: number) => number]>([
  ['steadily', (at) => 60 + 2 * at],
  ['with noise', (at, n) => 60 + 2 * at + noise(n)],
  ['with a backup each night', (at, n) => 60 + 2 * at + (n % 24 === 3 ? 1.9 : 0)],
])('a disk that fills %s is said to be full when it will be', (_how, used) => {
  const { direction, line, full } = disk(hours(168, used));
  expect(direction).toBe('rising');
  expect(line?.slopePerDay).toBeGreaterThan(1.8);
  expect(line?.slopePerDay).toBeLessThan(2.2);
  // 74 % after a week: the other 26 % take 13 days.
  expect(Math.abs((full?.at.getTime() ?? 0) - (now + 13 * day))).toBeLessThan(1.5 * day);
  expect(full?.earliest.getTime()).toBeLessThanOrEqual(full?.at.getTime() ?? 0);
  expect(full?.latest?.getTime()).toBeGreaterThanOrEqual(full?.at.getTime() ?? 0);
});

test.each([
  ['stays as it is', () => 70, 'flat'],
  ['swings a little around the same', (_at: number, n: number) => 70 + 0.05 * noise(n), 'flat'],
  ['grows so slowly that it does not matter', (at: number) => 70 + 0.05 * at, 'flat'],
  ['becomes emptier', (at: number) => 70 - 1.5 * at, 'falling'],
  ['goes up and down each day', (at: number) => 50 + 1.9 * Math.sin(at * 2 * Math.PI) + 0.15 * at, 'unclear'],
  ['is all over the place', (at: number, n: number) => 50 + 0.15 * at + 0.9 * noise(n), 'unclear'],
] as const)('a disk that %s is not said to be full one day', (_how, used, direction) => {
  expect(disk(hours(168, used))).toMatchObject({ direction, full: undefined });
});

test('too few points, or too short a time, are no trend, and it says what is missing', () => {
  expect(disk([])).toMatchObject({
    line: undefined,
    direction: 'unclear',
    text: 'disk /data: no trend yet: 0 of 12 points',
  });
  expect(disk(hours(11, (at) => at)).text).toContain('11 of 12 points, over 10h of 6h');
  const close = Array.from({ length: 50 }, (_, n) => ({ at: now - n * 60_000, value: 50 - n })).reverse();
  expect(disk(close)).toMatchObject({ line: undefined, direction: 'unclear' });
});

test('after somebody tidied up, what was before says nothing', () => {
  const before = hours(168, (at, n) => (n < 100 ? 40 + 10 * at : 20));
  expect(disk(before)).toMatchObject({ direction: 'flat', line: { points: 68 } });
  expect(disk(hours(168, (at, n) => (n < 160 ? 40 + 6 * at : 20)))).toMatchObject({ line: undefined });
  // Of the machine's memory nobody tidies up.
  const memory = trendOf({ metric: 'memory', subject: '', points: before, now });
  expect(memory.line?.points).toBe(168);
});

test('a disk that is full, or would be by now, is not forecast', () => {
  expect(disk(hours(168, (at) => Math.min(100, 95 + at))).full).toBeUndefined();
  const gone = hours(168, (at) => 80 + 2 * at).map(({ at, value }) => ({ at: at - 30 * day, value }));
  expect(disk(gone)).toMatchObject({ direction: 'rising', full: undefined });
});

test('what lies more than a year ahead is not said', () => {
  expect(disk(hours(168, (at) => 10 + 0.2 * at))).toMatchObject({ direction: 'rising', full: undefined });
});

test('a trend is written out', () => {
  expect(disk(hours(168, (at, n) => 60 + 2 * at + 0.1 * noise(n))).text).toMatch(
    /^disk \/data: 73\.\d %, rising by 2\.0 % a day \(\d\.\d+ % to 2\.\d %\); full in about 1\dd( \d+h)?, 2026-05-2\d \d\d:\d\d UTC \(2026-05-2\d .* to 2026-05-2\d .*\)$/,
  );
  expect(disk(hours(168, () => 70)).text).toBe('disk /data: 70.0 %, steady');
  const load = trendOf({ metric: 'load', subject: '', points: hours(48, (at) => 1 - 0.4 * at), now });
  expect(load.text).toMatch(/^load: 0\.22, falling by -0\.40 a day/);
});

const anyPoints = fc
  .array(
    fc.record({
      gap: fc.integer({ min: 1, max: 5 * hour }),
      value: fc.double({ min: 0, max: 100, noNaN: true }),
    }),
    {
      maxLength: 250,
    },
  )
  .map((steps) => {
    let at = now - 30 * day;
    return steps.map(({ gap, value }) => {
      at += gap;
      return { at, value };
    });
  });
const filling = fc
  .record({
    start: fc.integer({ min: 0, max: 90 }),
    slope: fc.integer({ min: -8, max: 32 }).map((quarters) => quarters / 4),
    wobble: fc.integer({ min: 0, max: 10 }).map((tenths) => tenths / 10),
    age: fc.integer({ min: 0, max: 4 }),
  })
  .map(({ start, slope, wobble, age }) =>
    hours(100, (at, n) => Math.min(100, Math.max(0, start + slope * at + wobble * noise(n)))).map(
      ({ at, value }) => ({ at: at - age * day, value }),
    ),
  );

test('whatever was measured, a disk is never said to have been full in the past, and only where it fills', () => {
  let forecasts = 0;
  fc.assert(
    fc.property(fc.oneof(anyPoints, filling), (points) => {
      const { direction, full, line } = disk(points);
      if (line !== undefined) {
        expect(line.slopeLow).toBeLessThanOrEqual(line.slopePerDay);
        expect(line.slopeHigh).toBeGreaterThanOrEqual(line.slopePerDay);
      }
      if (full === undefined) return;
      forecasts += 1;
      expect(direction).toBe('rising');
      expect(full.at.getTime()).toBeGreaterThanOrEqual(now);
      expect(full.earliest.getTime()).toBeGreaterThanOrEqual(now);
      expect(full.earliest.getTime()).toBeLessThanOrEqual(full.at.getTime());
      expect(full.latest?.getTime() ?? Number.POSITIVE_INFINITY).toBeGreaterThanOrEqual(full.at.getTime());
    }),
    { numRuns: 300 },
  );
  expect(forecasts).toBeGreaterThan(10);
});

test('a line is that of its points, whatever a tenth of them says', () => {
  const points = hours(100, (at, n) => (n % 10 === 5 ? 99 : 3 * at));
  expect(lineThrough(points)?.slope).toBeCloseTo(3, 1);
  expect(lineThrough(points.slice(0, 1))).toBeUndefined();
  expect(
    lineThrough([
      { at: 5, value: 1 },
      { at: 5, value: 2 },
    ]),
  ).toBeUndefined();
});

test('of many points averages are taken, and the line is the same', () => {
  const points = hours(720, (at) => 1 + 0.5 * at);
  const thin = thinned(points);
  expect(thin.length).toBeLessThanOrEqual(mostPoints);
  expect(lineThrough(thin)?.slope).toBeCloseTo(0.5, 6);
  expect(thinned(points.slice(0, 100))).toEqual(points.slice(0, 100));
});

test('of numbers that are too large to be reckoned with there is no line', () => {
  const points = hours(168, (_at, n) => (n % 2 === 0 ? Number.MAX_VALUE : 0));
  const load = trendOf({ metric: 'load', subject: '', points, now });
  expect(load).toMatchObject({ line: undefined, direction: 'unclear', full: undefined });
});
