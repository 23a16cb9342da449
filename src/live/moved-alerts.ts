import type { Alert } from '../alerts/types.ts';
import type { Agent } from '../registry/types.ts';
import { type Place, turned } from './board.ts';
import type { Batch, Mirror } from './mirror.ts';

/**
 * Reads alerts of agents that began or ceased to match after a place that both logs reach, as the alerts are at that
 * place: what became of them since is read after it, in order.
 *
 * @param most alerts at once, but all of one agent; the rest is read next
 * @param concerns whether the reader is to know of an alert, whatever its agent is
 * @param matches whether it is to know of those of an agent
 * @returns with the place among the changes of agents
 */
export function readMoved(
  alerts: Mirror<Alert>,
  agents: Pick<Mirror<Agent>, 'log'>,
  from: Place,
  most: number,
  concerns: (alert: Alert) => boolean,
  matches: (agent: Agent) => boolean,
): Batch<Alert> {
  const { log } = agents;
  const batch: Batch<Alert> = { shown: [], gone: [], place: log.head };
  const turns: { place: number; agentId: string; matched: boolean }[] = [];
  for (let place = from.agents + 1; place <= log.head; place++) {
    const change = log.at(place);
    if (change === undefined || !turned(change, matches)) continue;
    const matched = change.before !== undefined && matches(change.before);
    turns.push({ place, agentId: change.key, matched });
  }
  if (turns.length === 0) return batch;

  const alertsOf = alertsAt(alerts, from.samples, new Set(turns.map(({ agentId }) => agentId)), concerns);
  /** Of each agent whether it matched at first, and does now. */
  const moved = new Map<string, { matched: boolean; matches: boolean }>();
  let told = 0;
  for (const { place, agentId, matched } of turns) {
    const known = moved.get(agentId);
    if (known === undefined) {
      const count = alertsOf.get(agentId)?.length ?? 0;
      if (told > 0 && told + count > most) {
        batch.place = place - 1;
        break;
      }
      told += count;
    }
    moved.set(agentId, { matched: known?.matched ?? matched, matches: !matched });
  }
  for (const [agentId, { matched, matches: now }] of moved) {
    const theirs = alertsOf.get(agentId) ?? [];
    // One that went and came back is as it was.
    if (matched === now) continue;
    if (now) batch.shown.push(...theirs);
    else batch.gone.push(...theirs.map(({ alertId }) => alertId));
  }
  return batch;
}

/** Alerts that concern the reader, as they were at the place, by the agents that are asked for. */
function alertsAt(
  alerts: Mirror<Alert>,
  place: number,
  agentIds: ReadonlySet<string>,
  concerns: (alert: Alert) => boolean,
): Map<string, Alert[]> {
  /** What changed since, as it was before. */
  const earlier = new Map<string, Alert | undefined>();
  for (let n = alerts.log.head; n > place; n--) {
    const change = alerts.log.at(n);
    if (change !== undefined) earlier.set(change.key, change.before);
  }
  const found = new Map<string, Alert[]>();
  const add = (alert: Alert | undefined) => {
    if (alert === undefined || !agentIds.has(alert.agentId) || !concerns(alert)) return;
    const others = found.get(alert.agentId);
    if (others === undefined) found.set(alert.agentId, [alert]);
    else others.push(alert);
  };
  for (const alert of alerts.values()) if (!earlier.has(alert.alertId)) add(alert);
  for (const alert of earlier.values()) add(alert);
  return found;
}
