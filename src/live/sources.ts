import { type Alert, rank } from '../alerts/types.ts';
import type { Agent } from '../registry/types.ts';
import { type Board, type Headline, type Place, readSamples } from './board.ts';
import { cursorAt, placeOf } from './cursor.ts';
import { type Batch, type Mirror, readChanges } from './mirror.ts';
import { readMoved } from './moved-alerts.ts';
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
 * alerts stands in for that in the samples. What a reader knows at a place are the alerts as they were there, of agents
 * that matched there: by that it is told what moves, and so of nothing that it never saw.
 * @param most alerts in one event, but all of an agent that moves
 */
export function alertSource(
  epoch: string,
  alerts: Mirror<Alert>,
  agents: Mirror<Agent>,
  { selector = {}, sites: within, states, rule, minSeverity }: LiveAlertsRequest,
  most = mostAtOnce,
): Source<Alert, Place> {
  const { sites, ...ofAgent } = selector;
  const matchesAgent = createMatcher(ofAgent, undefined);
  const asksAgent = looksAtAgents(selector);
  const named = selector.agents && new Set(selector.agents);

  /** What is asked of the alert itself. */
  function concerns(alert: Alert): boolean {
    if (within !== undefined && !within.includes(alert.site)) return false;
    if (sites !== undefined && !sites.includes(alert.site)) return false;
    if (named !== undefined && !named.has(alert.agentId)) return false;
    if (states !== undefined && !states.includes(alert.state)) return false;
    if (rule !== undefined && alert.rule !== rule) return false;
    return minSeverity === undefined || rank(alert.severity) >= rank(minSeverity);
  }

  function sees(alert: Alert): boolean {
    if (!concerns(alert)) return false;
    if (!asksAgent) return true;
    const agent = agents.get(alert.agentId);
    return agent !== undefined && matchesAgent(agent);
  }

  return {
    placeOf: (cursor) => placeOf(epoch, cursor),
    cursorAt: (place) => cursorAt(epoch, place),
    head: () => ({ samples: alerts.log.head, agents: agents.log.head }),
    isHead: (place) => place.samples === alerts.log.head && (!asksAgent || place.agents === agents.log.head),
    reaches: (place) => alerts.log.reaches(place.samples) && (!asksAgent || agents.log.reaches(place.agents)),
    all: () => [...alerts.values()].filter(sees),
    read(from) {
      const { head } = agents.log;
      const moved: Batch<Alert> = asksAgent
        ? readMoved(alerts, agents, from, most, concerns, matchesAgent)
        : { shown: [], gone: [], place: head };
      const place = { samples: from.samples, agents: moved.place };
      if (moved.place < head) return { ...moved, skipped: 0, place };
      const told = [...moved.gone, ...moved.shown.map(({ alertId }) => alertId)];
      const changed = readChanges(alerts, from.samples, most, sees, told);
      return {
        shown: [...moved.shown, ...changed.shown],
        gone: [...moved.gone, ...changed.gone],
        skipped: 0,
        place: { ...place, samples: changed.place },
      };
    },
  };
}
