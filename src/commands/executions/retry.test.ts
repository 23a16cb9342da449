import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type ExecutionState, executionStates } from '../types.ts';
import { decideRetry, retryBackoff, retryFrom } from './retry.ts';
import { allowedFrom, type Effect } from './state.ts';

const ends = fc.record({
  to: fc.constantFrom<ExecutionState>(...executionStates),
  cause: fc.constant('it ended'),
  code: fc.constantFrom(undefined, 'exit_code', 'timeout', 'internal', 'not_found', 'invalid_args'),
});
const budgets = fc.record({
  effect: fc.constantFrom<Effect>('read', 'idempotent', 'once'),
  retries: fc.nat({ max: 12 }),
  maxRetries: fc.nat({ max: 10 }),
  expiresAt: fc.nat({ max: 10_000_000 }),
});
const now = fc.nat({ max: 1_000_000 });
const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
const failed = { to: 'failed', cause: 'exit code 1', code: 'exit_code' } as const;
const once = { effect: 'once', retries: 0, maxRetries: 10, expiresAt: Number.MAX_SAFE_INTEGER } as const;

describe('decideRetry', () => {
  it('never tries again what must happen once, beyond its budget, or after its time to live', () => {
    fc.assert(
      fc.property(ends, budgets, now, random, (ended, budget, at, r) => {
        const retry = decideRetry(ended, budget, at, r);
        if (retry === undefined) return;
        expect(budget.effect).not.toBe('once');
        expect(budget.retries).toBeLessThan(budget.maxRetries);
        expect(retry.until).toBeLessThan(budget.expiresAt);
        expect(['failed', 'timed_out', 'outcome_unknown']).toContain(ended.to);
        expect(['not_found', 'invalid_args']).not.toContain(ended.code);
      }),
    );
  });

  it('waits longer each time, up to a bound, with jitter', () => {
    fc.assert(
      fc.property(fc.nat({ max: 9 }), now, random, (retries, at, r) => {
        const budget = { ...once, effect: 'read', retries } as const;
        const wait = (decideRetry(failed, budget, at, r)?.until ?? 0) - at;
        const full = Math.min(retryBackoff.maximumMs, retryBackoff.baseMs * 2 ** retries);
        expect(wait).toBeGreaterThanOrEqual(full / 2);
        expect(wait).toBeLessThanOrEqual(full);
      }),
    );
  });

  it.each([
    ['read', 'failed', 'exit_code', true],
    ['idempotent', 'timed_out', 'timeout', true],
    ['read', 'outcome_unknown', 'agent_restarted', true],
    ['once', 'failed', 'exit_code', false],
    ['once', 'outcome_unknown', 'agent_restarted', false],
    ['read', 'failed', 'permission_denied', false],
    ['read', 'cancelled', 'cancelled', false],
    ['read', 'succeeded', undefined, false],
  ] as const)('%s verb, %s with %s: %s', (effect, to, code, again) => {
    const retry = decideRetry({ to, cause: 'why', code }, { ...once, effect }, 0, 0.5);
    expect(retry !== undefined).toBe(again);
  });

  it('says in its cause what failed, which retry comes, and when', () => {
    const retry = decideRetry(failed, { ...once, effect: 'read', maxRetries: 3 }, 0, 0);
    expect(retry?.cause).toBe('exit code 1; retry 1 of 3 in 0.5 s');
  });
});

it('a retry may follow wherever a failure may, but for what was given up already', () => {
  expect([...retryFrom, 'outcome_unknown'].sort()).toEqual([...allowedFrom.failed].sort());
});
