import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { countUpTo, latestUpTo, occurrencesOf, upcoming } from './occurrences.ts';

const iso = (times: number[]) => times.map((time) => new Date(time).toISOString().slice(0, 16));
const next = (cron: string, timeZone: string, from: string, count: number) =>
  iso(upcoming(occurrencesOf({ cron, timeZone }), Date.parse(from), count));

describe('in Berlin', () => {
  const zone = 'Europe/Berlin';
  const spring = '2026-03-29T00:30:00Z';
  const autumn = '2026-10-24T23:00:00Z';

  test('a time in the gap runs at the first instant after it', () => {
    expect(next('30 2 * * *', zone, spring, 2)).toEqual(['2026-03-29T01:00', '2026-03-30T00:30']);
    expect(next('0 0 2 * * *', zone, spring, 2)).toEqual(['2026-03-29T01:00', '2026-03-30T00:00']);
  });

  test('several times in the gap are one run, where croner leaves all of them out', () => {
    expect(next('*/15 2 * * *', zone, spring, 3)).toEqual([
      '2026-03-29T01:00',
      '2026-03-30T00:00',
      '2026-03-30T00:15',
    ]);
    expect(next('0 */2 * * *', zone, spring, 2)).toEqual(['2026-03-29T01:00', '2026-03-29T02:00']);
  });

  test('a time after the gap that is named as well is one run', () => {
    expect(next('0 2,3 * * *', zone, spring, 2)).toEqual(['2026-03-29T01:00', '2026-03-30T00:00']);
  });

  test('a time that comes twice runs the first time, where croner runs some twice', () => {
    expect(next('30 2 * * *', zone, autumn, 2)).toEqual(['2026-10-25T00:30', '2026-10-26T01:30']);
    expect(next('*/30 2 * * *', zone, autumn, 3)).toEqual([
      '2026-10-25T00:00',
      '2026-10-25T00:30',
      '2026-10-26T01:00',
    ]);
    expect(next('0 1-3 * * *', zone, autumn, 4)).toEqual([
      '2026-10-25T00:00',
      '2026-10-25T02:00',
      '2026-10-26T00:00',
      '2026-10-26T01:00',
    ]);
  });

  test('whoever asks in the second of the two hours is not told of it again', () => {
    expect(next('30 2 * * *', zone, '2026-10-25T01:10:00Z', 1)).toEqual(['2026-10-26T01:30']);
  });

  test('every hour goes by elapsed time', () => {
    expect(next('30 * * * *', zone, spring, 2)).toEqual(['2026-03-29T01:30', '2026-03-29T02:30']);
    expect(next('30 * * * *', zone, autumn, 4)).toEqual([
      '2026-10-24T23:30',
      '2026-10-25T00:30',
      '2026-10-25T01:30',
      '2026-10-25T02:30',
    ]);
    expect(next('30 0-23 * * *', zone, autumn, 4)).toEqual(next('30 * * * *', zone, autumn, 4));
  });
});

describe('in New York', () => {
  const zone = 'America/New_York';
  test('the same rule holds', () => {
    expect(next('30 2 * * *', zone, '2026-03-08T06:30:00Z', 2)).toEqual([
      '2026-03-08T07:00',
      '2026-03-09T06:30',
    ]);
    expect(next('15,45 1 * * *', zone, '2026-11-01T05:00:00Z', 3)).toEqual([
      '2026-11-01T05:15',
      '2026-11-01T05:45',
      '2026-11-02T06:15',
    ]);
    expect(next('*/20 2 * * *', zone, '2026-03-08T06:30:00Z', 2)).toEqual([
      '2026-03-08T07:00',
      '2026-03-09T06:00',
    ]);
  });
});

test('a day that a zone left out runs at the beginning of the next one', () => {
  expect(next('0 12 30 12 *', 'Pacific/Apia', '2011-12-01T00:00:00Z', 2)).toEqual([
    '2011-12-30T10:00',
    '2012-12-29T22:00',
  ]);
});

/** Minutes of three days around a change of clocks, each with what the wall shows, by another road than the code's. */
function minutesOf(timeZone: string, from: number): { at: number; day: string; minute: number }[] {
  const format = new Intl.DateTimeFormat('sv-SE', { timeZone, dateStyle: 'short', timeStyle: 'short' });
  return Array.from({ length: 3 * 1440 }, (_, index) => {
    const at = from + index * 60_000;
    const [day = '', time = ''] = format.format(at).split(' ');
    const [hour = 0, minute = 0] = time.split(':').map(Number);
    return { at, day, minute: hour * 60 + minute };
  });
}

const changes = [
  ['Europe/Berlin', '2026-03-28T00:00:00Z'],
  ['Europe/Berlin', '2026-10-24T00:00:00Z'],
  ['America/New_York', '2026-03-07T06:00:00Z'],
  ['America/New_York', '2026-10-31T06:00:00Z'],
  ['Australia/Lord_Howe', '2026-04-04T00:00:00Z'],
  ['Australia/Lord_Howe', '2026-10-03T00:00:00Z'],
  ['Africa/Cairo', '2026-04-23T00:00:00Z'],
] as const;

test.each(changes)(
  'around the change in %s, %s: each named time once, never twice, never none',
  (zone, start) => {
    const from = Date.parse(start);
    const wall = minutesOf(zone, from);
    // Days that are seen whole.
    const days = [...new Set(wall.map(({ day }) => day))].slice(1, -1);
    const numbers = (max: number) =>
      fc.uniqueArray(fc.integer({ min: 0, max }), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(numbers(59), numbers(5), (minutes, hours) => {
        const expected = new Set<number>();
        for (const day of days) {
          for (const minute of hours.flatMap((hour) => minutes.map((each) => hour * 60 + each))) {
            const shown = wall.find((each) => each.day === day && each.minute === minute);
            const after = wall.find((each) => each.day === day && each.minute > minute);
            expected.add((shown ?? after)?.at ?? Number.NaN);
          }
        }
        const occurrences = occurrencesOf({ cron: `${minutes} ${hours} * * *`, timeZone: zone });
        const inDays = (at: number) => days.includes(wall.find((each) => each.at === at)?.day ?? '');
        const found = upcoming(occurrences, from, minutes.length * hours.length * 4).filter(inDays);
        expect(iso(found)).toEqual(iso([...expected].toSorted((a, b) => a - b)));
      }),
      { numRuns: 40 },
    );
  },
);

test('the last one up to an instant is the one that counting finds', () => {
  const crons = ['*/7 * * * *', '0 3 * * *', '*/20 2,3 * * *', '*/50 * * * * *', '0 0 1 * *'];
  const start = Date.parse('2026-10-20T00:00:00Z');
  fc.assert(
    fc.property(fc.constantFrom(...crons), fc.integer({ min: 0, max: 7 * 86_400_000 }), (cron, ms) => {
      const occurrences = occurrencesOf({ cron, timeZone: 'Europe/Berlin' });
      const from = start + ms;
      const instant = from + 3 * 3_600_000;
      const all = upcoming(occurrences, from, 500).filter((at) => at <= instant);
      expect(latestUpTo(occurrences, from, instant)).toBe(all.at(-1));
      expect(countUpTo(occurrences, from, instant, 10_000)).toBe(all.length);
    }),
    { numRuns: 50 },
  );
});

test('once is once', () => {
  const occurrences = occurrencesOf({ at: '2026-01-01T00:00:00Z' });
  const at = Date.parse('2026-01-01T00:00:00Z');
  expect(occurrences.after(at - 1)).toBe(at);
  expect(occurrences.after(at)).toBeUndefined();
  expect(latestUpTo(occurrences, at - 10, at + 10)).toBe(at);
});
