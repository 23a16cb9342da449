import { formatDuration } from '../../lib/duration.ts';
import type { AlertRow } from '../../storage/alerts.ts';
import { valueText } from '../metrics.ts';
import { rank, type Severity, severities, type WebhookFilter } from '../types.ts';

/** What a webhook is told, made from what happened to alerts of one rule in one site. */

export interface AlertEvent {
  kind: 'firing' | 'resolved';
  /** As the database has it: times are text. */
  alert: Omit<AlertRow, DateField> & Record<DateField, string | null>;
}
type DateField =
  | 'seenAt'
  | 'pendingSince'
  | 'firedAt'
  | 'clearSince'
  | 'resolvedAt'
  | 'acknowledgedAt'
  | 'updatedAt';

/** One alert in a message. */
interface ToldAlert {
  alertId: string;
  agentId: string;
  subject: string;
  severity: string;
  metric: string;
  comparison: string;
  threshold: number;
  value: number | null;
  firedAt: string | null;
  resolvedAt: string | null;
  reason: string | null;
  summary: string;
}

export interface Message {
  type: 'alerts';
  /** The same for each attempt to deliver it. */
  id: string;
  createdAt: string;
  rule: string;
  site: string;
  severity: Severity;
  summary: string;
  /** How many there are of each; the first of them are in the lists. */
  firingCount: number;
  resolvedCount: number;
  firing: ToldAlert[];
  resolved: ToldAlert[];
}

/** Alerts that one message lists of each kind; of the others it says how many there are. */
const listed = 50;

/** What happened in the order in which it did, and each alert once, as it is now. */
export function messageOf(
  { id, createdAt }: { id: string; createdAt: string },
  { rule, site }: { rule: string; site: string },
  events: readonly AlertEvent[],
): Message {
  const last = new Map<string, AlertEvent>();
  for (const event of events) last.set(event.alert.alertId, event);
  const of = (kind: AlertEvent['kind']) => [...last.values()].filter((event) => event.kind === kind);
  const [firing, resolved] = [of('firing'), of('resolved')];
  return {
    type: 'alerts',
    id,
    createdAt,
    rule,
    site,
    severity: highest([...last.values()].map(({ alert }) => alert.severity)),
    summary: summaryOf(rule, site, firing, resolved),
    firingCount: firing.length,
    resolvedCount: resolved.length,
    firing: firing.slice(0, listed).map(told),
    resolved: resolved.slice(0, listed).map(told),
  };
}

function summaryOf(
  rule: string,
  site: string,
  firing: readonly AlertEvent[],
  resolved: readonly AlertEvent[],
) {
  const [only, ...others] = [...firing, ...resolved];
  if (only !== undefined && others.length === 0) return `${rule}: ${told(only).summary} (${site})`;
  const part = (events: readonly AlertEvent[], what: string) => {
    const agents = new Set(events.map(({ alert }) => alert.agentId)).size;
    return events.length === 0
      ? []
      : [`${events.length} ${what} on ${agents} ${agents === 1 ? 'agent' : 'agents'}`];
  };
  return `${rule}: ${[...part(firing, 'firing'), ...part(resolved, 'resolved')].join(', ')} (${site})`;
}

function told({ kind, alert }: AlertEvent): ToldAlert {
  const {
    alertId,
    agentId,
    subject,
    severity,
    metric,
    comparison,
    threshold,
    value,
    firedAt,
    resolvedAt,
    reason,
  } = alert;
  const what = subject === '' ? agentId : `${agentId} ${subject}`;
  const lasted =
    firedAt === null || resolvedAt === null
      ? ''
      : ` after ${formatDuration(Math.max(0, Date.parse(resolvedAt) - Date.parse(firedAt)))}`;
  const summary =
    kind === 'resolved'
      ? `${what} is resolved${lasted}${reason === null ? '' : `: ${reason}`}`
      : `${what}: ${metric} is ${valueText(metric, value ?? undefined)}, ${comparison} ${valueText(metric, threshold)}`;
  return {
    alertId,
    agentId,
    subject,
    severity,
    metric,
    comparison,
    threshold,
    value,
    firedAt,
    resolvedAt,
    reason,
    summary,
  };
}

const highest = (all: readonly string[]): Severity =>
  severities.findLast((severity) => all.includes(severity)) ?? 'info';

/** Whether a webhook is told of an event. */
export function isTold({ minSeverity, sites, rules }: WebhookFilter, { alert }: AlertEvent): boolean {
  return (
    (minSeverity === undefined || rank(alert.severity) >= rank(minSeverity)) &&
    (sites === undefined || sites.includes(alert.site)) &&
    (rules === undefined || rules.includes(alert.rule))
  );
}
