import { ViworksError } from '../errors.ts';
import { type TargetRow, targetsEverywhere, targetsNamed, targetsOfSite } from '../storage/agents.ts';
import type { Database } from '../storage/database.ts';
import type { AgentLink, AgentLinks } from './links.ts';
import type { Target } from './types.ts';

/**
 * The agents that a target names, in the caller's order or by id. @throws agent_unknown, no_target
 */
export async function resolveTarget(
  query: Database['query'],
  links: Pick<AgentLinks, 'get'>,
  target: Target,
): Promise<TargetRow[]> {
  if ('agents' in target) {
    const names = [...new Set(target.agents)];
    const byId = new Map<string, TargetRow>();
    for (const name of names) {
      const row = connectedTarget(links.get(name));
      if (row !== undefined) byId.set(name, row);
    }
    // What is connected here is known without asking.
    const absent = names.filter((name) => !byId.has(name));
    if (absent.length > 0) for (const row of await targetsNamed(query, absent)) byId.set(row.agentId, row);
    const unknown = names.filter((agentId) => !byId.has(agentId));
    if (unknown.length > 0) {
      const fields = unknown.slice(0, 100).map((agentId) => ({
        field: `target.agents[${target.agents.indexOf(agentId)}]`,
        problem: 'no such agent',
      }));
      throw new ViworksError('agent_unknown', `target.agents: no such agent: ${shorten(unknown)}`, {
        fields,
      });
    }
    if (names.length === 0) throw noTarget('target.agents', 'names no agent');
    return names.flatMap((agentId) => byId.get(agentId) ?? []);
  }
  if ('site' in target) {
    const rows = await targetsOfSite(query, target.site);
    if (rows.length === 0)
      throw noTarget('target.site', `no agent belongs to site ${JSON.stringify(target.site)}`);
    return rows;
  }
  const rows = await targetsEverywhere(query);
  if (rows.length === 0) throw noTarget('target.all', 'there is no agent');
  return rows;
}

function connectedTarget(link: AgentLink | undefined): TargetRow | undefined {
  if (link === undefined || link.paused) return undefined;
  const { agentId, incarnation, epoch, capabilities } = link;
  return { agentId, incarnation, epoch, capabilities, maintenance: false, statusReason: null, seen: true };
}

/** Refuses a verb that one of the agents cannot do. An agent that was never connected is given the benefit. */
export function assertCapable(rows: readonly TargetRow[], capability: string, verb: string): void {
  const lacking = rows.filter((row) => row.seen && !row.capabilities.includes(capability));
  if (lacking.length === 0) return;
  const names = lacking.map((row) => row.agentId);
  throw new ViworksError(
    'capability_missing',
    `target: ${verb} needs the capability ${JSON.stringify(capability)}, which is missing on: ${shorten(names)}`,
    {
      fields: names
        .slice(0, 100)
        .map((name) => ({ field: 'target', problem: `${name} lacks ${capability}` })),
    },
  );
}

function noTarget(field: string, problem: string): ViworksError {
  return new ViworksError('no_target', `${field}: ${problem}`, { fields: [{ field, problem }] });
}

function shorten(names: readonly string[]): string {
  const more = names.length > 5 ? ` and ${names.length - 5} more` : '';
  return names.slice(0, 5).join(', ') + more;
}
