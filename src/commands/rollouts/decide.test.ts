import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  decideRollout,
  type Forgiven,
  planOf,
  type RolloutDecision,
  type RolloutProgress,
  stageEnd,
} from './decide.ts';
import type { RolloutInput, RolloutPlan, RolloutThreshold } from './types.ts';

const threshold = fc.record({
  percent: fc.integer({ min: 0, max: 100 }),
  minimumSample: fc.integer({ min: 1, max: 20 }),
});
const plans: fc.Arbitrary<RolloutPlan> = fc
  .record(
    {
      canary: fc.integer({ min: 0, max: 8 }),
      batch: fc.oneof(
        fc.record({ agents: fc.integer({ min: 1, max: 15 }) }),
        fc.record({ percent: fc.double({ min: 0.1, max: 100, noNaN: true }) }),
      ),
      maxInFlight: fc.option(fc.integer({ min: 1, max: 6 }), { nil: undefined }),
      failureThreshold: threshold,
      deliveryFailureThreshold: fc.option(threshold, { nil: undefined }),
      pauseAfterCanary: fc.boolean(),
    },
    { requiredKeys: [] },
  )
  .map(planOf);

const ends = ['succeeded', 'failed', 'undelivered'] as const;
type End = (typeof ends)[number];
type State = End | 'waiting' | 'inFlight';
const fates = fc.array(
  fc.constantFrom<End>('succeeded', 'succeeded', 'succeeded', 'succeeded', 'failed', 'undelivered'),
  { minLength: 1, maxLength: 40 },
);

/** A rollout in memory, which a test moves on by hand. */
function simulate(plan: RolloutPlan, fate: readonly End[]) {
  const states: State[] = fate.map(() => 'waiting');
  let released = 0;
  const count = (state: State) => states.filter((each) => each === state).length;
  const progress = (): RolloutProgress => ({
    total: states.length,
    released,
    succeeded: count('succeeded'),
    failed: count('failed'),
    undelivered: count('undelivered'),
    inFlight: count('inFlight'),
    waiting: count('waiting'),
    returned: 0,
    canaryFailed: states.slice(0, plan.canary).filter((s) => s === 'failed' || s === 'undelivered').length,
    awaitsApproval: false,
  });
  return {
    states,
    progress,
    release(upTo: number) {
      for (let n = released; n < upTo; n++) if (states[n] === 'waiting') states[n] = 'inFlight';
      released = upTo;
    },
    /** One of those under way ends, whichever is chosen. */
    endOne(choice: number) {
      const open = states.flatMap((state, n) => (state === 'inFlight' ? [n] : []));
      const at = open[choice % open.length];
      if (at !== undefined) states[at] = fate[at] ?? 'succeeded';
    },
  };
}

interface Step {
  before: RolloutProgress;
  decision: RolloutDecision;
  forgiven: Forgiven | undefined;
}

/** Runs a rollout to its end, resuming each pause and, if asked, forcing each stop; answers with every step. */
function run(plan: RolloutPlan, fate: readonly End[], choices: readonly number[], force: boolean): Step[] {
  const rollout = simulate(plan, fate);
  const steps: Step[] = [];
  let forgiven: Forgiven | undefined;
  let resumed = false;
  for (let n = 0; ; n++) {
    if (n > fate.length * 10 + 10) throw new Error('it never ends');
    const before = rollout.progress();
    const decision = decideRollout(plan, before, { forgiven, resumed });
    steps.push({ before, decision, forgiven });
    resumed = false;
    switch (decision.do) {
      case 'wait':
        rollout.endOne(choices[n % choices.length] ?? 0);
        break;
      case 'release':
        rollout.release(decision.upTo);
        break;
      case 'pause':
        resumed = true;
        break;
      case 'stop':
        if (!force || before.waiting === 0) return steps;
        forgiven = before;
        resumed = true;
        break;
      default:
        return steps;
    }
  }
}

const runs = fc
  .tuple(plans, fates, fc.array(fc.nat(100), { minLength: 1, maxLength: 50 }), fc.boolean())
  .map(([plan, fate, choices, force]) => ({ plan, fate, force, steps: run(plan, fate, choices, force) }));

const releases = (steps: readonly Step[]) =>
  steps.flatMap(({ before, decision }) =>
    decision.do === 'release' ? [{ before, upTo: decision.upTo }] : [],
  );

describe('whatever the plan and however its executions end', () => {
  test('a rollout ends', () => {
    fc.assert(
      fc.property(runs, ({ steps, fate, force }) => {
        const last = steps.at(-1);
        expect(['stop', 'complete']).toContain(last?.decision.do);
        if (last?.decision.do === 'complete' || force) expect(last?.before.waiting).toBe(0);
        if (last?.decision.do === 'complete') expect(last.before.released).toBe(fate.length);
      }),
    );
  });

  test('it goes forward only, and only into what its stage allows', () => {
    fc.assert(
      fc.property(runs, ({ plan, steps }) => {
        for (const { before, upTo } of releases(steps)) {
          expect(upTo).toBeGreaterThan(before.released);
          expect(upTo).toBeLessThanOrEqual(before.total);
          const end = stageEnd(plan, before.total, before.released);
          if (upTo > end) {
            expect(before.released).toBe(end);
            expect(before.inFlight).toBe(0);
            expect(upTo).toBeLessThanOrEqual(stageEnd(plan, before.total, end + 1));
          }
        }
      }),
    );
  });

  test('never more is under way than it allows', () => {
    fc.assert(
      fc.property(runs, ({ plan, steps }) => {
        for (const { before, upTo } of releases(steps)) {
          const under = before.inFlight + upTo - before.released;
          if (plan.maxInFlight !== undefined) expect(under).toBeLessThanOrEqual(plan.maxInFlight);
        }
      }),
    );
  });

  test('nothing goes past a canary before all of it has succeeded, unless a person forces it', () => {
    fc.assert(
      fc.property(runs, ({ plan, steps, force }) => {
        for (const { before, upTo } of releases(steps)) {
          if (force || upTo <= plan.canary) continue;
          expect(before.succeeded).toBeGreaterThanOrEqual(Math.min(plan.canary, before.total));
          expect(before.canaryFailed).toBe(0);
        }
      }),
    );
  });

  test('nothing is let go beyond a threshold, and none trips below its sample', () => {
    const tripped = (rule: RolloutThreshold | undefined, bad: number, sample: number) =>
      rule !== undefined &&
      bad > 0 &&
      sample >= rule.minimumSample &&
      bad / sample >= rule.percent / 100 - 1e-12;
    fc.assert(
      fc.property(runs, ({ plan, steps }) => {
        for (const { before, decision, forgiven } of steps) {
          const since = (key: keyof Forgiven) => before[key] - (forgiven?.[key] ?? 0);
          const [failed, undelivered] = [since('failed'), since('undelivered')];
          const delivered = failed + since('succeeded');
          const should =
            since('canaryFailed') > 0 ||
            tripped(plan.failureThreshold, failed, delivered) ||
            tripped(plan.deliveryFailureThreshold, undelivered, delivered + undelivered);
          expect(decision.do === 'stop').toBe(should);
        }
      }),
    );
  });
});

const at = (change: Partial<RolloutProgress>): RolloutProgress => ({
  total: 20,
  released: 0,
  succeeded: 0,
  failed: 0,
  undelivered: 0,
  inFlight: 0,
  waiting: 0,
  returned: 0,
  canaryFailed: 0,
  awaitsApproval: false,
  ...change,
});
const decide = (plan: RolloutInput, change: Partial<RolloutProgress>, resumed = false) =>
  decideRollout(planOf(plan), at(change), { resumed });

test.each<[string, RolloutInput, Partial<RolloutProgress>, RolloutDecision]>([
  ['the canary first', {}, { waiting: 20 }, { do: 'release', upTo: 1 }],
  ['waits for the canary', {}, { released: 1, inFlight: 1, waiting: 19 }, { do: 'wait' }],
  ['then a quarter of all', {}, { released: 1, succeeded: 1, waiting: 19 }, { do: 'release', upTo: 6 }],
  [
    'a canary that could not be delivered is no good one',
    { canary: 2 },
    { released: 2, succeeded: 1, undelivered: 1, canaryFailed: 1, waiting: 18 },
    { do: 'stop', reason: 'the canary did not succeed: 1 of 2 failed or could not be delivered' },
  ],
  [
    'a batch of a share that is whole',
    { canary: 0, batch: { percent: 15 } },
    { waiting: 20 },
    { do: 'release', upTo: 3 },
  ],
  [
    'the pause after the canary',
    { pauseAfterCanary: true },
    { released: 1, succeeded: 1, waiting: 19 },
    { do: 'pause', reason: 'the canary succeeded; waits for a person to resume it' },
  ],
  [
    'figures in the reason of a stop',
    { failureThreshold: { percent: 20, minimumSample: 10 } },
    { released: 20, succeeded: 8, failed: 3, undelivered: 4, inFlight: 5 },
    { do: 'stop', reason: '3 of 11 failed (27.3 %); the threshold is 20 % of at least 10' },
  ],
  [
    'what was not delivered counts apart',
    { deliveryFailureThreshold: { percent: 50, minimumSample: 4 } },
    { released: 6, succeeded: 2, undelivered: 2, inFlight: 2, waiting: 14 },
    { do: 'stop', reason: '2 of 4 could not be delivered (50 %); the threshold is 50 % of at least 4' },
  ],
  ['nothing before the approval', {}, { waiting: 20, awaitsApproval: true }, { do: 'wait' }],
  [
    'all of it ended before it began',
    {},
    { undelivered: 20, canaryFailed: 1 },
    { do: 'abort', reason: 'every execution ended before it was let go' },
  ],
  [
    'what came back goes again',
    {},
    { released: 6, succeeded: 3, inFlight: 3, returned: 1, waiting: 14 },
    { do: 'release', upTo: 6 },
  ],
])('%s', (_, plan, progress, decision) => {
  expect(decide(plan, progress)).toEqual(decision);
});

test('a person who resumes it after the canary is not asked again', () => {
  const after = { released: 1, succeeded: 1, waiting: 19 };
  expect(decide({ pauseAfterCanary: true }, after, true)).toEqual({ do: 'release', upTo: 6 });
});
