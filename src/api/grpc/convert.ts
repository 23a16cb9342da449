import type { MessageInitShape } from '@bufbuild/protobuf';
import { durationFromMs, timestampDate, timestampFromDate } from '@bufbuild/protobuf/wkt';
import {
  type AgentFilter as AgentFilterMessage,
  type AgentSchema,
  AgentStatus as AgentStatusMessage,
} from '#gen/viworks/control/v1/agent_pb.js';
import {
  type CommandFilter as CommandFilterMessage,
  type CommandSchema,
  type ExecutionSchema,
  ExecutionState as ExecutionStateMessage,
  type OutputPieceSchema,
  OutputStream as OutputStreamMessage,
  Priority as PriorityMessage,
  type TargetSchema,
} from '#gen/viworks/control/v1/command_pb.js';
import type { PlanCommandResponseSchema } from '#gen/viworks/control/v1/control_service_pb.js';
import type { HealthSchema } from '#gen/viworks/control/v1/system_pb.js';
import type {
  Command,
  CommandFilter,
  CommandPlan,
  Execution,
  ExecutionResult,
  ExecutionState,
  OutputPiece,
  OutputStream,
  Priority,
  Target,
} from '../../commands/types.ts';
import { defaultPageSize, type PageRequest } from '../../lib/page.ts';
import type { Agent, AgentFilter, AgentStatus } from '../../registry/types.ts';
import type { HealthReport } from '../health-report.ts';
import { inverse } from './enums.ts';

import { approvalMessage } from './history-convert.ts';
import { planMessage, rolloutMessage } from './rollout-convert.ts';

/** Between the types of the core and the messages of viworks.control.v1. */

const statusMessage: Record<AgentStatus, AgentStatusMessage> = {
  online: AgentStatusMessage.ONLINE,
  degraded: AgentStatusMessage.DEGRADED,
  offline: AgentStatusMessage.OFFLINE,
  maintenance: AgentStatusMessage.MAINTENANCE,
  held: AgentStatusMessage.HELD,
  revoked: AgentStatusMessage.REVOKED,
};
const stateMessage: Record<ExecutionState, ExecutionStateMessage> = {
  queued: ExecutionStateMessage.QUEUED,
  held: ExecutionStateMessage.HELD,
  sent: ExecutionStateMessage.SENT,
  accepted: ExecutionStateMessage.ACCEPTED,
  running: ExecutionStateMessage.RUNNING,
  succeeded: ExecutionStateMessage.SUCCEEDED,
  failed: ExecutionStateMessage.FAILED,
  cancelled: ExecutionStateMessage.CANCELLED,
  timed_out: ExecutionStateMessage.TIMED_OUT,
  expired: ExecutionStateMessage.EXPIRED,
  outcome_unknown: ExecutionStateMessage.OUTCOME_UNKNOWN,
};
export const priorityMessage: Record<Priority, PriorityMessage> = {
  critical: PriorityMessage.CRITICAL,
  high: PriorityMessage.HIGH,
  normal: PriorityMessage.NORMAL,
  low: PriorityMessage.LOW,
};

const streamMessage: Record<OutputStream, OutputStreamMessage> = {
  stdout: OutputStreamMessage.STDOUT,
  stderr: OutputStreamMessage.STDERR,
};

export const statusOf = inverse(statusMessage);
export const stateOf = inverse(stateMessage);
export const priorityOf = inverse(priorityMessage);
export const streamOf = inverse(streamMessage);

export function agentMessage(agent: Agent): MessageInitShape<typeof AgentSchema> {
  const { connection, lastSeenAt, createdAt, updatedAt, status, epoch, generation, ...rest } = agent;
  return {
    ...rest,
    status: statusMessage[status],
    statusReason: agent.statusReason ?? '',
    keyId: agent.keyId ?? '',
    epoch: BigInt(epoch),
    generation: BigInt(generation),
    createdAt: timestampFromDate(createdAt),
    updatedAt: timestampFromDate(updatedAt),
    ...(lastSeenAt && { lastSeenAt: timestampFromDate(lastSeenAt) }),
    ...(connection && {
      connection: { ...connection, connectedAt: timestampFromDate(connection.connectedAt) },
    }),
  };
}

export function agentFilter(filter: AgentFilterMessage | undefined): AgentFilter {
  if (filter === undefined) return {};
  return {
    site: filter.site || undefined,
    status: statusOf(filter.status),
    capability: filter.capability || undefined,
    labels: Object.keys(filter.labels).length > 0 ? filter.labels : undefined,
    os: filter.os || undefined,
  };
}

export function commandMessage(command: Command): MessageInitShape<typeof CommandSchema> {
  return {
    commandId: command.commandId,
    spec: {
      verb: command.verb,
      args: command.args,
      target: targetMessage(command.target),
      priority: priorityMessage[command.priority],
      timeout: durationFromMs(command.timeoutMs),
      timeToLive: durationFromMs(command.timeToLiveMs),
      idempotencyKey: command.idempotencyKey ?? '',
      correlationId: command.correlationId ?? '',
      maxRetries: command.maxRetries,
      ...(command.rollout && { rollout: planMessage(command.rollout.plan) }),
    },
    actor: command.actor,
    createdAt: timestampFromDate(command.createdAt),
    expiresAt: timestampFromDate(command.expiresAt),
    counts: { ...command.counts },
    done: command.done,
    skipped: command.skipped,
    retryOf: command.retryOf ?? '',
    origin: command.origin ?? '',
    ...(command.rollout && { rollout: rolloutMessage(command.rollout) }),
    ...(command.approval && { approval: approvalMessage(command.approval) }),
  };
}

export function targetMessage(target: Target): MessageInitShape<typeof TargetSchema> {
  const anyOne = target.anyOne ?? false;
  if ('agents' in target) {
    return { anyOne, target: { case: 'agents', value: { agentIds: [...target.agents] } } };
  }
  if ('site' in target) return { anyOne, target: { case: 'site', value: target.site } };
  if ('all' in target) return { anyOne, target: { case: 'all', value: true } };
  const { sites = [], capabilities = [], labels = {}, os = [], statuses = [] } = target.selector;
  const value = {
    sites: [...sites],
    capabilities: [...capabilities],
    labels: { ...labels },
    os: [...os],
    statuses: statuses.map((status) => statusMessage[status]),
  };
  return { anyOne, target: { case: 'selector', value } };
}

export function dryRunMessage(plan: CommandPlan): MessageInitShape<typeof PlanCommandResponseSchema> {
  return {
    chosenCount: plan.chosenCount,
    leftOutCount: plan.leftOutCount,
    chosen: plan.chosen.map(({ agentId, state, reason = '' }) => ({
      agentId,
      state: stateMessage[state],
      reason,
    })),
    leftOut: plan.leftOut,
  };
}

export function outputMessage(piece: OutputPiece): MessageInitShape<typeof OutputPieceSchema> {
  return { ...piece, stream: streamMessage[piece.stream], offset: BigInt(piece.offset) };
}

export function executionMessage(execution: Execution): MessageInitShape<typeof ExecutionSchema> {
  const { state, transitions, result, ...rest } = execution;
  return {
    ...rest,
    state: stateMessage[state],
    transitions: transitions.map((transition) => ({
      state: stateMessage[transition.state],
      cause: transition.cause,
      at: timestampFromDate(transition.at),
    })),
    ...(result && { result: resultMessage(result) }),
  };
}

function resultMessage(
  result: ExecutionResult,
): NonNullable<MessageInitShape<typeof ExecutionSchema>['result']> {
  const { exitCode, signal, stdout, stderr, output, failure, startedAt, finishedAt } = result;
  return {
    signal: signal ?? '',
    failureCode: failure?.code ?? '',
    failureMessage: failure?.message ?? '',
    ...(exitCode !== undefined && { exitCode }),
    ...(stdout && { stdout: { ...stdout, totalBytes: BigInt(stdout.totalBytes) } }),
    ...(stderr && { stderr: { ...stderr, totalBytes: BigInt(stderr.totalBytes) } }),
    ...(output && { output }),
    ...(startedAt && { startedAt: timestampFromDate(startedAt) }),
    ...(finishedAt && { finishedAt: timestampFromDate(finishedAt) }),
  };
}

export function commandFilter(filter: CommandFilterMessage | undefined): CommandFilter {
  if (filter === undefined) return {};
  return {
    verb: filter.verb || undefined,
    agentId: filter.agentId || undefined,
    actor: filter.actor || undefined,
    state: stateOf(filter.state),
    priority: priorityOf(filter.priority),
    site: filter.site || undefined,
    correlationId: filter.correlationId || undefined,
    origin: filter.origin || undefined,
    awaitingApproval: filter.awaitingApproval,
    createdAfter: filter.createdAfter && timestampDate(filter.createdAfter),
    createdBefore: filter.createdBefore && timestampDate(filter.createdBefore),
  };
}

export function healthMessage(report: HealthReport): MessageInitShape<typeof HealthSchema> {
  const { uptimeMs, agents, executions, ...rest } = report;
  return {
    ...rest,
    uptime: durationFromMs(Math.round(uptimeMs)),
    agents: { ...agents },
    executions: { ...executions },
  };
}

export function pageRequest({ pageSize, pageToken }: { pageSize: number; pageToken: string }): PageRequest {
  return { size: pageSize || defaultPageSize, token: pageToken || undefined };
}

/** Of a repeated field, which is empty where nothing was said. */
export const unlessEmpty = <T>(items: readonly T[]) => (items.length === 0 ? undefined : items);
