import type { RolloutCounts, RolloutInput, RolloutPlan, RolloutThreshold } from './types.ts';

/**
 * The course of a rollout. Every decision about it is made by the pure functions of this file, from how its
 * executions are; what carries them out is in rollouts.ts.
 */

const minuteMs = 60_000;

/** What a rollout may wait for its agents and for persons in all, unless its submitter says otherwise. */
export const rolloutTimeToLiveMs = 24 * 60 * minuteMs;

export function planOf(input: RolloutInput): RolloutPlan {
  return {
    canary: input.canary ?? 1,
    batch: input.batch ?? { percent: 25 },
    maxInFlight: input.maxInFlight,
    failureThreshold: input.failureThreshold ?? { percent: 10, minimumSample: 5 },
    deliveryFailureThreshold: input.deliveryFailureThreshold,
    pauseAfterCanary: input.pauseAfterCanary ?? false,
    deliveryTimeoutMs: input.deliveryTimeoutMs ?? 5 * minuteMs,
  };
}

export interface RolloutProgress extends RolloutCounts {
  /** Executions of the command. */
  total: number;
  /** Executions before this position were let go. */
  released: number;
  /** Of those in flight: given back before an agent had them, and to be let go again. */
  returned: number;
  /** Of the canary: ended otherwise than succeeded. */
  canaryFailed: number;
  /** Waits for a person’s approval; nothing may go before. */
  awaitsApproval: boolean;
}

/** What had gone wrong when a person let the rollout go on in spite of it: it counts no more. */
export type Forgiven = Pick<RolloutProgress, 'succeeded' | 'failed' | 'undelivered' | 'canaryFailed'>;

const nothingForgiven: Forgiven = { succeeded: 0, failed: 0, undelivered: 0, canaryFailed: 0 };

export type RolloutDecision =
  | { do: 'wait' }
  /** Lets every execution before this position go. */
  | { do: 'release'; upTo: number }
  | { do: 'pause'; reason: string }
  | { do: 'stop'; reason: string }
  | { do: 'abort'; reason: string }
  | { do: 'complete' };

export interface RolloutMemory {
  forgiven?: Forgiven | undefined;
  /** A person says this moment that it goes on: there is no pause after the canary any more. */
  resumed?: boolean;
}

/** What becomes of a rollout that is running, or paused: then only its end counts. */
export function decideRollout(
  plan: RolloutPlan,
  progress: RolloutProgress,
  { forgiven = nothingForgiven, resumed = false }: RolloutMemory = {},
): RolloutDecision {
  const { released, inFlight, waiting, returned } = progress;
  const ended = inFlight === 0 && waiting === 0;
  if (ended && released === 0) return { do: 'abort', reason: 'every execution ended before it was let go' };
  const reason = reasonToStop(plan, progress, forgiven);
  if (reason !== undefined) return { do: 'stop', reason };
  if (ended) return { do: 'complete' };
  if (progress.awaitsApproval) return { do: 'wait' };
  const afterCanary = plan.canary > 0 && released === plan.canary && inFlight === 0;
  if (plan.pauseAfterCanary && afterCanary && !resumed) {
    return { do: 'pause', reason: 'the canary succeeded; waits for a person to resume it' };
  }
  const upTo = reach(plan, progress);
  return upTo > released || returned > 0 ? { do: 'release', upTo } : { do: 'wait' };
}

/** How far executions may be let go now. */
function reach(plan: RolloutPlan, { total, released, inFlight }: RolloutProgress): number {
  const current = stageEnd(plan, total, released);
  const isOver = released === current && inFlight === 0;
  const end = isOver ? stageEnd(plan, total, released + 1) : current;
  const room = plan.maxInFlight === undefined ? total : Math.max(0, plan.maxInFlight - inFlight);
  return Math.min(end, released + room);
}

/** Where the canary or the batch ends that the last of so many executions belongs to. */
export function stageEnd(plan: RolloutPlan, total: number, count: number): number {
  if (count <= plan.canary) return Math.min(plan.canary, total);
  const size = batchSize(plan, total);
  return Math.min(plan.canary + Math.ceil((count - plan.canary) / size) * size, total);
}

function batchSize({ batch }: RolloutPlan, total: number): number {
  if ('agents' in batch) return batch.agents;
  // A share that is whole stays whole, whatever the last digit of the product says.
  return Math.max(1, Math.ceil((total * batch.percent) / 100 - 1e-9));
}

function reasonToStop(plan: RolloutPlan, progress: RolloutProgress, forgiven: Forgiven): string | undefined {
  const since = (key: keyof Forgiven) => Math.max(0, progress[key] - forgiven[key]);
  const canary = since('canaryFailed');
  if (canary > 0) {
    const size = Math.min(plan.canary, progress.total);
    return `the canary did not succeed: ${canary} of ${size} failed or could not be delivered`;
  }
  const [succeeded, failed, undelivered] = [since('succeeded'), since('failed'), since('undelivered')];
  return (
    exceeded(plan.failureThreshold, failed, succeeded + failed, 'failed') ??
    exceeded(
      plan.deliveryFailureThreshold,
      undelivered,
      succeeded + failed + undelivered,
      'could not be delivered',
    )
  );
}

function exceeded(
  threshold: RolloutThreshold | undefined,
  bad: number,
  sample: number,
  what: string,
): string | undefined {
  if (threshold === undefined || bad === 0 || sample < threshold.minimumSample) return undefined;
  if (bad * 100 < threshold.percent * sample) return undefined;
  const share = Math.round((bad * 1000) / sample) / 10;
  return (
    `${bad} of ${sample} ${what} (${share} %); ` +
    `the threshold is ${threshold.percent} % of at least ${threshold.minimumSample}`
  );
}
