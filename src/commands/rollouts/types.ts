import type { Scope } from '../../lib/scope.ts';

/**
 * A rollout is a command that goes to its agents in steps: a canary, then batch after batch, each begun when
 * the one before has ended, and none after too many failures.
 */

export const rolloutStates = ['running', 'paused', 'stopped', 'aborted', 'completed'] as const;
/**
 * paused: by a person, or after the canary. stopped: by its canary or a threshold. aborted: by a person.
 * completed: every execution has ended.
 */
export type RolloutState = (typeof rolloutStates)[number];

export interface RolloutFilter {
  state?: RolloutState | undefined;
  /** Only what a caller who is limited so may see. */
  scope?: Scope | undefined;
}

export interface RolloutThreshold {
  /** It trips when this share, or more, went wrong … */
  percent: number;
  /** … of at least so many. */
  minimumSample: number;
}

export interface RolloutPlan {
  /** Agents that go first; all of them must succeed. 0 begins with the first batch. */
  canary: number;
  /** How many agents each batch has; percent is of all agents of the command. */
  batch: { agents: number } | { percent: number };
  /** Executions that may be under way at once; undefined lets a whole batch go at once. */
  maxInFlight: number | undefined;
  /** Of what was delivered: how much of it may fail. */
  failureThreshold: RolloutThreshold;
  /** Of all: how much of it may not be delivered; undefined goes on however many are not. */
  deliveryFailureThreshold: RolloutThreshold | undefined;
  /** Waits for a person after the canary. */
  pauseAfterCanary: boolean;
  /** Milliseconds that an execution may wait for its agent once it was let go. */
  deliveryTimeoutMs: number;
}

/** What a caller hands in; what is left out takes its default. */
export type RolloutInput = { [K in keyof RolloutPlan]?: RolloutPlan[K] | undefined };

/** How the executions of a rollout are: each counts once. */
export interface RolloutCounts {
  succeeded: number;
  /** Delivered, and failed, timed out, was stopped, or nobody knows how it ended. */
  failed: number;
  /** Never reached its agent: it expired, or was cancelled before. */
  undelivered: number;
  /** Let go and not ended, wherever it is. */
  inFlight: number;
  /** Not let go yet. */
  waiting: number;
}

export interface Rollout {
  plan: RolloutPlan;
  state: RolloutState;
  /** Why it is in this state, in words for a person; undefined while nothing happened to it. */
  reason: string | undefined;
  /** Executions before this position were let go. */
  released: number;
  counts: RolloutCounts;
  updatedAt: Date;
}
