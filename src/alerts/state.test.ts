import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type AlertStatus,
  acknowledge,
  end,
  gapMs,
  look,
  type Notice,
  observe,
  type Terms,
} from './state.ts';

const minute = 60_000;
const terms: Terms = {
  comparison: 'above',
  threshold: 80,
  clearThreshold: 70,
  forMs: 2 * minute,
  clearForMs: minute,
};

/** One sample a minute, from the first; undefined for what is not there, null where no sample came. */
function lifeOf(values: readonly (number | undefined | null)[], given: Terms = terms, silenced = false) {
  let status: AlertStatus | undefined;
  const states: string[] = [];
  const told: string[] = [];
  for (const [index, value] of values.entries()) {
    if (value !== null) {
      const step = observe(given, status, { at: (index + 1) * minute, value, late: false, silenced });
      if (step.notice !== undefined) told.push(`${step.notice} at ${index}`);
      status = step.next;
    }
    states.push(status?.state ?? '-');
  }
  return { states: states.join(' '), told, status };
}

test('after the clock was set back, what is seen counts, and durations begin anew', () => {
  const at = (time: number, value: number, late = false) => ({ at: time, value, late, silenced: false });
  const hour = 60 * minute;
  const firing = observe({ ...terms, forMs: 0 }, undefined, at(3 * hour, 90)).next;
  expect(firing?.state).toBe('firing');
  // One that is only a little older, or late, came out of order.
  expect(observe(terms, firing, at(3 * hour - minute, 10)).next).toBe(firing);
  expect(observe(terms, firing, at(hour, 10, true)).next).toBe(firing);
  const clearing = observe(terms, firing, at(hour, 10)).next;
  expect(clearing).toMatchObject({ state: 'firing', seenAt: hour, clearSince: hour });
  expect(observe(terms, clearing, at(hour + minute, 10))).toMatchObject({
    next: { state: 'resolved' },
    notice: 'resolved',
  });
  const pending = observe(terms, undefined, at(3 * hour, 90)).next;
  expect(observe(terms, pending, at(hour, 90)).next).toMatchObject({ state: 'pending', pendingSince: hour });
});

describe('series and what becomes of them', () => {
  test.each<[string, (number | undefined | null)[], string, string[]]>([
    ['below the threshold', [79, 80, 80], '- - -', []],
    ['past it for long enough', [81, 81, 81, 81], 'pending pending firing firing', ['firing at 2']],
    ['past it, but not for long enough', [81, 81, 80, 81], 'pending pending - pending', []],
    [
      'between the thresholds it goes on',
      [81, 81, 81, 75, 71, 75],
      'pending pending firing firing firing firing',
      ['firing at 2'],
    ],
    [
      'back for long enough',
      [81, 81, 81, 70, 70, 70],
      'pending pending firing firing resolved -',
      ['firing at 2', 'resolved at 4'],
    ],
    [
      'back, but not for long enough',
      [81, 81, 81, 70, 75, 70, 81],
      'pending pending firing firing firing firing firing',
      ['firing at 2'],
    ],
    [
      'what is gone is back',
      [81, 81, 81, undefined, undefined],
      'pending pending firing firing resolved',
      ['firing at 2', 'resolved at 4'],
    ],
    ['what is gone was pending', [81, undefined], 'pending -', []],
    [
      'nothing is known of a long time without samples',
      [81, ...Array(11).fill(null), 81, 81, 81],
      `${'pending '.repeat(14)}firing`,
      ['firing at 14'],
    ],
  ])('%s', (_name, values, states, told) => {
    const life = lifeOf(values);
    expect(life.states).toBe(states);
    expect(life.told).toEqual(told);
  });

  test('a rule with below is the mirror image', () => {
    const below: Terms = { ...terms, comparison: 'below', threshold: 24, clearThreshold: 36 };
    const life = lifeOf([23, 23, 23, 30, 36, 36], below);
    expect(life.states).toBe('pending pending firing firing firing resolved');
  });

  test('without durations it fires and ends at once', () => {
    const quick = { ...terms, forMs: 0, clearForMs: 0 };
    expect(lifeOf([81, 75, 70, 81], quick).told).toEqual(['firing at 0', 'resolved at 2', 'firing at 3']);
  });
});

test('what was measured long ago is told of only once it is seen to be so still', () => {
  const quick = { ...terms, forMs: 0 };
  const seen = { value: 90, late: true, silenced: false };
  const first = observe(quick, undefined, { ...seen, at: 1 });
  expect([first.next?.state, first.notice]).toEqual(['firing', undefined]);
  if (first.next === undefined) throw new Error('nothing began');
  expect(look(quick, first.next, false).notice).toBeUndefined();
  expect(observe(quick, first.next, { ...seen, at: 2, late: false }).notice).toBe('firing');
});

describe('a silence', () => {
  const quick = { ...terms, forMs: 0, clearForMs: 0 };
  test('keeps it from being told of, and what goes on when it ends is told then', () => {
    const { status, told, states } = lifeOf([81, 81], quick, true);
    expect([states, told]).toEqual(['silenced silenced', []]);
    if (status === undefined) throw new Error('nothing began');
    expect(look(quick, status, false)).toMatchObject({ next: { state: 'firing' }, notice: 'firing' });
  });

  test('what began and ended in it is never told of', () => {
    expect(lifeOf([81, 60], quick, true).told).toEqual([]);
  });

  test('what was told of before is told when it ends, also in a silence', () => {
    const { status } = lifeOf([81], quick);
    if (status === undefined) throw new Error('nothing began');
    const silenced = look(quick, status, true).next;
    expect(silenced?.state).toBe('silenced');
    const over = observe(quick, silenced, { at: 9 * minute, value: 1, late: false, silenced: true });
    expect([over.next?.state, over.notice]).toEqual(['resolved', 'resolved']);
  });
});

test('who acknowledges takes on what fires, and nothing else', () => {
  const by = { at: 1, by: 'ada', note: 'mine' };
  const { status: pending } = lifeOf([81]);
  const { status: firing } = lifeOf([81, 81, 81]);
  if (pending === undefined || firing === undefined) throw new Error('nothing began');
  expect(acknowledge(pending, by)).toBeUndefined();
  const mine = acknowledge(firing, by);
  expect(mine).toMatchObject({ state: 'acknowledged', acknowledged: by });
  if (mine === undefined) throw new Error('not taken on');
  // It stays so through silences, and ends as any other.
  const silenced = look(terms, mine, true).next;
  expect(silenced?.state).toBe('silenced');
  expect(silenced && look(terms, silenced, false).next?.state).toBe('acknowledged');
  expect(end(mine, 5, 'why')).toMatchObject({
    next: { state: 'resolved', reason: 'why' },
    notice: 'resolved',
  });
  expect(acknowledge(end(mine, 5, undefined).next ?? mine, by)).toBeUndefined();
});

const series = fc.array(
  fc.record({
    wait: fc.integer({ min: 1, max: 20 }).map((n) => n * 15_000),
    value: fc.option(fc.integer({ min: 50, max: 100 }), { nil: undefined, freq: 10 }),
    late: fc.boolean(),
    silenced: fc.boolean(),
  }),
  { maxLength: 200 },
);
const anyTerms = fc.record({
  comparison: fc.constant('above' as const),
  threshold: fc.constant(80),
  clearThreshold: fc.integer({ min: 60, max: 80 }),
  forMs: fc.integer({ min: 0, max: 10 }).map((n) => n * 30_000),
  clearForMs: fc.integer({ min: 0, max: 10 }).map((n) => n * 30_000),
});

/** Every step of a life. */
function* stepsOf(
  given: Terms,
  seen: readonly { wait: number; value: number | undefined; late: boolean; silenced: boolean }[],
) {
  let status: AlertStatus | undefined;
  let at = 0;
  for (const { wait, ...rest } of seen) {
    at += wait;
    const step = observe(given, status, { at, ...rest });
    yield { at, before: status, ...rest, ...step };
    status = step.next?.state === 'resolved' ? undefined : step.next;
  }
}

describe('whatever is measured', () => {
  test('an alert is told of at most once, and its end only after that', () => {
    fc.assert(
      fc.property(anyTerms, series, (given, seen) => {
        const notices: Notice[] = [];
        for (const { notice, silenced, late } of stepsOf(given, seen)) {
          if (notice === 'firing') expect([silenced, late]).toEqual([false, false]);
          if (notice !== undefined) notices.push(notice);
        }
        expect(notices).toEqual(notices.map((_, index) => (index % 2 === 0 ? 'firing' : 'resolved')));
      }),
    );
  });

  test('it does not flap: it lasts as long as it must be back, and comes again no sooner than its durations allow', () => {
    fc.assert(
      fc.property(anyTerms, series, (given, seen) => {
        let resolvedAt = Number.NEGATIVE_INFINITY;
        for (const { next, at } of stepsOf(given, seen)) {
          if (next?.firedAt === at) expect(at - resolvedAt).toBeGreaterThanOrEqual(given.forMs);
          if (next?.state !== 'resolved') continue;
          expect(at - (next.firedAt ?? 0)).toBeGreaterThanOrEqual(given.clearForMs);
          resolvedAt = at;
        }
      }),
    );
  });

  test('values that never get back to the clear threshold never end it', () => {
    const between = fc.array(fc.integer({ min: 71, max: 100 }), { minLength: 3, maxLength: 100 });
    fc.assert(
      fc.property(between, (values) => {
        const { told, states } = lifeOf([81, 81, 81, ...values]);
        expect(told).toEqual(['firing at 2']);
        expect(states).not.toContain('resolved');
      }),
    );
  });

  test('it fires only after it was past the threshold all the time, as an independent look says', () => {
    fc.assert(
      fc.property(anyTerms, series, (given, seen) => {
        const past: { at: number; is: boolean }[] = [];
        for (const { before, next, at, value } of stepsOf(given, seen)) {
          past.push({ at, is: value !== undefined && value > given.threshold });
          if (next?.firedAt !== at || (before !== undefined && before.state !== 'pending')) continue;
          const since = past.filter((each) => each.at >= at - given.forMs);
          expect(since.every(({ is }) => is)).toBe(true);
          const gaps = since.slice(1).map((each, index) => each.at - (since[index]?.at ?? 0));
          expect(Math.max(0, ...gaps)).toBeLessThanOrEqual(gapMs);
        }
      }),
    );
  });

  test('what comes again or too late changes nothing', () => {
    fc.assert(
      fc.property(anyTerms, series, fc.nat(), (given, seen, earlier) => {
        for (const { next, at } of stepsOf(given, seen)) {
          if (next === undefined || next.state === 'resolved') continue;
          const seen = { value: 55, silenced: false };
          const unchanged = { next, notice: undefined };
          expect(observe(given, next, { ...seen, at: at - earlier, late: true })).toEqual(unchanged);
          const little = Math.min(earlier, gapMs);
          expect(observe(given, next, { ...seen, at: at - little, late: false })).toEqual(unchanged);
        }
      }),
    );
  });
});
