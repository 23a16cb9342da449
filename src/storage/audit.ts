import { int4Column, textColumn, timeColumn } from './columns.ts';
import { type Database, statement } from './database.ts';

/** Entries of the audit log. */

export interface AuditRow {
  at: Date;
  actor: string;
  role: string | null;
  action: string;
  resourceKind: string | null;
  resourceId: string | null;
  outcome: string;
  code: string | null;
  count: number;
  address: string | null;
  userAgent: string | null;
  requestId: string | null;
  correlationId: string | null;
  /** A JSON object. */
  details: string;
}

export interface StoredAuditRow extends AuditRow {
  seq: number;
}

type Query = Database['query'];

/** In the order in which `auditColumns` makes them. */
export const auditNames = `at, actor, role, action, resource_kind, resource_id, outcome, code, count, address, user_agent,
  request_id, correlation_id, details`;
const types = [
  'timestamptz',
  'text',
  'text',
  'text',
  'text',
  'text',
  'text',
  'text',
  'int4',
  'text',
  'text',
  'text',
  'text',
  'text',
];

const auditColumns = (rows: readonly AuditRow[]): Buffer[] => [
  timeColumn(rows, (row) => row.at),
  textColumn(rows, (row) => row.actor),
  textColumn(rows, (row) => row.role),
  textColumn(rows, (row) => row.action),
  textColumn(rows, (row) => row.resourceKind),
  textColumn(rows, (row) => row.resourceId),
  textColumn(rows, (row) => row.outcome),
  textColumn(rows, (row) => row.code),
  int4Column(rows, (row) => row.count),
  textColumn(rows, (row) => row.address),
  textColumn(rows, (row) => row.userAgent),
  textColumn(rows, (row) => row.requestId),
  textColumn(rows, (row) => row.correlationId),
  textColumn(rows, (row) => row.details),
];

const insert = statement(
  'audit_insert',
  `insert into audit_entries (${auditNames})
   select * from unnest(${types.map((type, at) => `$${at + 1}::${type}[]`).join(', ')})`,
);

export async function insertAuditEntries(query: Query, rows: readonly AuditRow[]): Promise<void> {
  await query(insert, auditColumns(rows));
}

export const auditEntryColumns = `e.seq::float8 as seq, e.at, e.actor, e.role, e.action,
  e.resource_kind as "resourceKind", e.resource_id as "resourceId", e.outcome, e.code, e.count, e.address,
  e.user_agent as "userAgent", e.request_id as "requestId", e.correlation_id as "correlationId", e.details`;

export interface AuditListFilter {
  actor?: string | undefined;
  /** An action, or the beginning of one up to its dot: `commands` for all of them. */
  action?: string | undefined;
  resourceKind?: string | undefined;
  resourceId?: string | undefined;
  outcome?: string | undefined;
  address?: string | undefined;
  since?: Date | undefined;
  until?: Date | undefined;
}

const list = statement(
  'audit_list',
  `select ${auditEntryColumns} from audit_entries e
   where e.seq >= $1 and e.seq < $2
     and ($3::text is null or e.actor = $3)
     and ($4::text is null or e.action = $4 or starts_with(e.action, $4 || '.'))
     and ($5::text is null or e.resource_kind = $5)
     and ($6::text is null or e.resource_id = $6)
     and ($7::text is null or e.outcome = $7)
     and ($8::timestamptz is null or e.at >= $8)
     and ($9::timestamptz is null or e.at < $9)
     and ($11::text is null or e.address = $11)
   order by e.seq desc limit $10`,
);

/** Newest first, of the sequence numbers from `from` to before `before`. */
export const listAuditEntries = (
  query: Query,
  filter: AuditListFilter,
  { from, before }: { from: number; before: number },
  limit: number,
) =>
  query<StoredAuditRow>(list, [
    from,
    before,
    filter.actor,
    filter.action,
    filter.resourceKind,
    filter.resourceId,
    filter.outcome,
    filter.since,
    filter.until,
    limit,
    filter.address,
  ]);

const bounds = statement(
  'audit_bounds',
  `select (select min(seq) from audit_entries)::float8 as lowest, (select max(seq) from audit_entries)::float8 as highest,
     (select highest from audit_blocks where sealed_at < $1 order by sealed_at desc, number desc limit 1)::float8
       as "before",
     (select highest from audit_blocks where sealed_at >= $2 order by sealed_at, number limit 1)::float8 as "after"`,
);

/**
 * The sequence numbers that there are; the highest one that was sealed before one time, and the highest of the
 * first block that was sealed at another time or later. Null where there is none.
 */
export async function readAuditBounds(
  query: Query,
  sealedBefore: Date | undefined,
  sealedAfter: Date | undefined,
): Promise<{ lowest: number | null; highest: number | null; before: number | null; after: number | null }> {
  const [row] = await query<Awaited<ReturnType<typeof readAuditBounds>>>(bounds, [sealedBefore, sealedAfter]);
  if (row === undefined) throw new Error('a select without a row');
  return row;
}
