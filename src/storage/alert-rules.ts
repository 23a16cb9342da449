import { type Database, lookup, statement } from './database.ts';
import { namedRows } from './named-rows.ts';

/** Rules of alerts, and what they look at of agents. */
export interface AlertRuleRow {
  name: string;
  description: string;
  enabled: boolean;
  severity: string;
  metric: string;
  comparison: string;
  threshold: number;
  clearThreshold: number;
  forMs: number;
  clearForMs: number;
  selector: unknown;
  revision: number;
  updatedBy: string;
  createdAt: Date;
  updatedAt: Date;
}

/** What a person says of a rule; the selector is JSON. */
export type AlertRuleValues = Omit<AlertRuleRow, 'selector' | 'revision' | 'createdAt' | 'updatedAt'> & {
  selector: string;
};

type Query = Database['query'];

const columns = `name, description, enabled, severity, metric, comparison, threshold,
  clear_threshold as "clearThreshold", for_ms as "forMs", clear_for_ms as "clearForMs", selector, revision,
  updated_by as "updatedBy", created_at as "createdAt", updated_at as "updatedAt"`;

const list = statement(
  'alert_rules_list',
  `select ${columns} from alert_rules where ($1::text is null or name > $1) order by name limit $2`,
);

/** By name; `after` is the last name of the page before. */
export const listAlertRules = (query: Query, after: string | undefined, limit: number) =>
  query<AlertRuleRow>(list, [after, limit]);

export const { find: findAlertRule, remove: deleteAlertRule } = namedRows<AlertRuleRow>(
  'alert_rules',
  columns,
);

const insert = statement(
  'alert_rules_insert',
  `insert into alert_rules (name, description, enabled, severity, metric, comparison, threshold, clear_threshold,
     for_ms, clear_for_ms, selector, updated_by, created_at, updated_at)
   values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11::jsonb, $12, $13, $13)
   on conflict (name) do nothing returning ${columns}`,
);
const update = statement(
  'alert_rules_update',
  `update alert_rules set description = $2, enabled = $3, severity = $4, metric = $5, comparison = $6,
     threshold = $7, clear_threshold = $8, for_ms = $9, clear_for_ms = $10, selector = $11::jsonb, updated_by = $12,
     updated_at = $13, revision = revision + 1
   where name = $1 and revision = $14 returning ${columns}`,
);

/**
 * @param revision of the rule that it replaces; undefined for a new one
 * @returns undefined where there is none of that revision, or one already
 */
export async function saveAlertRule(
  query: Query,
  rule: AlertRuleValues,
  revision: number | undefined,
  at: Date,
): Promise<AlertRuleRow | undefined> {
  const values = [
    rule.name,
    rule.description,
    rule.enabled,
    rule.severity,
    rule.metric,
    rule.comparison,
    rule.threshold,
    rule.clearThreshold,
    rule.forMs,
    rule.clearForMs,
    rule.selector,
    rule.updatedBy,
    at,
  ];
  const [row] = await (revision === undefined
    ? query<AlertRuleRow>(insert, values)
    : query<AlertRuleRow>(update, [...values, revision]));
  return row;
}

const seed = statement(
  'alert_seeds_insert',
  `insert into alert_seeds (name, seeded_at) values ($1, $2) on conflict (name) do nothing returning name`,
);

/** False where that rule was made before, whatever became of it. */
export const seedOnce = async (query: Query, name: string, at: Date): Promise<boolean> =>
  (await query(seed, [name, at])).length > 0;

/** What rules look at. */
export interface WatchedAgentRow {
  agentId: string;
  site: string;
  labels: Record<string, string>;
  capabilities: string[];
  os: string;
  presence: 'online' | 'degraded' | 'offline';
  /** Nobody is told of it. */
  maintenance: boolean;
  /** It has been connected at least once. */
  seen: boolean;
}

const agentColumns = `agent_id as "agentId", site, labels, capabilities, os, presence, maintenance,
  last_seen_at is not null as seen`;
const agents = statement('alert_agents', `select ${agentColumns} from agents where revoked is null`);
const agentsById = lookup(
  'alert_agents_by_id',
  `select ${agentColumns} from agents where agent_id = any($1::text[]) and revoked is null`,
);

/** Every agent that is not revoked, or those of them that are named. */
export const watchedAgents = (query: Query, agentIds?: readonly string[]) =>
  agentIds === undefined
    ? query<WatchedAgentRow>(agents, [])
    : query<WatchedAgentRow>(agentsById, [agentIds]);
