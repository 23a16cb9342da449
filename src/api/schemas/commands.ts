import { z } from 'zod';
import { type Command, priorities, retryableStates, type WatchEvent } from '../../commands/types.ts';
import type { VerbWithArgs } from '../verb-args.ts';
import { approvalSchema, approvalView } from './approvals.ts';
import {
  agentIdSchema,
  commandIdSchema,
  countSchema,
  jsonObjectSchema,
  nextPageToken,
  pageInput,
  reasonSchema,
  siteSchema,
  timeSchema,
  timeView,
} from './common.ts';
import { executionSchema, executionStateSchema, executionView } from './executions.ts';
import { outputPieceSchema, outputPieceView } from './output.ts';
import { rolloutInput, rolloutSchema, rolloutView } from './rollouts.ts';
import { targetInput, targetSchema, targetView } from './targets.ts';

const hourMs = 3_600_000;
export const submitInput = z.strictObject({
  /** A name that `commands.verbs` tells, for example `system.info`. */
  verb: z.string().min(1).max(64),
  /** The verb's args message in JSON, for example `{"argv": ["uptime"]}`. */
  args: jsonObjectSchema.default({}),
  target: targetInput,
  priority: z.enum(priorities).optional(),
  /** From the start of the work to its forced end. Absent: the verb's own. */
  timeoutMs: z
    .int()
    .min(1)
    .max(24 * hourMs)
    .optional(),
  /** How long it may wait for its agents. Absent: as configured. */
  timeToLiveMs: z
    .int()
    .min(1000)
    .max(30 * 24 * hourMs)
    .optional(),
  /** The same key and the same spec give the first answer again. */
  idempotencyKey: z.string().min(1).max(128).optional(),
  /** Carried along and shown; joins this command to the caller's own records. */
  correlationId: z.string().max(128).optional(),
  /**
   * How often a failed attempt may be followed by another one, where the verb's effect allows it. Absent: as
   * configured.
   */
  maxRetries: z.int().min(0).max(10).optional(),
  /** In steps instead of everywhere at once. */
  rollout: rolloutInput.optional(),
});

/** The same to the compiler of a caller, who learns there which args go with which verb. */
export const typedSubmitInput = submitInput as z.ZodType<
  z.output<typeof submitInput>,
  Omit<z.input<typeof submitInput>, 'verb' | 'args'> & VerbWithArgs
>;

const commandSchema = z.strictObject({
  commandId: z.string(),
  verb: z.string(),
  args: jsonObjectSchema,
  target: targetSchema,
  priority: z.enum(priorities),
  timeoutMs: countSchema,
  timeToLiveMs: countSchema,
  idempotencyKey: z.string().optional(),
  correlationId: z.string().optional(),
  maxRetries: countSchema,
  /** Agents that the target named and that lack what the verb needs. */
  skipped: countSchema,
  /** The command that this one tries again. */
  retryOf: z.string().optional(),
  /** What submitted it in the actor's name, for example `schedule:nightly`; absent for the actor itself. */
  origin: z.string().optional(),
  /** Who submitted it. */
  actor: z.string(),
  createdAt: timeSchema,
  expiresAt: timeSchema,
  /** How many executions are in which state; states with none are absent. */
  counts: z.partialRecord(executionStateSchema, countSchema),
  /** Every execution is in a final state. */
  done: z.boolean(),
  /** Its course, where it goes to its agents in steps. */
  rollout: rolloutSchema.optional(),
  /** What a second person has to say, where one has to. */
  approval: approvalSchema.optional(),
});
export type CommandView = z.output<typeof commandSchema>;

export function commandView(command: Command): CommandView {
  const { target, createdAt, expiresAt, rollout, approval, ...rest } = command;
  return {
    ...rest,
    target: targetView(target),
    createdAt: timeView(createdAt),
    expiresAt: timeView(expiresAt),
    rollout: rollout && rolloutView(rollout),
    approval: approval && approvalView(approval),
  };
}

export const commandOutput = z.strictObject({ command: commandSchema });

export const getCommandInput = z.strictObject({ commandId: commandIdSchema, ...pageInput });
export const getCommandOutput = z.strictObject({
  command: commandSchema,
  /** In the order in which their agents were named. */
  executions: z.array(executionSchema),
  nextPageToken,
});

export const listCommandsInput = z
  .strictObject({
    /** Every field that is set must match. */
    filter: z
      .strictObject({
        verb: z.string().max(64).optional(),
        agentId: agentIdSchema.optional(),
        actor: z.string().max(128).optional(),
        /** Commands with at least one execution in this state. */
        state: executionStateSchema.optional(),
        priority: z.enum(priorities).optional(),
        /** Commands that reached an agent of this site. */
        site: siteSchema.optional(),
        correlationId: z.string().max(128).optional(),
        /** What submitted them, for example `schedule:nightly`. */
        origin: z.string().max(128).optional(),
        /** Whether they wait for a second person. */
        awaitingApproval: z.boolean().optional(),
        createdAfter: timeSchema.transform((text) => new Date(text)).optional(),
        createdBefore: timeSchema.transform((text) => new Date(text)).optional(),
      })
      .default({}),
    ...pageInput,
  })
  .prefault({});
/** Newest first. */
export const listCommandsOutput = z.strictObject({ commands: z.array(commandSchema), nextPageToken });

export const cancelInput = z.strictObject({ commandId: commandIdSchema, reason: reasonSchema.default('') });

export const retryInput = z.strictObject({
  commandId: commandIdSchema,
  /**
   * Which executions. Absent: all that did not succeed, but of a verb whose effect must not happen twice not those
   * of which nobody knows how they ended.
   */
  states: z.array(z.enum(retryableStates)).min(1).max(retryableStates.length).optional(),
  /** The same key and the same command give the first answer again. */
  idempotencyKey: z.string().min(1).max(128).optional(),
});

export const watchInput = z.strictObject({
  commandId: commandIdSchema,
  /** Id of the last event that was seen; clients set it themselves when they connect again. */
  lastEventId: z.string().max(512).nullish(),
});
export const watchOutput = z.strictObject({
  command: commandSchema,
  /** Executions that changed since the event before; the first event has all of them. */
  executions: z.array(executionSchema),
  /**
   * What processes wrote since, each stream in order. All that a process wrote comes before the end of its
   * execution; a process that is done at once writes only into its result.
   */
  output: z.array(outputPieceSchema),
});

export function watchView({ command, executions, output }: WatchEvent): z.output<typeof watchOutput> {
  return {
    command: commandView(command),
    executions: executions.map(executionView),
    output: output.map(outputPieceView),
  };
}
