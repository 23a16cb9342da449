import { z } from 'zod';
import { type Rollout, rolloutStates } from '../../commands/rollouts/types.ts';
import { commandIdSchema, countSchema, pageInput, reasonSchema, timeSchema, timeView } from './common.ts';

/** How a command goes to its agents in steps, as it is asked for and as it is shown. */

const maximumAgents = 100_000;
const dayMs = 24 * 3_600_000;

const thresholdSchema = z.strictObject({
  /** It trips when this share, or more, went wrong … */
  percent: z.number().min(0).max(100),
  /** … of at least so many. */
  minimumSample: z.int().min(1).max(maximumAgents),
});

const batchSchema = z.union(
  [
    z.strictObject({ agents: z.int().min(1).max(maximumAgents) }),
    z.strictObject({
      percent: z.number().gt(0, { error: 'must be more than 0' }).max(100),
    }),
  ],
  { error: 'must be {agents: …} or {percent: …}' },
);

export const rolloutInput = z.strictObject({
  /** Agents that go first; all of them must succeed. Absent: 1. 0 begins with the first batch. */
  canary: z.int().min(0).max(maximumAgents).optional(),
  /** How many agents each batch has; percent is of all agents of the command. Absent: 25 percent. */
  batch: batchSchema.optional(),
  /** Executions that may be under way at once. Absent: a whole batch. */
  maxInFlight: z.int().min(1).max(maximumAgents).optional(),
  /** Of what was delivered: how much of it may fail. Absent: 10 percent of at least 5. */
  failureThreshold: thresholdSchema.optional(),
  /** Of all: how much of it may not be delivered. Absent: it goes on however many are not. */
  deliveryFailureThreshold: thresholdSchema.optional(),
  /** Waits for a person after the canary. */
  pauseAfterCanary: z.boolean().optional(),
  /** How long an execution may wait for its agent once it was let go. Absent: five minutes. */
  deliveryTimeoutMs: z
    .int()
    .min(1000)
    .max(30 * dayMs)
    .optional(),
});

export const rolloutSchema = z.strictObject({
  plan: rolloutInput.required({
    canary: true,
    batch: true,
    failureThreshold: true,
    pauseAfterCanary: true,
    deliveryTimeoutMs: true,
  }),
  state: z.enum(rolloutStates),
  /** Why it is in this state. */
  reason: z.string().optional(),
  /** Executions that were let go: the first so many, in the order in which the agents were named. */
  released: countSchema,
  /** Every execution counts in one of these. */
  counts: z.strictObject({
    succeeded: countSchema,
    /** Delivered, and failed, timed out, was stopped, or nobody knows how it ended. */
    failed: countSchema,
    /** Never reached its agent: it expired, or was cancelled before. */
    undelivered: countSchema,
    /** Let go and not ended. */
    inFlight: countSchema,
    /** Not let go yet. */
    waiting: countSchema,
  }),
  updatedAt: timeSchema,
});
export type RolloutView = z.output<typeof rolloutSchema>;

export function rolloutView({ updatedAt, ...rest }: Rollout): RolloutView {
  return { ...rest, updatedAt: timeView(updatedAt) };
}

export const getRolloutInput = z.strictObject({ commandId: commandIdSchema });
export const listRolloutsInput = z
  .strictObject({ state: z.enum(rolloutStates).optional(), ...pageInput })
  .prefault({});
export const pauseRolloutInput = z.strictObject({
  commandId: commandIdSchema,
  reason: reasonSchema.default(''),
});
export const resumeRolloutInput = z.strictObject({
  commandId: commandIdSchema,
  /** Also after a stop; failures are counted anew from here on. */
  force: z.boolean().default(false),
});
export const abortRolloutInput = z.strictObject({
  commandId: commandIdSchema,
  reason: reasonSchema.default(''),
  /** Asks what is under way to stop, too. */
  stopRunning: z.boolean().default(false),
});
