import type { AgentStatus } from '../../storage/agents.ts';
import type { AgentSelector } from '../types.ts';

/**
 * A selector chooses agents by what the registry knows of them. Every part that is set must match, and a part
 * with several values matches any of them (of capabilities and labels, all).
 */

/** What a selector looks at. */
export interface Selectable {
  site: string;
  labels: Readonly<Record<string, string>>;
  capabilities: readonly string[];
  os: string;
  status: AgentStatus;
}

/** Why the selector leaves the agent out, or undefined where it takes it. */
export function mismatch(agent: Selectable, selector: AgentSelector): string | undefined {
  const { sites, capabilities, labels, os, statuses } = selector;
  if (sites !== undefined && !sites.includes(agent.site)) return `its site is ${agent.site}`;
  if (os !== undefined && !os.includes(agent.os)) return `its system is ${agent.os || 'not known yet'}`;
  if (statuses !== undefined && !statuses.includes(agent.status)) return `it is ${agent.status}`;
  const lacking = (capabilities ?? []).find((name) => !agent.capabilities.includes(name));
  if (lacking !== undefined) return `it lacks the capability ${lacking}`;
  for (const [name, value] of Object.entries(labels ?? {})) {
    const has = agent.labels[name];
    if (has === undefined) return `it has no label ${name}`;
    if (has !== value) return `its label ${name} is ${has}`;
  }
  return undefined;
}

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
