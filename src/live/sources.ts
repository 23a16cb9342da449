import { rank } from '../alerts/notifier/message.ts';
import type { Alert } from '../alerts/types.ts';
import type { Agent } from '../registry/types.ts';
import { type Board, type Headline, type Place, readSamples, turned } from './board.ts';
import { cursorAt, placeOf } from './cursor.ts';
import { type Mirror, readChanges } from './mirror.ts';
import { createMatcher, type LiveSelector, looksAtAgents } from './selector.ts';
import type { Source } from './stream.ts';
import type { LiveAlertsRequest } from './types.ts';

/** What each kind of stream tells: over what is shared by all readers, as one reader may see it. */

/** Things in one event. */
export const mostAtOnce = 500;

export function agentSource(
  epoch: string,
  agents: Mirror<Agent>,
  selector: LiveSelector,
  sites: readonly string[] | undefined,
): Source<Agent, Place> {
  const sees = createMatcher(selector, sites);
  return {
    placeOf: (cursor) => placeOf(epoch, cursor),
    cursorAt: (place) => cursorAt(epoch, place),
    head: () => ({ samples: 0, agents: agents.log.head }),
    isHead: (place) => place.agents === agents.log.head,
    reaches: (place) => agents.log.reaches(place.agents),
    all: () => [...agents.values()].filter(sees),
    read(from) {
      const { place, ...rest } = readChanges(agents, from.agents, mostAtOnce, sees);
      return { ...rest, skipped: 0, place: { samples: 0, agents: place } };
    },
  };
}

/** @param most agents in one event */
export function sampleSource(
  epoch: string,
  board: Board,
  agents: Mirror<Agent>,
  most: number,
  selector: LiveSelector,
  sites: readonly string[] | undefined,
): Source<Headline, Place> {
  const sees = createMatcher(selector, sites);
  return {
    placeOf: (cursor) => placeOf(epoch, cursor),
    cursorAt: (place) => cursorAt(epoch, place),
    head: () => ({ samples: board.head, agents: agents.log.head }),
    isHead: (place) => place.samples === board.head && place.agents === agents.log.head,
    reaches: (place) => board.reaches(place.samples) && agents.log.reaches(place.agents),
    all: () => [...agents.values()].flatMap((agent) => (sees(agent) ? (board.get(agent.agentId) ?? []) : [])),
    read(place) {
      const { samples, ...rest } = readSamples(board, agents, place, most, sees);
      return { ...rest, shown: samples };
    },
  };
}

/**
 * The site of an alert is that of the alert; the rest of a selector is about its agent as it is now. The place in the
 * alerts stands in for that in the samples.
 */
export function alertSource(
  epoch: string,
  alerts: Mirror<Alert>,
  agents: Mirror<Agent>,
  { selector = {}, sites: within, states, rule, minSeverity }: LiveAlertsRequest,
): Source<Alert, Place> {
  const { sites, ...ofAgent } = selector;
  const matchesAgent = createMatcher(ofAgent, undefined);
  const asksAgent = looksAtAgents(selector);
  const named = selector.agents && new Set(selector.agents);

  function sees(alert: Alert): boolean {
    if (within !== undefined && !within.includes(alert.site)) return false;
    if (sites !== undefined && !sites.includes(alert.site)) return false;
    if (named !== undefined && !named.has(alert.agentId)) return false;
    if (states !== undefined && !states.includes(alert.state)) return false;
    if (rule !== undefined && alert.rule !== rule) return false;
    if (minSeverity !== undefined && rank(alert.severity) < rank(minSeverity)) return false;
    if (!asksAgent) return true;
    const agent = agents.get(alert.agentId);
    return agent !== undefined && matchesAgent(agent);
  }

  /** Of agents that began or ceased to match. */
  function movedAlerts(from: number): Alert[] {
    const moved = new Set<string>();
    for (let n = from + 1; n <= agents.log.head; n++) {
      const change = agents.log.at(n);
      if (change !== undefined && turned(change, matchesAgent)) moved.add(change.key);
    }
    return moved.size === 0 ? [] : [...alerts.values()].filter(({ agentId }) => moved.has(agentId));
  }

  return {
    placeOf: (cursor) => placeOf(epoch, cursor),
    cursorAt: (place) => cursorAt(epoch, place),
    head: () => ({ samples: alerts.log.head, agents: agents.log.head }),
    isHead: (place) => place.samples === alerts.log.head && (!asksAgent || place.agents === agents.log.head),
    reaches: (place) => alerts.log.reaches(place.samples) && (!asksAgent || agents.log.reaches(place.agents)),
    all: () => [...alerts.values()].filter(sees),
    read(from) {
      const moved = asksAgent ? movedAlerts(from.agents) : [];
      if (moved.length > 0) {
        const shown = moved.filter(sees);
        const gone = moved.filter((alert) => !sees(alert)).map(({ alertId }) => alertId);
        return { shown, gone, skipped: 0, place: { ...from, agents: agents.log.head } };
      }
      const { place, ...rest } = readChanges(alerts, from.samples, mostAtOnce, sees);
      return { ...rest, skipped: 0, place: { samples: place, agents: agents.log.head } };
    },
  };
}
