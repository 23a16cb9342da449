import type { ExecutionState } from '../types.ts';

/**
 * The life of an execution. Every decision about it is made by the pure functions of this file; storage
 * applies a decision only where the row is still in one of the states that it names.
 *
 *   held ⇄ queued ──────► sent ──────► accepted ──► running        (held again between two attempts)
 *     │      │             │              │            │
 *     └──────┴─ cancelled  └──────────────┴────────────┴─► succeeded, failed, cancelled, timed_out
 *     └──────┴─ expired    │              │            │
 *            ▲             │              └────────────┴─► outcome_unknown ─► what a late result says
 *            └─────────────┘ not acknowledged in time, or the agent never had it
 */

/**
 * From which states an execution may come into each state. A result may find it waiting: it was sent,
 * offered again for want of an acknowledgement, and ran all the same. The epoch keeps out results of what never left.
 */
export const allowedFrom: Readonly<Record<ExecutionState, readonly ExecutionState[]>> = {
  queued: ['held', 'sent', 'accepted', 'running'],
  held: ['queued', 'sent', 'accepted', 'running'],
  sent: ['queued'],
  accepted: ['queued', 'held', 'sent'],
  running: ['queued', 'held', 'sent', 'accepted'],
  succeeded: ['queued', 'held', 'sent', 'accepted', 'running', 'outcome_unknown'],
  failed: ['queued', 'held', 'sent', 'accepted', 'running', 'outcome_unknown'],
  timed_out: ['queued', 'held', 'sent', 'accepted', 'running', 'outcome_unknown'],
  cancelled: ['queued', 'held', 'sent', 'accepted', 'running', 'outcome_unknown'],
  expired: ['queued', 'held', 'sent'],
  outcome_unknown: ['queued', 'held', 'sent', 'accepted', 'running'],
};

/** How a verb's effect bears on what may be done again. */
export type Effect = 'read' | 'idempotent' | 'once';

export interface Decision {
  to: ExecutionState;
  cause: string;
}

/** Milliseconds that a sent execution may stay without a word before it is offered again. */
export const acknowledgeMs = 30_000;
/** Milliseconds after the time-out of the work in which its result must have come. */
export const resultGraceMs = 30_000;

/** When somebody must look at an execution in this state; undefined in final states. */
export function deadlineOf(
  state: ExecutionState,
  at: number,
  limits: { expiresAt: number; timeoutMs: number },
): number | undefined {
  switch (state) {
    case 'queued':
    case 'held':
      return limits.expiresAt;
    case 'sent':
      return at + acknowledgeMs;
    case 'accepted':
    case 'running':
      return at + limits.timeoutMs + resultGraceMs;
    default:
      return undefined;
  }
}

/** Why an execution is held: its agent is in maintenance, it waits for a person, for its turn, or for a retry. */
export type Hold = 'maintenance' | 'approval' | 'rollout' | 'backoff';

export interface Overdue {
  state: ExecutionState;
  hold: Hold | undefined;
  /** An agent may have it: it was handed to a session, and nothing was heard since that says otherwise. */
  handedOver: boolean;
  expiresAt: number;
}

/** It may have run all the same: a result that comes late says how it went. */
const neverAnswered: Decision = {
  to: 'outcome_unknown',
  cause: 'handed over, never answered, and its time to live is over',
};

/** What becomes of an execution whose deadline has passed. */
export function decideOverdue(execution: Overdue, now: number): Decision | undefined {
  switch (execution.state) {
    case 'queued':
    case 'held':
      if (execution.hold === 'backoff' && now < execution.expiresAt) {
        return { to: 'queued', cause: 'the wait before the retry is over' };
      }
      if (execution.handedOver) return neverAnswered;
      return { to: 'expired', cause: 'could not be delivered within its time to live' };
    case 'sent':
      if (now < execution.expiresAt) {
        return { to: 'queued', cause: `not acknowledged within ${acknowledgeMs / 1000} s; offered again` };
      }
      return neverAnswered;
    case 'accepted':
    case 'running':
      return {
        to: 'outcome_unknown',
        cause: `no result within its time-out and ${resultGraceMs / 1000} s more`,
      };
    default:
      return undefined;
  }
}

/** One line of the agent's account in HELLO. */
export interface Account {
  phase: 'running' | 'finished' | 'unknown';
  attempt: number;
}

export interface OpenExecution {
  state: ExecutionState;
  attempt: number;
  effect: Effect;
  /** An agent may have it. */
  handedOver: boolean;
}

/**
 * What the server believes of an execution after the agent has come back and given its account.
 * @param account undefined where the agent's ledger does not know the execution
 */
export function reconcile(execution: OpenExecution, account: Account | undefined): Decision | undefined {
  const known = account !== undefined && account.attempt === execution.attempt;
  if (known) {
    const beyond = execution.state === 'running' || execution.state === 'outcome_unknown';
    if (account.phase === 'running') {
      // Nothing but its result follows outcome_unknown.
      const to = execution.state === 'outcome_unknown' ? execution.state : 'running';
      return { to, cause: 'the agent came back and still runs it' };
    }
    return { to: beyond ? execution.state : 'accepted', cause: 'the agent came back; its result follows' };
  }
  switch (execution.state) {
    case 'queued':
    case 'held':
      if (!execution.handedOver) return undefined;
      return { to: execution.state, cause: 'the agent came back and never had it' };
    case 'sent':
      return { to: 'queued', cause: 'the agent came back and never had it; offered again' };
    case 'accepted':
    case 'running':
      if (execution.effect === 'once') {
        return { to: 'outcome_unknown', cause: 'the agent came back and has no record of it' };
      }
      return { to: 'queued', cause: 'the agent came back and has no record of it; safe to repeat' };
    default:
      return undefined;
  }
}

/** Nothing follows, but a late result after outcome_unknown. */
export function isFinal(state: ExecutionState): boolean {
  return deadlineOf(state, 0, { expiresAt: 0, timeoutMs: 0 }) === undefined;
}
