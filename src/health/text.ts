import { bytesText } from '../lib/bytes.ts';
import { formatDuration } from '../lib/duration.ts';
import { telemetryMetrics } from '../storage/telemetry-metrics.ts';
import type { AgentHealth, AlertCounts, Figures, FleetHealth, TrendReport, Verdict } from './types.ts';
import { amountText } from './units.ts';

/** Reports as a person reads them, line by line. */

/** Names come from agents, and none of them makes a line of its own. */
const inLine = (text: string): string => text.replace(/\p{Cc}/gu, '\ufffd');

export function agentText({ agentId, site, at, verdict, ...rest }: AgentHealth): string {
  const { reasons, alerts, figures, anomalies } = rest;
  return [
    `${agentId} in ${site} is ${verdict}`,
    ...reasons.map((reason) => `  ${reason.verdict.padEnd(10)} ${reason.text}${sinceText(reason.since, at)}`),
    ...alertLines(alerts),
    ...(figures === undefined
      ? ['figures    none: it has measured nothing that is kept']
      : figureLines(figures, at)),
    `unusual    ${anomalies.text}`,
  ]
    .map(inLine)
    .join('\n');
}

function figureLines(figures: Figures, at: Date): string[] {
  const { asOf, current, metrics, disks, containers, services, uptimeSeconds, unread } = figures;
  const age = formatDuration(Math.max(0, at.getTime() - asOf.getTime()));
  const named = telemetryMetrics.flatMap((metric) => {
    const value = metrics[metric];
    return value === undefined || metric === 'disk' ? [] : [`${metric} ${amountText(metric, value)}`];
  });
  const parts = [
    containers.total > 0 &&
      `${containers.total} containers (${containers.unhealthy} unhealthy, ${containers.stopped} stopped)`,
    services.total > 0 && `${services.total} services (${services.down} down)`,
    uptimeSeconds !== undefined && `up ${formatDuration(uptimeSeconds * 1000)}`,
    unread.length > 0 && `could not read ${unread.join(', ')}`,
  ].filter((part) => part !== false);
  return [
    `figures    ${current ? `of ${age} ago` : `as of ${age} ago, not of now`}: ${named.join(', ') || 'none'}`,
    ...disks.map(
      ({ mount, percent, freeBytes }) =>
        `disk       ${mount} ${amountText('disk', percent)}, ${bytesText(freeBytes)} free`,
    ),
    ...(parts.length === 0 ? [] : [`machine    ${parts.join(', ')}`]),
  ];
}

export function fleetText({ site, at, verdict, text, agents, ...rest }: FleetHealth): string {
  const { worst, metrics, alerts, sites, siteCount } = rest;
  const total = Object.values(agents).reduce((sum, count) => sum + count, 0);
  const hidden = total - agents.healthy - worst.length;
  return [
    `${site === undefined ? 'all agents' : `site ${site}`}: ${verdict} (${text})`,
    `agents     ${countsText(agents)}`,
    ...alertLines(alerts),
    ...metrics.map(
      ({ metric, agents: measured, average, p95, max, maxAgentId }) =>
        `${metric.padEnd(10)} average ${amountText(metric, average)}, 95th percentile ${amountText(metric, p95)}, ` +
        `most ${amountText(metric, max)} on ${maxAgentId} (${measured} of ${total} agents)`,
    ),
    ...(siteCount > 1
      ? sites.map((each) => `site       ${each.site} is ${each.verdict}: ${countsText(each.agents)}`)
      : []),
    ...(sites.length > 0 && sites.length < siteCount
      ? [`           and ${siteCount - sites.length} sites more`]
      : []),
    ...worst.map(
      ({ agentId, verdict: one, reason }) =>
        `${one.padEnd(10)} ${agentId}: ${reason.text}${sinceText(reason.since, at)}`,
    ),
    ...(hidden > 0 ? [`           and ${hidden} more that are not healthy`] : []),
  ]
    .map(inLine)
    .join('\n');
}

export const trendsText = ({ agentId, from, to, trends }: TrendReport): string =>
  [
    `${agentId}, the last ${formatDuration(to.getTime() - from.getTime())}`,
    ...trends.map(({ text }) => `  ${text}`),
    ...(trends.length === 0 ? ['  nothing was measured'] : []),
  ]
    .map(inLine)
    .join('\n');

function countsText(counts: Readonly<Record<Verdict, number>>): string {
  const parts = (['healthy', 'degraded', 'unknown', 'unhealthy'] as const).flatMap((verdict) =>
    counts[verdict] > 0 ? [`${counts[verdict]} ${verdict}`] : [],
  );
  return parts.join(', ') || 'none';
}

function alertLines({ critical, warning, info, silenced }: AlertCounts): string[] {
  const parts = Object.entries({ critical, warning, info, silenced }).flatMap(([name, count]) =>
    count > 0 ? [`${count} ${name}`] : [],
  );
  return [`alerts     ${parts.join(', ') || 'none'}`];
}

const sinceText = (since: Date | undefined, at: Date): string =>
  since === undefined ? '' : `, for ${formatDuration(Math.max(0, at.getTime() - since.getTime()))}`;
