import { type AuditRow, auditNames } from './audit.ts';
import { textColumn, timeColumn } from './columns.ts';

/**
 * The entry of a submit in the audit log, written by the statement that stores the command. Most of what it says
 * stands in the command already; only what differs is sent beside it.
 */
export interface SubmitAuditRow extends Omit<AuditRow, 'details'> {
  /** A JSON object; null for verb, args and target of the command as they are. */
  details: string | null;
}

/** What of a command its entry repeats. */
export interface AuditedCommand {
  actor: string;
  createdAt: Date;
  correlationId: string | null;
  audit: SubmitAuditRow;
}

const action = 'commands.submit';

/**
 * The clause that inserts the entries.
 * @param parameters of the commands' columns
 * @param first of the columns that `submitAuditColumns` makes
 * @param where picks commands by their id
 */
export const insertSubmitAudit = (
  parameters: Record<
    'commandId' | 'actor' | 'verb' | 'args' | 'target' | 'correlationId' | 'createdAt',
    number
  >,
  first: number,
  where: string,
): string => {
  const own = ['timestamptz', 'text', 'text', 'text', 'text', 'text', 'text', 'text', 'text'];
  const { commandId, actor, verb, args, target, correlationId, createdAt } = parameters;
  return `insert into audit_entries (${auditNames})
   select coalesce(x.at, x.created_at), coalesce(x.by, x.actor), x.role, coalesce(x.action, '${action}'), 'command',
     x.command_id::text, 'done', null, 1, x.address, x.user_agent, x.request_id,
     coalesce(x.correlates, x.correlation_id),
     coalesce(x.details, '{"verb":"' || x.verb || '","args":' || x.args || ',"target":' || x.target || '}')
   from unnest($${commandId}::uuid[], $${actor}::text[], $${verb}::text[], $${args}::text[], $${target}::text[],
     $${correlationId}::text[], $${createdAt}::timestamptz[],
     ${own.map((type, at) => `$${first + at}::${type}[]`).join(', ')})
   as x(command_id, actor, verb, args, target, correlation_id, created_at, at, by, role, action, address, user_agent,
     request_id, correlates, details)
   where ${where}`;
};

/** The parameters of that clause. */
export const submitAuditColumns = (rows: readonly AuditedCommand[]): Buffer[] => [
  timeColumn(rows, ({ audit, createdAt }) => (audit.at.getTime() === createdAt.getTime() ? null : audit.at)),
  textColumn(rows, ({ audit, actor }) => (audit.actor === actor ? null : audit.actor)),
  textColumn(rows, ({ audit }) => audit.role),
  textColumn(rows, ({ audit }) => (audit.action === action ? null : audit.action)),
  textColumn(rows, ({ audit }) => audit.address),
  textColumn(rows, ({ audit }) => audit.userAgent),
  textColumn(rows, ({ audit }) => audit.requestId),
  textColumn(rows, ({ audit, correlationId }) =>
    audit.correlationId === correlationId ? null : audit.correlationId,
  ),
  textColumn(rows, ({ audit }) => audit.details),
];
