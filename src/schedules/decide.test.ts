import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decideDue, onTimeMs } from './decide.ts';
import { occurrencesOf, upcoming } from './occurrences.ts';
import type { Timing } from './types.ts';

const hourMs = 3_600_000;
const at = (text: string) => Date.parse(`2026-05-04T${text}Z`);
const hourly: Timing = {
  cron: '0 * * * *',
  timeZone: 'UTC',
  missed: 'skip',
  catchUpWithinMs: hourMs / 2,
  overlap: 'allow',
};
const catching: Timing = { ...hourly, missed: 'once' };
const decide = (timing: Timing, nextAt: string, now: string) => decideDue(timing, at(nextAt), at(now));

describe('what becomes of a time that has come', () => {
  test('before it, nothing', () => {
    expect(decide(hourly, '03:00:00', '02:59:59')).toBeUndefined();
  });

  test('up to a minute late, it runs', () => {
    const due = { do: 'run', occurrence: at('03:00:00'), nextAt: at('04:00:00'), note: undefined };
    expect(decide(hourly, '03:00:00', '03:00:00')).toMatchObject(due);
    expect(decide(hourly, '03:00:00', '03:01:00')).toMatchObject(due);
  });

  test('later than that, it was missed', () => {
    expect(decide(hourly, '03:00:00', '03:01:01')).toEqual({
      do: 'miss',
      occurrence: at('03:00:00'),
      until: at('03:01:00'),
      nextAt: at('04:00:00'),
      missed: 1,
      note: 'Missed: the one of 2026-05-04T03:00:00.000Z (1m 1s late, and 1m is allowed).',
    });
  });

  test('it is made up for within the time for that', () => {
    const due = { do: 'run', occurrence: at('05:00:00'), nextAt: at('06:00:00') };
    const note = 'Runs before it were missed: 2 since 2026-05-04T03:00:00.000Z.';
    expect(decide(catching, '03:00:00', '05:30:00')).toMatchObject({ ...due, note });
    expect(decide(catching, '03:00:00', '05:30:01')).toMatchObject({ do: 'miss' });
  });

  test('a time to make up for that is shorter than a minute does not shorten the minute', () => {
    const short = { ...catching, catchUpWithinMs: 1000 };
    expect(decide(short, '03:00:00', '03:00:30')).toMatchObject({ do: 'run' });
  });

  test('however many were missed, counting them ends', () => {
    const often = { ...hourly, cron: '* * * * * *' };
    const due = decideDue(often, at('03:00:00') - 30 * 24 * hourMs, at('03:00:00'));
    expect(due).toMatchObject({ do: 'run', occurrence: at('03:00:00') });
    expect(due?.note).toMatch(/more than 1000 since/);
  });

  test('once runs or is missed, and nothing follows', () => {
    const { cron: _, timeZone: _zone, ...policy } = hourly;
    const once: Timing = { at: '2026-05-04T03:00:00.000Z', ...policy };
    expect(decide(once, '03:00:00', '03:00:01')).toMatchObject({ do: 'run', nextAt: undefined });
    expect(decide(once, '03:00:00', '05:00:00')).toMatchObject({ do: 'miss', nextAt: undefined });
  });
});

test('every time is either the one that is decided of, or counted as missed, or still to come', () => {
  const crons = fc.constantFrom('*/5 * * * *', '0 2 * * *', '*/10 2,3 * * *', '30 */2 * * *');
  fc.assert(
    fc.property(
      crons,
      fc.nat(3 * 24 * hourMs),
      fc.nat(6 * hourMs),
      fc.boolean(),
      (cron, start, late, once) => {
        const timing: Timing = {
          ...hourly,
          cron,
          timeZone: 'Europe/Berlin',
          missed: once ? 'once' : 'skip',
        };
        const occurrences = occurrencesOf(timing);
        const nextAt = occurrences.after(Date.parse('2026-10-24T00:00:00Z') + start) ?? 0;
        const now = nextAt + late;
        const due = decideDue(timing, nextAt, now);
        const come = upcoming(occurrences, nextAt - 1, 100).filter((time) => time <= now);
        expect(due?.occurrence).toBe(come.at(-1));
        expect(due?.nextAt).toBe(occurrences.after(now));
        const lateness = now - (due?.occurrence ?? 0);
        expect(due?.do).toBe(lateness <= (once ? timing.catchUpWithinMs : onTimeMs) ? 'run' : 'miss');
        const missed = come.length - (due?.do === 'run' ? 1 : 0);
        const told = /(\d+) since|the one of/.exec(due?.note ?? '');
        expect(Number(told?.[1] ?? (told === null ? 0 : 1))).toBe(missed);
      },
    ),
    { numRuns: 60 },
  );
});
