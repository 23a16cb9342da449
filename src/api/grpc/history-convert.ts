import type { MessageInitShape } from '@bufbuild/protobuf';
import { durationFromMs, timestampFromDate } from '@bufbuild/protobuf/wkt';
import { type ApprovalSchema, ApprovalState } from '#gen/viworks/control/v1/approval_pb.js';
import {
  StatisticsGroup as GroupMessage,
  type StatisticsSchema,
} from '#gen/viworks/control/v1/history_pb.js';
import type { Approval } from '../../commands/approvals/decide.ts';
import type { Statistics, StatisticsGroup } from '../../commands/types.ts';

/** Between approvals and statistics and their messages. */

const approvalState: Record<Approval['state'], ApprovalState> = {
  pending: ApprovalState.PENDING,
  approved: ApprovalState.APPROVED,
  rejected: ApprovalState.REJECTED,
  withdrawn: ApprovalState.WITHDRAWN,
  expired: ApprovalState.EXPIRED,
};

export function approvalMessage(approval: Approval): MessageInitShape<typeof ApprovalSchema> {
  const { state, requestedBy, requestedAt, decidedBy = '', decidedAt, reason = '' } = approval;
  return {
    state: approvalState[state],
    requestedBy,
    requestedAt: timestampFromDate(requestedAt),
    decidedBy,
    reason,
    ...(decidedAt && { decidedAt: timestampFromDate(decidedAt) }),
  };
}

const groups: Record<GroupMessage, StatisticsGroup> = {
  [GroupMessage.UNSPECIFIED]: 'verb',
  [GroupMessage.VERB]: 'verb',
  [GroupMessage.AGENT]: 'agent',
  [GroupMessage.SITE]: 'site',
  [GroupMessage.ACTOR]: 'actor',
  [GroupMessage.PRIORITY]: 'priority',
  [GroupMessage.STATE]: 'state',
};
export const groupOf = (group: GroupMessage): StatisticsGroup => groups[group];

const durationOf = (ms: number) => durationFromMs(Math.round(ms));

export function statisticsMessage(statistics: Statistics): MessageInitShape<typeof StatisticsSchema> {
  const { waitMs, runMs, ...counts } = statistics;
  return {
    ...counts,
    ...(waitMs && { waitP50: durationOf(waitMs.p50), waitP95: durationOf(waitMs.p95) }),
    ...(runMs && {
      runP50: durationOf(runMs.p50),
      runP95: durationOf(runMs.p95),
      runMaximum: durationOf(runMs.maximum),
    }),
  };
}
