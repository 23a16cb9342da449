import type { AgentStatus } from '../../storage/agents.ts';
import type { AgentSelector } from '../types.ts';

/**
 * A selector chooses agents by what the registry knows of them. Every part that is set must match, and a part
 * with several values matches any of them (of capabilities and labels, all).
 */

/** What a selector looks at. */
export interface Selectable {
  agentId: string;
  site: string;
  labels: Readonly<Record<string, string>>;
  capabilities: readonly string[];
  os: string;
  status: AgentStatus;
}

/** A selector that may name agents as well. */
export interface NamingSelector extends AgentSelector {
  agents?: readonly string[] | undefined;
}

/** Says why the selector leaves an agent out, or undefined where it takes it. */
export function createMismatch(selector: NamingSelector): (agent: Selectable) => string | undefined {
  const [agents, sites, os, statuses] = [
    setOf(selector.agents),
    setOf(selector.sites),
    setOf(selector.os),
    setOf(selector.statuses),
  ];
  const capabilities = selector.capabilities ?? [];
  const labels = Object.entries(selector.labels ?? {});
  return (agent) => {
    if (agents !== undefined && !agents.has(agent.agentId)) return 'it is not one of those that are named';
    if (sites !== undefined && !sites.has(agent.site)) return `its site is ${agent.site}`;
    if (os !== undefined && !os.has(agent.os)) return `its system is ${agent.os || 'not known yet'}`;
    if (statuses !== undefined && !statuses.has(agent.status)) return `it is ${agent.status}`;
    for (const name of capabilities)
      if (!agent.capabilities.includes(name)) return `it lacks the capability ${name}`;
    for (const [name, value] of labels) {
      const has = agent.labels[name];
      if (has === undefined) return `it has no label ${name}`;
      if (has !== value) return `its label ${name} is ${has}`;
    }
    return undefined;
  };
}

const setOf = <T>(items: readonly T[] | undefined): ReadonlySet<T> | undefined => items && new Set(items);

/** How busy an agent is, as far as this instance knows. */
export interface Load {
  agentId: string;
  /** It could be handed something at once. */
  ready: boolean;
  connected: boolean;
  /** Executions that it has or that wait for it. */
  executions: number;
}

/**
 * The agent that has the least to do: one that is ready before one that is only connected, and that before one
 * that is away; then the fewest executions. Among equals, chance spreads the work.
 * @param random in [0, 1)
 */
export function leastLoaded(loads: readonly Load[], random: number): Load | undefined {
  let best: Load[] = [];
  for (const load of loads) {
    const order = best[0] === undefined ? -1 : compare(load, best[0]);
    if (order < 0) best = [load];
    else if (order === 0) best.push(load);
  }
  return best[Math.floor(random * best.length)];
}

function compare(a: Load, b: Load): number {
  return (
    Number(b.ready) - Number(a.ready) ||
    Number(b.connected) - Number(a.connected) ||
    a.executions - b.executions
  );
}
