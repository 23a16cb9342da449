import type { JsonObject } from '@bufbuild/protobuf';
import { createIsoWriter } from '../lib/iso.ts';
import { storableText } from '../lib/text.ts';
import type { StoredApproval } from '../storage/approvals.ts';
import type { StoredCommand } from '../storage/commands.ts';
import type { TransitionRow } from '../storage/execution-changes.ts';
import type { StoredRollout } from '../storage/rollout-columns.ts';
import type { StoredExecution } from '../storage/stored-executions.ts';
import type { Approval } from './approvals/decide.ts';
import { planOf } from './rollouts/decide.ts';
import type { Rollout, RolloutInput, RolloutState } from './rollouts/types.ts';
import {
  type Command,
  type Execution,
  type ExecutionResult,
  type ExecutionState,
  finalStates,
  priorities,
  type StreamOutput,
  type Target,
} from './types.ts';

/** Rows of the database in the shapes that the rest of the service sees. */

const isoOf = createIsoWriter();

export const transitionRow = (state: ExecutionState, cause: string, at: number): TransitionRow => ({
  state,
  cause,
  at: isoOf(at),
});

/** What somebody did, as a cause: `cancelled by ada: wrong site`. */
export const causeBy = (what: string, actor: string, reason: string): string =>
  storableText(`${what} by ${actor}${reason === '' ? '' : `: ${reason}`}`);

export function commandOf(row: StoredCommand): Command {
  const progress = progressOf(row.counts ?? {}, row.rollout);
  return {
    commandId: row.commandId,
    actor: row.actor,
    verb: row.verb,
    args: row.args as JsonObject,
    target: row.target as Target,
    priority: priorities[row.priority] ?? 'normal',
    timeoutMs: row.timeoutMs,
    timeToLiveMs: row.timeToLiveMs,
    maxRetries: row.maxRetries,
    skipped: row.skipped,
    retryOf: row.retryOf ?? undefined,
    origin: row.origin ?? undefined,
    idempotencyKey: row.idempotencyKey ?? undefined,
    correlationId: row.correlationId ?? undefined,
    createdAt: row.createdAt,
    expiresAt: row.expiresAt,
    ...progress,
    approval: row.approval === null ? undefined : approvalOf(row.approval, progress.done),
  };
}

/** What of a command changes. */
export function progressOf(
  counts: Record<string, number>,
  stored: StoredRollout | null,
): Pick<Command, 'counts' | 'done' | 'rollout'> {
  const rollout = stored === null ? undefined : rolloutOf(stored);
  const ended = Object.keys(counts).every((state) => finalStates.has(state as ExecutionState));
  const done = ended && rollout?.state !== 'running' && rollout?.state !== 'paused';
  return { counts: counts as Command['counts'], done, rollout };
}

function approvalOf(stored: StoredApproval, done: boolean): Approval {
  const { requestedBy, requestedAt, decidedBy, decidedAt, reason } = stored;
  const state = stored.state as Approval['state'];
  return {
    // Nobody decided, and nothing waits for it any more.
    state: state === 'pending' && done ? 'expired' : state,
    requestedBy,
    requestedAt: new Date(requestedAt),
    decidedBy: decidedBy ?? undefined,
    decidedAt: decidedAt === null ? undefined : new Date(decidedAt),
    reason: reason ?? undefined,
  };
}

function rolloutOf({ plan, state, reason, released, updatedAt, counts }: StoredRollout): Rollout {
  return {
    plan: planOf(plan as RolloutInput),
    state: state as RolloutState,
    reason: reason ?? undefined,
    released,
    counts,
    updatedAt: new Date(updatedAt),
  };
}

export function executionOf(row: StoredExecution): Execution {
  return {
    executionId: row.executionId,
    commandId: row.commandId,
    agentId: row.agentId,
    state: row.state as ExecutionState,
    attempt: row.attempt,
    transitions: row.transitions.map((t) => ({
      state: t.state as ExecutionState,
      cause: t.cause,
      at: new Date(t.at),
    })),
    revision: row.revision,
    result: finalStates.has(row.state as ExecutionState) ? resultOf(row) : undefined,
  };
}

function resultOf(row: StoredExecution): ExecutionResult | undefined {
  if (row.finishedAt === null && row.failureCode === null && row.exitCode === null && row.output === null) {
    return undefined;
  }
  return {
    exitCode: row.exitCode ?? undefined,
    signal: row.signal ?? undefined,
    stdout: streamOf(row.stdout, row.stdoutTotal, row.stdoutTruncated),
    stderr: streamOf(row.stderr, row.stderrTotal, row.stderrTruncated),
    output: (row.output ?? undefined) as JsonObject | undefined,
    failure:
      row.failureCode === null ? undefined : { code: row.failureCode, message: row.failureMessage ?? '' },
    startedAt: row.startedAt ?? undefined,
    finishedAt: row.finishedAt ?? undefined,
  };
}

function streamOf(
  data: Uint8Array | null,
  total: number | null,
  truncated: boolean | null,
): StreamOutput | undefined {
  return data === null
    ? undefined
    : { data, totalBytes: total ?? data.byteLength, truncated: truncated ?? false };
}
