import { likePatterns, type Scope } from '../lib/scope.ts';
import { type Database, statement } from './database.ts';
import { namedRows } from './named-rows.ts';

/**
 * Schedules. Whoever runs one holds its row, so that of several instances one submits, and nobody changes it
 * meanwhile.
 */

export interface ScheduleRow {
  name: string;
  description: string;
  timing: unknown;
  action: unknown;
  actor: string;
  /** What its commands are limited to; null: nothing. */
  scope: Scope | null;
  enabled: boolean;
  revision: number;
  nextAt: Date | null;
  lastAt: Date | null;
  lastCommandId: string | null;
  lastError: string | null;
  createdAt: Date;
  updatedAt: Date;
  binding: Uint8Array | null;
}

/** What a person says of a schedule; timing and action are JSON. */
export type ScheduleValues = Pick<
  ScheduleRow,
  'name' | 'description' | 'actor' | 'scope' | 'enabled' | 'nextAt'
> & {
  timing: string;
  action: string;
  /** With the revision that it gets. */
  binding: Uint8Array;
};

type Query = Database['query'];

const columns = `name, description, timing, action, actor, scope, enabled, revision, next_at as "nextAt",
  last_at as "lastAt", last_command_id as "lastCommandId", last_error as "lastError",
  created_at as "createdAt", updated_at as "updatedAt", binding`;

const list = statement(
  'schedules_list',
  `select ${columns} from schedules
   where ($1::text is null or name > $1)
     and ($3::text is null or coalesce(scope->'sites' <@ $3::jsonb, false))
     and ($4::text[] is null or coalesce((
       select bool_and(v like any($4)) from jsonb_array_elements_text(scope->'verbs') v), false))
   order by name limit $2`,
);

/** By name; `after` is the last name of the page before. Within a scope: those that are limited at least so. */
export const listSchedules = (
  query: Query,
  after: string | undefined,
  limit: number,
  scope: Scope | undefined,
) => {
  const sites = scope?.sites && JSON.stringify(scope.sites);
  return query<ScheduleRow>(list, [after, limit, sites, scope && likePatterns(scope)]);
};

export const { find: findSchedule, remove: deleteSchedule } = namedRows<ScheduleRow>('schedules', columns);

const lockOne = statement('schedules_lock', `select ${columns} from schedules where name = $1 for update`);

/** Locks the schedule until the transaction ends; waits while somebody runs it. */
export async function lockSchedule(query: Query, name: string): Promise<ScheduleRow | undefined> {
  const [row] = await query<ScheduleRow>(lockOne, [name]);
  return row;
}

const insert = statement(
  'schedules_insert',
  `insert into schedules (name, description, timing, action, actor, enabled, next_at, scope, binding,
     created_at, updated_at)
   values ($1, $2, $3::jsonb, $4::jsonb, $5, $6, $7, $8::jsonb, $9, $10, $10) on conflict (name) do nothing
   returning ${columns}`,
);

const valuesOf = (values: ScheduleValues) => [
  values.name,
  values.description,
  values.timing,
  values.action,
  values.actor,
  values.enabled,
  values.nextAt,
  values.scope === null ? null : JSON.stringify(values.scope),
  values.binding,
];

/** Its revision is 1. Undefined if there is one of that name. */
export async function insertSchedule(
  query: Query,
  values: ScheduleValues,
  at: Date,
): Promise<ScheduleRow | undefined> {
  const [row] = await query<ScheduleRow>(insert, [...valuesOf(values), at]);
  return row;
}

const update = statement(
  'schedules_update',
  `update schedules set description = $2, timing = $3::jsonb, action = $4::jsonb, actor = $5, enabled = $6,
     next_at = $7, scope = $8::jsonb, binding = $9, updated_at = $10, revision = revision + 1
   where name = $1 returning ${columns}`,
);

/** Stores the next revision. Undefined if there is none of that name. */
export async function updateSchedule(
  query: Query,
  values: ScheduleValues,
  at: Date,
): Promise<ScheduleRow | undefined> {
  const [row] = await query<ScheduleRow>(update, [...valuesOf(values), at]);
  return row;
}

const claim = statement(
  'schedules_claim',
  `select ${columns} from schedules
   where enabled and next_at <= $1 and name <> all($2::text[])
   order by next_at limit $3 for update skip locked`,
);

/** Locks schedules whose time has come until the transaction ends, except those that are named. */
export const claimSchedules = (query: Query, now: Date, except: readonly string[], limit: number) =>
  query<ScheduleRow & { nextAt: Date }>(claim, [now, except, limit]);

const soonest = statement(
  'schedules_soonest',
  `select min(next_at) as "nextAt" from schedules
   where enabled and next_at is not null and name <> all($1::text[])`,
);

/** When the next time of any comes, except of those that are named. */
export async function soonestSchedule(query: Query, except: readonly string[]): Promise<Date | undefined> {
  const [row] = await query<{ nextAt: Date | null }>(soonest, [except]);
  return row?.nextAt ?? undefined;
}

const settle = statement(
  'schedules_settle',
  `update schedules set next_at = $2, last_at = $3, last_command_id = coalesce($4::uuid, last_command_id),
     last_error = $5
   where name = $1`,
);

export type ScheduleRun = Pick<ScheduleRow, 'nextAt' | 'lastAt' | 'lastCommandId' | 'lastError'>;

/** Keeps what came of a run; without a command, the one before stays. */
export async function settleSchedule(query: Query, name: string, run: ScheduleRun): Promise<void> {
  await query(settle, [name, run.nextAt, run.lastAt, run.lastCommandId, run.lastError]);
}

const ran = statement(
  'schedules_ran',
  `update schedules set last_at = $2, last_command_id = $3, last_error = null where name = $1`,
);

/** Keeps what came of a run that a person asked for. */
export async function scheduleRan(query: Query, name: string, at: Date, commandId: string): Promise<void> {
  await query(ran, [name, at, commandId]);
}
