import type { JsonObject } from '@bufbuild/protobuf';
import type { Scope } from '../lib/scope.ts';
import type { AgentStatus } from '../storage/agents.ts';
import type { StatisticsCounts, StatisticsGroup } from '../storage/command-statistics.ts';
import type { CommandListFilter } from '../storage/commands.ts';
import type { Approval } from './approvals/decide.ts';
import type { Rollout, RolloutInput } from './rollouts/types.ts';

/**
 * A command is what somebody asked for; an execution is that command on one agent, the unit that is queued,
 * sent, run and finished. These are the shapes in which the rest of the service sees them.
 */

export const priorities = ['critical', 'high', 'normal', 'low'] as const;
export type Priority = (typeof priorities)[number];

export const executionStates = [
  'queued',
  'held',
  'sent',
  'accepted',
  'running',
  'succeeded',
  'failed',
  'cancelled',
  'timed_out',
  'expired',
  'outcome_unknown',
] as const;
export type ExecutionState = (typeof executionStates)[number];

export const finalStates: ReadonlySet<ExecutionState> = new Set([
  'succeeded',
  'failed',
  'cancelled',
  'timed_out',
  'expired',
  'outcome_unknown',
]);

/** Every part that is set must match; of several values any, of capabilities and labels all. */
export interface AgentSelector {
  sites?: readonly string[] | undefined;
  capabilities?: readonly string[] | undefined;
  labels?: Readonly<Record<string, string>> | undefined;
  os?: readonly string[] | undefined;
  statuses?: readonly AgentStatus[] | undefined;
}

/** Which agents; resolved when the command is submitted, and what it resolved to is stored. */
export type Target = (
  | { agents: readonly string[] }
  | { site: string }
  | { selector: AgentSelector }
  | { all: true }
) & {
  /** Only one of them: the one that has the least to do. */
  anyOne?: true | undefined;
};

export interface CommandSpec {
  verb: string;
  /** The verb's args: its message in the protobuf JSON form, or what the JSON Schema of a plug-in says. */
  args: JsonObject;
  target: Target;
  priority: Priority;
  /** From the start of the work to its forced end. */
  timeoutMs: number;
  /** How long it may wait for its agents. */
  timeToLiveMs: number;
  /** How often a failed attempt may be followed by another one, where the verb’s effect allows it. */
  maxRetries: number;
  /** What submitted it in the actor’s name, for example `schedule:nightly`. */
  origin: string | undefined;
  idempotencyKey: string | undefined;
  correlationId: string | undefined;
}

/** What a caller hands in; what is left out takes the verb's or the configuration's value. */
export type SubmitInput = Pick<CommandSpec, 'verb' | 'target'> & {
  [K in keyof Omit<CommandSpec, 'verb' | 'target'>]?: CommandSpec[K] | undefined;
} & {
  /** In steps instead of everywhere at once; what is left out takes its default. */
  rollout?: RolloutInput | undefined;
  /** The command that this one tries again; set by the engine. */
  retryOf?: string | undefined;
  /** What its caller is limited to; set by the API. @see Scope */
  within?: Scope | undefined;
};

export interface Command extends CommandSpec {
  commandId: string;
  /** Who submitted it. */
  actor: string;
  /** Agents that the target named and that lack what the verb needs. */
  skipped: number;
  /** The command that this one tries again. */
  retryOf: string | undefined;
  createdAt: Date;
  expiresAt: Date;
  /** How many executions are in which state; states with none are absent. */
  counts: Partial<Record<ExecutionState, number>>;
  /** Every execution is in a final state, and if it is a rollout, that one has ended as well. */
  done: boolean;
  /** Its course, where it goes to its agents in steps. */
  rollout: Rollout | undefined;
  /** What a second person has to say, where one has to. */
  approval: Approval | undefined;
}

export interface Transition {
  state: ExecutionState;
  /** Why, in words for a person. */
  cause: string;
  /** The server's time. */
  at: Date;
}

export interface Execution {
  executionId: string;
  commandId: string;
  agentId: string;
  state: ExecutionState;
  attempt: number;
  /** Every state it was in, oldest first. */
  transitions: Transition[];
  /** Grows with each change. */
  revision: number;
  /** What is known of the end; only in final states. */
  result: ExecutionResult | undefined;
}

export interface StreamOutput {
  data: Uint8Array;
  totalBytes: number;
  truncated: boolean;
}

export interface ExecutionResult {
  exitCode: number | undefined;
  signal: string | undefined;
  stdout: StreamOutput | undefined;
  stderr: StreamOutput | undefined;
  /** The verb's result, in the same form as the args. */
  output: JsonObject | undefined;
  failure: { code: string; message: string } | undefined;
  /** The agent's times. */
  startedAt: Date | undefined;
  finishedAt: Date | undefined;
}

export interface CommandFilter extends Omit<CommandListFilter, 'state' | 'priority'> {
  /** Commands with at least one execution in this state. */
  state?: ExecutionState | undefined;
  priority?: Priority | undefined;
}

export const outputStreams = ['stdout', 'stderr'] as const;
export type OutputStream = (typeof outputStreams)[number];

/** A piece of what a process wrote while it ran. */
export interface OutputPiece {
  executionId: string;
  agentId: string;
  attempt: number;
  stream: OutputStream;
  /** Position of its first byte in the whole stream. */
  offset: number;
  data: Uint8Array;
}

/** A part of one stream of an execution's last attempt. */
export interface OutputRange {
  attempt: number;
  offset: number;
  data: Uint8Array;
  /** The execution has ended, and nothing of the stream follows. */
  complete: boolean;
  /** All that the process wrote, kept or not; known when it has ended. */
  totalBytes: number | undefined;
}

export interface WatchEvent {
  /** Hand it in again to go on after this event. */
  cursor: string;
  command: Command;
  /** Executions that changed since the event before; all of them come once at the beginning. */
  executions: Execution[];
  /**
   * What processes wrote since, each stream in order. All that a process wrote comes before the end of its
   * execution; a process that is done at once writes only into its result.
   */
  output: OutputPiece[];
}

/** What a submit would do. */
export interface CommandPlan {
  spec: CommandSpec;
  /** How many agents would get an execution, and how many would not. */
  chosenCount: number;
  leftOutCount: number;
  /** The first thousand of each. */
  chosen: PlannedAgent[];
  leftOut: { agentId: string; reason: string }[];
}

export interface PlannedAgent {
  agentId: string;
  /** The state in which its execution would begin. */
  state: 'sent' | 'queued' | 'held';
  /** Why not at once. */
  reason: string | undefined;
}

/** Ends after which a command may be tried again. */
export const retryableStates = [
  'failed',
  'timed_out',
  'expired',
  'cancelled',
  'outcome_unknown',
] as const satisfies readonly ExecutionState[];
export type RetryableState = (typeof retryableStates)[number];

export interface RetryOptions {
  /**
   * Which executions; by default all that did not succeed, but where the effect must not happen twice, those of
   * which nobody knows how they ended only if they are asked for by name.
   */
  states?: readonly RetryableState[] | undefined;
  idempotencyKey?: string | undefined;
  /** What its caller is limited to. */
  within?: Scope | undefined;
}

export { type StatisticsGroup, statisticsGroups } from '../storage/command-statistics.ts';

export interface StatisticsQuery {
  by: StatisticsGroup;
  /** Of commands that were submitted from then on, and before. */
  from: Date;
  to: Date;
  /** Only of what a caller who is limited so may see. */
  scope?: Scope | undefined;
}

/** Of the executions of one group. */
export interface Statistics extends StatisticsCounts {
  /** The verb, agent, site, actor, priority or state. */
  key: string;
  /** Milliseconds from submit to the first hand-over to an agent. */
  waitMs: { p50: number; p95: number } | undefined;
  /** Milliseconds that the work took, by the agents' clocks. */
  runMs: { p50: number; p95: number; maximum: number } | undefined;
}
