import { type Database, lookup, statement } from './database.ts';

/** Alerts, and what receivers are to be told of them, which is written together. */
export interface AlertRow {
  alertId: string;
  rule: string;
  agentId: string;
  subject: string;
  site: string;
  severity: string;
  metric: string;
  comparison: string;
  threshold: number;
  state: string;
  value: number | null;
  seenAt: Date;
  pendingSince: Date;
  firedAt: Date | null;
  clearSince: Date | null;
  resolvedAt: Date | null;
  reason: string | null;
  told: boolean;
  acknowledgedAt: Date | null;
  acknowledgedBy: string | null;
  note: string | null;
  updatedAt: Date;
}

type Query = Database['query'];

const columns = `alert_id as "alertId", rule, agent_id as "agentId", subject, site, severity, metric, comparison,
  threshold, state, value, seen_at as "seenAt", pending_since as "pendingSince", fired_at as "firedAt",
  clear_since as "clearSince", resolved_at as "resolvedAt", reason, told, acknowledged_at as "acknowledgedAt",
  acknowledged_by as "acknowledgedBy", note, updated_at as "updatedAt"`;

const fields = `"alertId" uuid, rule text, "agentId" text, subject text, site text, severity text, metric text,
  comparison text, threshold float8, state text, value float8, "seenAt" timestamptz, "pendingSince" timestamptz,
  "firedAt" timestamptz, "clearSince" timestamptz, "resolvedAt" timestamptz, reason text, told bool,
  "acknowledgedAt" timestamptz, "acknowledgedBy" text, note text, "updatedAt" timestamptz`;

const write = statement(
  'alerts_write',
  `insert into alerts (alert_id, rule, agent_id, subject, site, severity, metric, comparison, threshold, state, value,
     seen_at, pending_since, fired_at, clear_since, resolved_at, reason, told, acknowledged_at, acknowledged_by, note,
     updated_at)
   select "alertId", rule, "agentId", subject, site, severity, metric, comparison, threshold, state, value,
     "seenAt", "pendingSince", "firedAt", "clearSince", "resolvedAt", reason, told, "acknowledgedAt",
     "acknowledgedBy", note, "updatedAt"
   from jsonb_to_recordset($1::jsonb) as x(${fields})
   on conflict (alert_id) do update set site = excluded.site, severity = excluded.severity, metric = excluded.metric,
     comparison = excluded.comparison, threshold = excluded.threshold, state = excluded.state,
     value = excluded.value, seen_at = excluded.seen_at, pending_since = excluded.pending_since,
     fired_at = excluded.fired_at, clear_since = excluded.clear_since, resolved_at = excluded.resolved_at,
     reason = excluded.reason, told = excluded.told, acknowledged_at = excluded.acknowledged_at,
     acknowledged_by = excluded.acknowledged_by, note = excluded.note, updated_at = excluded.updated_at`,
);
const drop = lookup('alerts_drop', `delete from alerts where alert_id = any($1::uuid[])`);
const events = statement(
  'alert_events_insert',
  `insert into alert_events (event_id, rule, site, kind, alert, created_at)
   select "eventId", rule, site, kind, alert, "createdAt" from jsonb_to_recordset($1::jsonb)
   as x("eventId" uuid, rule text, site text, kind text, alert jsonb, "createdAt" timestamptz)`,
);

export interface AlertEventRow {
  eventId: string;
  rule: string;
  site: string;
  kind: string;
  alert: unknown;
  createdAt: Date;
}

/** What changed, in one transaction: alerts that are over while they were pending are deleted. */
export async function writeAlerts(
  query: Query,
  changes: { written: readonly AlertRow[]; dropped: readonly string[]; events: readonly AlertEventRow[] },
): Promise<void> {
  if (changes.dropped.length > 0) await query(drop, [changes.dropped]);
  if (changes.written.length > 0) await query(write, [JSON.stringify(changes.written)]);
  if (changes.events.length > 0) await query(events, [JSON.stringify(changes.events)]);
}

const open = statement('alerts_open', `select ${columns} from alerts where state <> 'resolved'`);

/** All that are not resolved. */
export const openAlerts = (query: Query) => query<AlertRow>(open, []);

const byId = statement('alerts_by_id', `select ${columns} from alerts where alert_id = $1`);

export async function findAlert(query: Query, alertId: string): Promise<AlertRow | undefined> {
  const [row] = await query<AlertRow>(byId, [alertId]);
  return row;
}

export interface AlertListFilter {
  states?: readonly string[] | undefined;
  rule?: string | undefined;
  agentId?: string | undefined;
  site?: string | undefined;
  severities?: readonly string[] | undefined;
  sites?: readonly string[] | undefined;
}

const matching = `($1::text is null or rule = $1)
     and ($2::text is null or agent_id = $2)
     and ($3::text is null or site = $3)
     and ($4::text[] is null or severity = any($4))
     and ($5::text[] is null or site = any($5))
     and alert_id < coalesce($6::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
   order by alert_id desc limit $7`;

// Of its own, with the words of the index of those that are open: a plan that is kept cannot use it otherwise.
const listOpen = statement(
  'alerts_list_open',
  `select ${columns} from alerts where state <> 'resolved' and ${matching}`,
);
const listStates = statement(
  'alerts_list',
  `select ${columns} from alerts where state = any($8::text[]) and ${matching}`,
);

/** The newest first; `before` is the last id of the page before. Without states those that are not resolved. */
export function listAlerts(
  query: Query,
  { states, rule, agentId, site, severities, sites }: AlertListFilter,
  before: string | undefined,
  limit: number,
): Promise<AlertRow[]> {
  const values = [rule, agentId, site, severities, sites, before, limit];
  return states === undefined
    ? query<AlertRow>(listOpen, values)
    : query<AlertRow>(listStates, [...values, states]);
}

const forget = statement(
  'alerts_forget',
  `delete from alerts where alert_id in (
     select alert_id from alerts where state = 'resolved' and resolved_at < $1 limit $2)
   returning alert_id`,
);
const forgetSilences = statement(
  'alert_silences_forget',
  `delete from alert_silences where silence_id in (
     select silence_id from alert_silences where ends_at < $1 limit $2)
   returning silence_id`,
);

/** Deletes some that were resolved, and silences that ended, before then; answers with how many. */
export async function forgetAlerts(query: Query, before: Date, limit: number): Promise<number> {
  const resolved = await query(forget, [before, limit]);
  return Math.max(resolved.length, (await query(forgetSilences, [before, limit])).length);
}

export interface SilenceRow {
  silenceId: string;
  rule: string | null;
  agentId: string | null;
  site: string | null;
  subject: string | null;
  reason: string;
  createdBy: string;
  createdAt: Date;
  endsAt: Date;
  endedBy: string | null;
}

const silenceColumns = `silence_id as "silenceId", rule, agent_id as "agentId", site, subject, reason,
  created_by as "createdBy", created_at as "createdAt", ends_at as "endsAt", ended_by as "endedBy"`;
const silences = statement(
  'alert_silences_list',
  `select ${silenceColumns} from alert_silences
   where ends_at > $1 and ($2::uuid is null or silence_id > $2) order by silence_id limit $3`,
);

/** Those that end after this, by the time they were made. */
export const listSilences = (query: Query, now: Date, after: string | undefined, limit: number) =>
  query<SilenceRow>(silences, [now, after, limit]);

const addSilence = statement(
  'alert_silences_insert',
  `insert into alert_silences (silence_id, rule, agent_id, site, subject, reason, created_by, created_at, ends_at)
   values ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
);

export async function insertSilence(query: Query, row: Omit<SilenceRow, 'endedBy'>): Promise<void> {
  const { silenceId, rule, agentId, site, subject, reason, createdBy, createdAt, endsAt } = row;
  await query(addSilence, [silenceId, rule, agentId, site, subject, reason, createdBy, createdAt, endsAt]);
}

const stopSilence = statement(
  'alert_silences_end',
  `update alert_silences set ends_at = $2, ended_by = $3 where silence_id = $1 and ends_at > $2
   returning ${silenceColumns}`,
);

/** Undefined where there is none, or it has ended. */
export async function endSilence(
  query: Query,
  silenceId: string,
  at: Date,
  by: string,
): Promise<SilenceRow | undefined> {
  const [row] = await query<SilenceRow>(stopSilence, [silenceId, at, by]);
  return row;
}
