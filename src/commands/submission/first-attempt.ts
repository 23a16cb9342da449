import type { TargetRow } from '../../storage/agents.ts';
import type { BoundExecution } from '../../storage/bound-rows.ts';
import type { CommandRow, NewExecutionRow } from '../../storage/commands.ts';
import type { OrderRow } from '../../storage/executions.ts';

/**
 * What of a command goes into the parts of its first attempt. Written out field by field: it is done for every
 * execution, and a copy of a whole row costs as much as its binding.
 */

export const firstAttempt = ({ commandId, verb, maxRetries, timeoutMs, expiresAt }: CommandRow) => ({
  commandId,
  verb,
  maxRetries,
  timeoutMs,
  expiresAt,
  attempt: 1,
  retries: 0,
});

export const boundOf = (command: CommandRow, executionId: string, target: TargetRow): BoundExecution => ({
  commandId: command.commandId,
  actor: command.actor,
  verb: command.verb,
  argsBytes: command.argsBytes,
  timeoutMs: command.timeoutMs,
  maxRetries: command.maxRetries,
  expiresAt: command.expiresAt,
  executionId,
  agentId: target.agentId,
  incarnation: target.incarnation,
  unapproved: command.needsApproval,
});

export const orderOf = (command: CommandRow, row: NewExecutionRow, epoch: number): OrderRow => ({
  executionId: row.executionId,
  commandId: row.commandId,
  agentId: row.agentId,
  incarnation: row.incarnation,
  epoch,
  attempt: 1,
  retries: 0,
  maxRetries: command.maxRetries,
  verb: row.verb,
  argsBytes: command.argsBytes,
  timeoutMs: command.timeoutMs,
  expiresAt: row.expiresAt,
  traceparent: command.traceparent,
});
