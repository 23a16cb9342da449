import type { Page, PageRequest } from '../lib/page.ts';
import type { AuditListFilter, AuditRow, StoredAuditRow } from '../storage/audit.ts';
import type { AuditBlockRow, AuditCheckpointRow } from '../storage/audit-chain.ts';

/** The audit log says who did what, when and from where, and shows whether somebody has changed it since. */

export const auditOutcomes = ['done', 'refused', 'failed'] as const;
/** Refused: the caller was wrong or may not. Failed: it could have worked. */
export type AuditOutcome = (typeof auditOutcomes)[number];

/** Who calls, and from where. What is not known is undefined. */
export interface AuditCaller {
  /** The subject of a token, `agent:ID`, or `system:PART` for what the service does by itself. */
  actor: string;
  role?: string | undefined;
  address?: string | undefined;
  userAgent?: string | undefined;
  requestId?: string | undefined;
  correlationId?: string | undefined;
}

/** What somebody does. */
export interface AuditedCall extends AuditCaller {
  /** The operation's name, for example `commands.submit`. */
  action: string;
  resourceKind?: string | undefined;
  resourceId?: string | undefined;
  /** What else is worth keeping, without secrets; it is made when the entry is, and cut to a bound. */
  details?: (() => unknown) | undefined;
}

/** One entry, before it is stored. */
export interface AuditEntry extends AuditedCall {
  outcome: AuditOutcome;
  /** Of the error. */
  code?: string | undefined;
  /** How often it happened; 1 unless it is said. */
  count?: number | undefined;
}

export type AuditRecord = Omit<AuditRow, 'details'> & { seq: number; details: Record<string, unknown> };

export interface AuditHead {
  /** Of the last block; 0 before the first one. */
  block: number;
  hash: Uint8Array;
  sealedAt: Date | undefined;
  /** The key that signs blocks. */
  keyId: string;
  publicKey: Uint8Array;
  /** Entries that no block has yet, and the time of the oldest. */
  pending: number;
  oldestPending: Date | undefined;
  checkpoint: AuditCheckpointRow | undefined;
}

/** A block with its entries. */
export interface SealedBlock extends AuditBlockRow {
  entries: StoredAuditRow[];
}

export type AuditProblemKind =
  /** A row says something else than when it was sealed. */
  | 'changed'
  /** A row that was sealed is not there. */
  | 'removed'
  /** A row stands in the place of another one that was sealed. */
  | 'reordered'
  /** A row is there that was never sealed. */
  | 'inserted'
  /** A block says something else than when it was made, or does not follow the one before. */
  | 'block_changed'
  /** A block is not there. */
  | 'block_removed'
  /** A block was signed by a key that is not trusted, or not by the key that it names. */
  | 'signature'
  /** The end of the chain is another one than was seen before. */
  | 'truncated';

export interface AuditProblem {
  kind: AuditProblemKind;
  block: number | undefined;
  seq: number | undefined;
  /** For people. */
  message: string;
}

/** How far it was looked, and what is wrong first. */
export interface AuditVerdict {
  problem: AuditProblem | undefined;
  blocks: number;
  entries: number;
  /** Where to go on; undefined at the end. */
  nextToken: string | undefined;
  /** The last block that was looked at. */
  block: number;
  hash: Uint8Array;
}

/** What the API calls. */
export interface AuditService {
  /**
   * Newest first. A page may have fewer entries than asked for, or none, and go on: what is rare takes several looks.
   */
  list(filter: AuditListFilter, page: PageRequest): Promise<Page<AuditRecord>>;
  /** Looks at some blocks, from the beginning or where a verdict before ended. */
  verify(token: string | undefined): Promise<AuditVerdict>;
  /** Some blocks after one, with their entries. */
  export(afterBlock: number): Promise<{ blocks: SealedBlock[]; more: boolean }>;
  head(): Promise<AuditHead>;
}
