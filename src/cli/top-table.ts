import type { AgentView } from '../api/schemas/agents.ts';
import type { AlertView } from '../api/schemas/alerts.ts';
import type { LiveSampleView } from '../api/schemas/live.ts';
import { valueText } from './telemetry-units.ts';
import { since } from './terminal.ts';

/** The table of `viworks top`: what is known of each agent, in an order, cut to what fits. */

export const sortKeys = [
  'cpu',
  'memory',
  'disk',
  'load',
  'received',
  'sent',
  'alerts',
  'status',
  'agent',
] as const;
export type SortKey = (typeof sortKeys)[number];

export interface TopRow {
  agentId: string;
  site: string;
  status: AgentView['status'];
  cpu?: number | undefined;
  memory?: number | undefined;
  disk?: number | undefined;
  load?: number | undefined;
  /** Bytes a second. */
  received?: number | undefined;
  sent?: number | undefined;
  /** When the sample was taken. */
  at?: string | undefined;
  /** That fire. */
  alerts: number;
}

export function topRows(
  agents: Iterable<AgentView>,
  samples: ReadonlyMap<string, LiveSampleView>,
  alerts: Iterable<AlertView>,
): TopRow[] {
  const firing = new Map<string, number>();
  for (const { agentId, state } of alerts)
    if (state === 'firing' || state === 'acknowledged') firing.set(agentId, (firing.get(agentId) ?? 0) + 1);
  return Array.from(agents, ({ agentId, site, status }) => {
    const { cpu, memory, disk, load, received, sent, at } = samples.get(agentId) ?? {};
    const measured = { cpu, memory, disk, load, received, sent, at };
    return { agentId, site, status, ...measured, alerts: firing.get(agentId) ?? 0 };
  });
}

/** From what needs attention most. */
const statusOrder: readonly string[] = ['offline', 'degraded', 'held', 'maintenance', 'online', 'revoked'];

/** The largest first, what was not measured last; statuses and names in their order. Sorts in place. */
export function sortRows(rows: TopRow[], key: SortKey): TopRow[] {
  const byName = (one: TopRow, other: TopRow) =>
    one.agentId < other.agentId ? -1 : Number(one.agentId > other.agentId);
  if (key === 'agent') return rows.sort(byName);
  if (key === 'status') {
    const order = ({ status }: TopRow) => statusOrder.indexOf(status);
    return rows.sort((one, other) => order(one) - order(other) || byName(one, other));
  }
  const value = (row: TopRow) => row[key] ?? Number.NEGATIVE_INFINITY;
  return rows.sort((one, other) => {
    const [a, b] = [value(one), value(other)];
    return a === b ? byName(one, other) : b > a ? 1 : -1;
  });
}

export const topHeader = [
  'AGENT',
  'STATUS',
  'SITE',
  'CPU',
  'MEMORY',
  'DISK',
  'LOAD',
  'IN',
  'OUT',
  'ALERTS',
  'SAMPLE',
];

export const topCells = (row: TopRow, now: number): string[] => [
  row.agentId,
  row.status,
  row.site,
  valueText('%', row.cpu),
  valueText('%', row.memory),
  valueText('%', row.disk),
  valueText('load', row.load),
  valueText('B/s', row.received),
  valueText('B/s', row.sent),
  row.alerts === 0 ? '-' : String(row.alerts),
  row.at === undefined ? 'none yet' : since(row.at, now),
];

/** For example `3 agents: 2 online, 1 offline; 1 alert`. */
export function topSummary(rows: readonly TopRow[]): string {
  const counts = new Map<string, number>();
  let alerts = 0;
  for (const row of rows) {
    counts.set(row.status, (counts.get(row.status) ?? 0) + 1);
    alerts += row.alerts;
  }
  const statuses = statusOrder.toReversed().flatMap((status) => {
    const count = counts.get(status);
    return count === undefined ? [] : [`${count} ${status}`];
  });
  const agents = `${rows.length} ${rows.length === 1 ? 'agent' : 'agents'}`;
  const told = statuses.length === 0 ? '' : `: ${statuses.join(', ')}`;
  return `${agents}${told}; ${alerts} ${alerts === 1 ? 'alert' : 'alerts'}`;
}
