import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { priorities } from '../types.ts';
import { ageingStepMs, rankOf } from './queue.ts';

const at = fc.integer({ min: 0, max: 2 ** 41 });

describe('rankOf', () => {
  it('puts a higher priority before what was submitted at the same time', () => {
    fc.assert(
      fc.property(at, (time) => {
        const ranks = priorities.map((priority) => rankOf(priority, time));
        expect(ranks).toEqual([...ranks].sort((a, b) => a - b));
        expect(new Set(ranks).size).toBe(priorities.length);
      }),
    );
  });

  it('keeps what came first first, within one priority', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...priorities),
        at,
        fc.integer({ min: 1, max: 1e9 }),
        (priority, time, later) => {
          expect(rankOf(priority, time)).toBeLessThan(rankOf(priority, time + later));
        },
      ),
    );
  });

  it('lets nothing wait behind higher priorities that come after its steps are over', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...priorities),
        fc.constantFrom(...priorities),
        at,
        (waiting, flood, time) => {
          const steps = Math.max(0, priorities.indexOf(waiting) - priorities.indexOf(flood));
          const afterwards = time + steps * ageingStepMs + 1;
          expect(rankOf(waiting, time)).toBeLessThan(rankOf(flood, afterwards));
        },
      ),
    );
  });
});
