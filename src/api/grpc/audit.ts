import type { JsonObject, MessageInitShape } from '@bufbuild/protobuf';
import { timestampDate, timestampFromDate } from '@bufbuild/protobuf/wkt';
import {
  type AuditEntrySchema,
  type AuditFilter,
  AuditOutcome as OutcomeMessage,
} from '#gen/viworks/control/v1/audit_pb.js';
import { ControlService } from '#gen/viworks/control/v1/control_service_pb.js';
import type { AuditOutcome, AuditRecord } from '../../audit/types.ts';
import { defined } from '../../lib/defined.ts';
import type { AuditListFilter } from '../../storage/audit.ts';
import type { ApiDeps } from '../deps.ts';
import { exportView } from '../schemas/audit.ts';
import { pageRequest } from './convert.ts';
import type { Guard } from './guard.ts';

/** The methods of ControlService for the audit log. */
export function auditMethods({ audit }: Pick<ApiDeps, 'audit'>, { unary }: Pick<Guard, 'unary'>) {
  const { method } = ControlService;
  return {
    listAuditEntries: unary(method.listAuditEntries, async (request) => {
      const page = await audit.list(filterOf(request.filter), pageRequest(request));
      return { entries: page.items.map(entryMessage), nextPageToken: page.nextToken ?? '' };
    }),

    verifyAudit: unary(method.verifyAudit, async ({ pageToken }) => {
      const verdict = await audit.verify(pageToken || undefined);
      const { problem, blocks, entries, nextToken = '', block, hash } = verdict;
      return {
        blocks: BigInt(blocks),
        entries: BigInt(entries),
        nextPageToken: nextToken,
        block: BigInt(block),
        hash: hexOf(hash),
        ...(problem && {
          problem: { ...problem, block: BigInt(problem.block ?? 0), seq: BigInt(problem.seq ?? 0) },
        }),
      };
    }),

    exportAudit: unary(method.exportAudit, async ({ afterBlock }) => {
      const { lines, nextBlock = 0 } = await exportView(audit, Number(afterBlock));
      return { lines, nextBlock: BigInt(nextBlock) };
    }),

    getAuditHead: unary(method.getAuditHead, async () => {
      const { block, hash, sealedAt, keyId, publicKey, pending, oldestPending, checkpoint } =
        await audit.head();
      return {
        block: BigInt(block),
        hash: hexOf(hash),
        keyId,
        publicKey,
        pending: BigInt(pending),
        ...defined({
          sealedAt: sealedAt && timestampFromDate(sealedAt),
          oldestPending: oldestPending && timestampFromDate(oldestPending),
          checkpoint: checkpoint && {
            block: BigInt(checkpoint.number),
            hash: hexOf(checkpoint.hash),
            entries: BigInt(checkpoint.entries),
            at: timestampFromDate(checkpoint.at),
          },
        }),
      };
    }),
  };
}

const hexOf = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

const outcomes: Record<OutcomeMessage, AuditOutcome | undefined> = {
  [OutcomeMessage.UNSPECIFIED]: undefined,
  [OutcomeMessage.DONE]: 'done',
  [OutcomeMessage.REFUSED]: 'refused',
  [OutcomeMessage.FAILED]: 'failed',
};
const outcomeMessages: Record<string, OutcomeMessage> = {
  done: OutcomeMessage.DONE,
  refused: OutcomeMessage.REFUSED,
  failed: OutcomeMessage.FAILED,
};

function filterOf(filter: AuditFilter | undefined): AuditListFilter {
  if (filter === undefined) return {};
  return {
    actor: filter.actor || undefined,
    action: filter.action || undefined,
    resourceKind: filter.resourceKind || undefined,
    resourceId: filter.resourceId || undefined,
    outcome: outcomes[filter.outcome],
    address: filter.address || undefined,
    since: filter.since && timestampDate(filter.since),
    until: filter.until && timestampDate(filter.until),
  };
}

function entryMessage(record: AuditRecord): MessageInitShape<typeof AuditEntrySchema> {
  return {
    seq: BigInt(record.seq),
    at: timestampFromDate(record.at),
    actor: record.actor,
    role: record.role ?? '',
    action: record.action,
    resourceKind: record.resourceKind ?? '',
    resourceId: record.resourceId ?? '',
    outcome: outcomeMessages[record.outcome] ?? OutcomeMessage.UNSPECIFIED,
    code: record.code ?? '',
    count: record.count,
    address: record.address ?? '',
    userAgent: record.userAgent ?? '',
    requestId: record.requestId ?? '',
    correlationId: record.correlationId ?? '',
    details: record.details as JsonObject,
  };
}
