import { valueText } from '../alerts/metrics.ts';
import type { Alert } from '../alerts/types.ts';
import { formatDuration } from '../lib/duration.ts';
import type { HealthAgentRow } from '../storage/health.ts';
import { type Reason, type Verdict, verdicts } from './types.ts';

/** What becomes of what is known of an agent, as pure functions: what is not known is unknown, and never well. */

/** What the registry knows of an agent. */
export type AgentFacts = HealthAgentRow;

/** An alert that fires. */
export type AlertFacts = Pick<
  Alert,
  'rule' | 'subject' | 'severity' | 'metric' | 'comparison' | 'threshold' | 'state'
> & { value: number | null; since: Date };

export interface Circumstances {
  /** Milliseconds since 1970, as all times here. */
  now: number;
  /** Since when agents could connect to this server: nobody was missed before. */
  listeningSince: number;
  /** Milliseconds for which an agent must have been away to be unhealthy. */
  offlineAfterMs: number;
  /** Milliseconds without a measurement after which nothing is known of the machine. */
  silentAfterMs: number;
}

const severityOf = (verdict: Verdict): number => verdicts.indexOf(verdict);
export const worse = (a: Verdict, b: Verdict): Verdict => (severityOf(a) >= severityOf(b) ? a : b);
export const byWorst = (a: Verdict, b: Verdict): number => severityOf(b) - severityOf(a);

/** @param measuredAt when what the agent measured last was so; undefined where there is nothing */
export function judgeAgent(
  agent: AgentFacts,
  alerts: readonly AlertFacts[],
  measuredAt: number | undefined,
  circumstances: Circumstances,
): { verdict: Verdict; reasons: Reason[] } {
  const reasons = [
    ...standing(agent, circumstances),
    ...silence(agent, measuredAt, circumstances),
    ...alerts.map((alert) => alertReason(agent, alert)),
  ].sort((a, b) => byWorst(a.verdict, b.verdict));
  return {
    verdict: reasons.reduce<Verdict>((worst, { verdict }) => worse(worst, verdict), 'healthy'),
    reasons,
  };
}

function standing(agent: AgentFacts, { now, listeningSince, offlineAfterMs }: Circumstances): Reason[] {
  const { presence, maintenance, statusReason, held, revoked, lastSeenAt, connectedAt } = agent;
  if (revoked !== null) {
    const text = `it is revoked${because(revoked.reason)}`;
    return [{ kind: 'revoked', verdict: 'unknown', text, since: new Date(revoked.at) }];
  }
  const reasons: Reason[] = [];
  if (held !== null) {
    const text = `it is held until an operator decides${because(held.reason)}`;
    reasons.push({ kind: 'held', verdict: 'unhealthy', text, since: new Date(held.at) });
  } else if (maintenance) {
    const text = `it is in maintenance${because(statusReason ?? '')}`;
    reasons.push({ kind: 'maintenance', verdict: 'degraded', text, since: undefined });
  }
  if (lastSeenAt === null) {
    const text = 'it was never connected';
    reasons.push({ kind: 'never_connected', verdict: 'unknown', text, since: undefined });
  } else if (presence === 'offline') {
    const missedMs = Math.max(0, now - Math.max(lastSeenAt.getTime(), listeningSince));
    reasons.push({
      kind: 'offline',
      // Who took it out of service knows why.
      verdict: missedMs >= offlineAfterMs && !maintenance ? 'unhealthy' : 'unknown',
      text: 'it is not connected',
      since: lastSeenAt,
      value: Math.round(Math.max(0, now - lastSeenAt.getTime()) / 1000),
      threshold: offlineAfterMs / 1000,
    });
  } else if (presence === 'degraded') {
    const since = lastSeenAt ?? connectedAt ?? undefined;
    reasons.push({ kind: 'heartbeat_missed', verdict: 'degraded', text: 'it missed a heartbeat', since });
  }
  return reasons;
}

/** Of an agent that is connected and measures nothing. */
function silence(
  agent: AgentFacts,
  measuredAt: number | undefined,
  { now, silentAfterMs }: Circumstances,
): Reason[] {
  if (agent.presence === 'offline' || agent.lastSeenAt === null || agent.revoked !== null) return [];
  const age = measuredAt === undefined ? undefined : now - measuredAt;
  if (age !== undefined && age < silentAfterMs) return [];
  return [
    {
      kind: 'no_telemetry',
      verdict: 'unknown',
      text:
        age === undefined
          ? 'it is connected and has measured nothing'
          : `it is connected and has measured nothing for ${formatDuration(age)}`,
      since: measuredAt === undefined ? undefined : new Date(measuredAt),
      value: age === undefined ? undefined : Math.round(age / 1000),
      threshold: silentAfterMs / 1000,
    },
  ];
}

const verdictOf = { critical: 'unhealthy', warning: 'degraded', info: 'healthy' } as const;

/** Their values are 1 or 0, which says no more than their names. */
const flags = new Set(['agent.offline', 'service.down', 'container.unhealthy', 'container.stopped']);

function alertReason({ maintenance, held }: AgentFacts, alert: AlertFacts): Reason {
  const { rule, subject, severity, metric, comparison, threshold, state, since } = alert;
  const value = alert.value ?? undefined;
  const alone = verdictOf[severity];
  // Somebody knows of it already. Maintenance is also set while an agent is held, and nobody has decided that.
  const known = state === 'silenced' || (maintenance && held === null);
  const what = subject === '' ? metric : `${metric} of ${subject}`;
  const is = value === undefined ? '' : ` is ${valueText(metric, value)},`;
  const said = flags.has(metric) ? what : `${what}${is} ${comparison} ${valueText(metric, threshold)}`;
  return {
    kind: 'alert',
    verdict: known && alone === 'unhealthy' ? 'degraded' : alone,
    text: `${rule}: ${said}${state === 'firing' ? '' : ` (${state})`}`,
    since,
    rule,
    severity,
    state,
    metric,
    subject,
    comparison,
    value,
    threshold,
  };
}

const because = (reason: string): string => (reason === '' ? '' : `: ${reason}`);

/** Of its agents, a tenth or more. */
const unhealthyShare = 0.1;
/** Of its agents, half or more: what is left says little of all. */
const unknownShare = 0.5;

/** What the verdicts of many agents make of all of them. One agent more that is worse never makes it better. */
export function judgeFleet(counts: Readonly<Record<Verdict, number>>): { verdict: Verdict; text: string } {
  const { healthy, degraded, unknown, unhealthy } = counts;
  const total = healthy + degraded + unknown + unhealthy;
  if (total === 0) return { verdict: 'unknown', text: 'there are no agents' };
  const of = `of ${total} ${total === 1 ? 'agent' : 'agents'}`;
  const text =
    healthy === total
      ? total === 1
        ? 'the one agent is healthy'
        : `all ${total} agents are healthy`
      : [
          unhealthy > 0 && `${unhealthy} unhealthy`,
          unknown > 0 && `${unknown} unknown`,
          degraded > 0 && `${degraded} degraded`,
        ]
          .filter(Boolean)
          .join(', ')
          .concat(` ${of}`);
  if (unhealthy >= total * unhealthyShare && unhealthy > 0) return { verdict: 'unhealthy', text };
  if (unhealthy + unknown >= total * unknownShare) return { verdict: 'unknown', text };
  return { verdict: healthy === total ? 'healthy' : 'degraded', text };
}
