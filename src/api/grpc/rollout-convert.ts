import type { MessageInitShape } from '@bufbuild/protobuf';
import { durationFromMs, durationMs, timestampFromDate } from '@bufbuild/protobuf/wkt';
import {
  type RolloutPlan as RolloutPlanMessage,
  type RolloutPlanSchema,
  type RolloutSchema,
  RolloutState as RolloutStateMessage,
} from '#gen/viworks/control/v1/rollout_pb.js';
import type { Rollout, RolloutInput, RolloutPlan, RolloutState } from '../../commands/rollouts/types.ts';
import { inverse } from './enums.ts';

/** Between the rollouts of the core and those of viworks.control.v1. */

const stateMessage: Record<RolloutState, RolloutStateMessage> = {
  running: RolloutStateMessage.RUNNING,
  paused: RolloutStateMessage.PAUSED,
  stopped: RolloutStateMessage.STOPPED,
  aborted: RolloutStateMessage.ABORTED,
  completed: RolloutStateMessage.COMPLETED,
};

export const rolloutStateOf = inverse(stateMessage);

export function planMessage(plan: RolloutPlan): MessageInitShape<typeof RolloutPlanSchema> {
  const { batch, maxInFlight, deliveryFailureThreshold, deliveryTimeoutMs, ...rest } = plan;
  return {
    ...rest,
    batch:
      'agents' in batch
        ? { case: 'batchAgents', value: batch.agents }
        : { case: 'batchPercent', value: batch.percent },
    deliveryTimeout: durationFromMs(deliveryTimeoutMs),
    ...(maxInFlight !== undefined && { maxInFlight }),
    ...(deliveryFailureThreshold && { deliveryFailureThreshold }),
  };
}

export function rolloutMessage(rollout: Rollout): MessageInitShape<typeof RolloutSchema> {
  const { plan, state, reason = '', updatedAt, ...rest } = rollout;
  return {
    ...rest,
    plan: planMessage(plan),
    state: stateMessage[state],
    reason,
    updatedAt: timestampFromDate(updatedAt),
  };
}

/** What a caller asks for; its schema says whether it is right. */
export function readPlan(plan: RolloutPlanMessage): RolloutInput {
  const { canary, batch, maxInFlight, failureThreshold, deliveryFailureThreshold, deliveryTimeout } = plan;
  return {
    canary,
    batch: readBatch(batch),
    maxInFlight,
    failureThreshold: readThreshold(failureThreshold),
    deliveryFailureThreshold: readThreshold(deliveryFailureThreshold),
    pauseAfterCanary: plan.pauseAfterCanary,
    deliveryTimeoutMs: deliveryTimeout && Math.ceil(durationMs(deliveryTimeout)),
  };
}

function readBatch(batch: RolloutPlanMessage['batch']): RolloutInput['batch'] {
  if (batch.case === 'batchAgents') return { agents: batch.value };
  return batch.case === 'batchPercent' ? { percent: batch.value } : undefined;
}

const readThreshold = (threshold: RolloutPlanMessage['failureThreshold']) =>
  threshold && { percent: threshold.percent, minimumSample: threshold.minimumSample };

/** What callers of gRPC call the fields of a plan. */
export const planNames: readonly (readonly [core: string, proto: string])[] = [
  ['rollout.batch.agents', 'rollout.batch_agents'],
  ['rollout.batch.percent', 'rollout.batch_percent'],
  ['rollout.maxInFlight', 'rollout.max_in_flight'],
  ['rollout.failureThreshold.percent', 'rollout.failure_threshold.percent'],
  ['rollout.failureThreshold.minimumSample', 'rollout.failure_threshold.minimum_sample'],
  ['rollout.deliveryFailureThreshold.percent', 'rollout.delivery_failure_threshold.percent'],
  ['rollout.deliveryFailureThreshold.minimumSample', 'rollout.delivery_failure_threshold.minimum_sample'],
  ['rollout.deliveryTimeoutMs', 'rollout.delivery_timeout'],
];
