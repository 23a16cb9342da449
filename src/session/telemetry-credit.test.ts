import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createTelemetryCredit, firstTelemetryCredit, telemetryCredit } from './telemetry-credit.ts';

function rig() {
  let allowed = telemetryCredit;
  const told: number[] = [];
  const credit = createTelemetryCredit({
    allowed: (most) => Math.min(most, allowed),
    tell: (granted) => void told.push(granted),
  });
  return {
    credit,
    told,
    granted: () => told.at(-1) ?? firstTelemetryCredit,
    allow(most: number) {
      allowed = most;
    },
  };
}

/** As many full envelopes as it may have, stored one after the other. */
function fill({ credit, granted }: ReturnType<typeof rig>) {
  const ends = Array.from({ length: granted() }, () => credit.begin(true));
  for (const end of ends) end();
}

test('who uses all that it has gets twice as many, up to the most', () => {
  const one = rig();
  for (let n = 0; n < 10; n++) fill(one);
  expect(one.told).toEqual([2, 4, 8, 16]);
});

test('who says single samples gets more where all that it has is under way', () => {
  const { credit, told, granted } = rig();
  const ends: (() => void)[] = [];
  for (let n = 0; n < 100; n++) {
    while (ends.length < granted()) ends.push(credit.begin(false));
    ends.shift()?.();
  }
  expect(told).toEqual([2, 4, 8, 16]);
});

test('a backlog that is stored sooner than the next of it comes gets more too', () => {
  const { credit, told } = rig();
  for (let n = 0; n < 1 + 2 + 4 + 8; n++) credit.begin(true)();
  expect(told).toEqual([2, 4, 8, 16]);
});

test('who has little to say stays with little', () => {
  const { credit, told } = rig();
  for (let n = 0; n < 100; n++) credit.begin(false)();
  expect(told).toEqual([2]);
});

test('what is stored after an outage raises nothing: it came under other terms', () => {
  const one = rig();
  for (let n = 0; n < 4; n++) fill(one);
  const ends = Array.from({ length: telemetryCredit - 1 }, () => one.credit.begin(true));
  one.allow(1);
  ends.push(one.credit.begin(true));
  one.allow(telemetryCredit);
  for (const end of ends) end();
  expect(one.told).toEqual([2, 4, 8, 16, 1]);
  fill(one);
  expect(one.granted()).toBe(2);
});

test('who was allowed nothing gets one as soon as there is something, with nothing under way', () => {
  const { credit, told, allow } = rig();
  const end = credit.begin(true);
  allow(0);
  credit.look();
  end();
  credit.look();
  expect(told).toEqual([0]);
  allow(telemetryCredit);
  credit.look();
  credit.look();
  expect(told).toEqual([0, 1]);
});

test('who says nothing hears of less as well', () => {
  const one = rig();
  for (let n = 0; n < 4; n++) fill(one);
  one.allow(4);
  one.credit.look();
  expect(one.granted()).toBe(4);
});

test('more than any agent may have is a violation', () => {
  const { credit, allow } = rig();
  allow(0);
  for (let n = 0; n < telemetryCredit; n++) credit.begin(true);
  expect(() => credit.begin(true)).toThrow(/more than 16 envelopes/);
});

test('nobody is told more than is allowed, or stuck without any', () => {
  const step = fc.oneof(
    fc.record({ do: fc.constant('begin' as const) }),
    fc.record({ do: fc.constant('end' as const) }),
    fc.record({ do: fc.constant('look' as const) }),
    fc.record({ do: fc.constant('allow' as const), most: fc.constantFrom(0, 1, 4, 16) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
      const one = rig();
      const ends: (() => void)[] = [];
      let allowed = telemetryCredit;
      for (const each of steps) {
        const before = one.told.length;
        if (each.do === 'begin' && ends.length < telemetryCredit) ends.push(one.credit.begin(true));
        if (each.do === 'end') ends.shift()?.();
        if (each.do === 'look') one.credit.look();
        if (each.do === 'allow') {
          allowed = each.most;
          one.allow(each.most);
        }
        for (const told of one.told.slice(before)) expect(told).toBeLessThanOrEqual(allowed);
      }
      one.allow(telemetryCredit);
      for (const end of ends) end();
      one.credit.look();
      expect(one.granted()).toBeGreaterThanOrEqual(1);
    }),
  );
});
