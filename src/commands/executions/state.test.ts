import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type ExecutionState, executionStates, finalStates } from '../types.ts';
import {
  type Account,
  acknowledgeMs,
  allowedFrom,
  deadlineOf,
  decideOverdue,
  type Effect,
  isFinal,
  type Overdue,
  reconcile,
  resultGraceMs,
} from './state.ts';

const states = fc.constantFrom(...executionStates);
const effects = fc.constantFrom<Effect>('read', 'idempotent', 'once');
const accounts = fc.option(
  fc.record<Account>({
    phase: fc.constantFrom('running', 'finished', 'unknown'),
    attempt: fc.integer({ min: 1, max: 5 }),
  }),
  { nil: undefined },
);

test('the states that end an execution are the same everywhere', () => {
  expect(executionStates.filter(isFinal)).toEqual(
    [...finalStates].filter((s) => executionStates.includes(s)),
  );
});

test('nothing leaves a final state but outcome_unknown, and that only for what a late result says', () => {
  for (const to of executionStates) {
    for (const from of allowedFrom[to].filter((state) => finalStates.has(state))) {
      expect([from, to]).toEqual([
        'outcome_unknown',
        expect.toBeOneOf(['succeeded', 'failed', 'timed_out', 'cancelled']),
      ]);
    }
  }
});

test('no state leads to itself, and every state but the first two is reached from somewhere', () => {
  for (const state of executionStates) {
    expect(allowedFrom[state]).not.toContain(state);
    expect(allowedFrom[state].length).toBeGreaterThan(0);
  }
});

test('every state that is not final has a deadline, and no final one has', () => {
  fc.assert(
    fc.property(states, fc.nat(), fc.nat(), fc.nat(), (state, at, expiresAt, timeoutMs) => {
      const deadline = deadlineOf(state, at, { expiresAt, timeoutMs });
      expect(deadline === undefined).toBe(finalStates.has(state));
      if (state === 'queued' || state === 'held') expect(deadline).toBe(expiresAt);
      else if (state === 'sent') expect(deadline).toBe(at + acknowledgeMs);
      else if (deadline !== undefined) expect(deadline).toBe(at + timeoutMs + resultGraceMs);
    }),
  );
});

describe('an execution past its deadline', () => {
  const overdue = fc.record<Overdue>({
    state: states,
    hold: fc.constantFrom(undefined, 'maintenance', 'approval', 'rollout', 'backoff'),
    handedOver: fc.boolean(),
    expiresAt: fc.nat(),
  });

  test('goes where its state allows, always', () => {
    fc.assert(
      fc.property(overdue, fc.nat(), (execution, now) => {
        const decision = decideOverdue(execution, now);
        expect(decision === undefined).toBe(finalStates.has(execution.state));
        if (decision === undefined || decision.to === execution.state) return;
        expect(allowedFrom[decision.to]).toContain(execution.state);
        expect(decision.cause).not.toBe('');
      }),
    );
  });

  test('is offered again only within its time to live', () => {
    fc.assert(
      fc.property(overdue, fc.nat(), (execution, now) => {
        if (decideOverdue(execution, now)?.to === 'queued') expect(now).toBeLessThan(execution.expiresAt);
      }),
    );
  });

  test('is called expired only if no agent can have it', () => {
    fc.assert(
      fc.property(overdue, fc.nat(), (execution, now) => {
        if (decideOverdue(execution, now)?.to !== 'expired') return;
        expect(execution.handedOver).toBe(false);
        expect(['queued', 'held']).toContain(execution.state);
      }),
    );
  });

  test.each([
    ['queued', false, 'expired'],
    ['queued', true, 'outcome_unknown'],
    ['held', false, 'expired'],
    ['held', true, 'outcome_unknown'],
    ['sent', true, 'outcome_unknown'],
    ['accepted', true, 'outcome_unknown'],
    ['running', true, 'outcome_unknown'],
  ] as const)('%s, handed over: %s, after its time to live: %s', (state, handedOver, to) => {
    expect(decideOverdue({ state, hold: undefined, handedOver, expiresAt: 1000 }, 1000)?.to).toBe(to);
  });

  test('a wait before a retry ends in the queue, or with its time to live', () => {
    const waiting = { state: 'held', hold: 'backoff', handedOver: false, expiresAt: 1000 } as const;
    expect(decideOverdue(waiting, 999)?.to).toBe('queued');
    expect(decideOverdue(waiting, 1000)?.to).toBe('expired');
  });
});

describe('reconciliation', () => {
  const openStates = ['sent', 'accepted', 'running'] as const;
  const considered = fc.constantFrom<ExecutionState>('queued', 'held', ...openStates, 'outcome_unknown');

  test('decides for every open execution, whatever the agent says of it', () => {
    fc.assert(
      fc.property(fc.constantFrom(...openStates), effects, accounts, (state, effect, account) => {
        expect(reconcile({ state, attempt: 1, effect, handedOver: true }, account)).toBeDefined();
      }),
    );
  });

  test('never queues again what may run only once and may have run', () => {
    fc.assert(
      fc.property(considered, fc.integer({ min: 1, max: 5 }), accounts, (state, attempt, account) => {
        const to = reconcile({ state, attempt, effect: 'once', handedOver: true }, account)?.to;
        const mayHaveRun = account?.attempt === attempt || state === 'accepted' || state === 'running';
        if (mayHaveRun) expect(to).not.toBe('queued');
      }),
    );
  });

  test('leads only where the state allows, or stays', () => {
    fc.assert(
      fc.property(considered, effects, accounts, (state, effect, account) => {
        const to = reconcile({ state, attempt: 1, effect, handedOver: true }, account)?.to;
        if (to === undefined || to === state) return;
        expect(allowedFrom[to]).toContain(state);
      }),
    );
  });

  test.each([
    ['sent', 'running', 'running'],
    ['sent', 'finished', 'accepted'],
    ['sent', 'unknown', 'accepted'],
    ['accepted', 'running', 'running'],
    ['running', 'finished', 'running'],
    ['queued', 'finished', 'accepted'],
    ['queued', 'running', 'running'],
    ['held', 'finished', 'accepted'],
    ['outcome_unknown', 'running', 'outcome_unknown'],
    ['outcome_unknown', 'finished', 'outcome_unknown'],
  ] as const)('%s, and the agent says %s: %s', (state, phase, to) => {
    expect(
      reconcile({ state, attempt: 1, effect: 'once', handedOver: true }, { phase, attempt: 1 })?.to,
    ).toBe(to);
  });

  test.each([
    ['sent', 'once', 'queued'],
    ['accepted', 'once', 'outcome_unknown'],
    ['running', 'once', 'outcome_unknown'],
    ['accepted', 'idempotent', 'queued'],
    ['running', 'read', 'queued'],
    ['queued', 'once', 'queued'],
    ['held', 'once', 'held'],
    ['outcome_unknown', 'read', undefined],
  ] as const)('%s, effect %s, and the agent has no record of it: %s', (state, effect, to) => {
    const execution = { state, attempt: 2, effect, handedOver: true };
    expect(reconcile(execution, undefined)?.to).toBe(to);
    expect(reconcile(execution, { phase: 'running', attempt: 1 })?.to).toBe(to);
  });

  test.each(['queued', 'held'] as const)('what is %s and was never handed over is left alone', (state) => {
    expect(reconcile({ state, attempt: 1, effect: 'once', handedOver: false }, undefined)).toBeUndefined();
  });
});
