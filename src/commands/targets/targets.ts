import { ViworksError } from '../../errors.ts';
import type { Scope } from '../../lib/scope.ts';
import { countWaiting, type TargetRow, targetsNamed, targetsSelected } from '../../storage/agents.ts';
import type { Database } from '../../storage/database.ts';
import type { Capacity } from '../dispatch/capacity.ts';
import type { AgentLink, AgentLinks } from '../dispatch/links.ts';
import type { AgentSelector, Target } from '../types.ts';
import { limitOf } from './limits.ts';
import { leastLoaded } from './selector.ts';

/** The agents that a target stands for at this moment. */
export interface Resolved {
  /** In the caller's order, or by id. */
  agents: TargetRow[];
  /** How many more the target names that lack what the verb needs. */
  skipped: number;
}

export interface TargetDeps {
  query: Database['query'];
  links: Pick<AgentLinks, 'get'>;
  capacity: Pick<Capacity, 'credit'>;
}

export interface Need {
  verb: string;
  capability: string;
}

/**
 * Agents that somebody named must all be able to do what is asked; of those that a selector finds, the ones
 * that are not are left out and counted.
 * An agent outside of the sites that the caller is limited to is none that it could name or find.
 * @throws agent_unknown, no_target, capability_missing, scope_exceeded
 */
export async function resolveTarget(
  deps: TargetDeps,
  target: Target,
  need: Need,
  scope: Scope | undefined,
): Promise<Resolved> {
  const within = scope && limitOf(target, scope);
  const named = 'agents' in target;
  const rows = named
    ? await resolveNames(deps, target.agents, within?.sites)
    : await resolveSelector(deps.query, target, within?.sites);
  const capable = rows.filter((row) => isCapable(row, need.capability));
  if (named && capable.length < rows.length && target.anyOne !== true) throw capabilityMissing(rows, need);
  const skipped = rows.length - capable.length;
  if (capable.length === 0) throw capabilityMissing(rows, need);
  if (target.anyOne !== true) return { agents: capable, skipped };
  return { agents: [await chooseOne(deps, capable)], skipped };
}

/** What is not connected yet was never asked what it can do, and is given the benefit. */
export const isCapable = (row: Pick<TargetRow, 'seen' | 'capabilities'>, capability: string): boolean =>
  !row.seen || row.capabilities.includes(capability);

export const selectorOf = (target: Exclude<Target, { agents: readonly string[] }>): AgentSelector => {
  if ('site' in target) return { sites: [target.site] };
  return 'selector' in target ? target.selector : {};
};

async function resolveNames(
  { query, links }: TargetDeps,
  agents: readonly string[],
  sites: readonly string[] | undefined,
): Promise<TargetRow[]> {
  const [only] = agents;
  if (agents.length === 1 && only !== undefined && sites === undefined) {
    const row = connectedTarget(links.get(only));
    if (row !== undefined) return [row];
  }
  const names = [...new Set(agents)];
  if (names.length === 0) throw noTarget('target.agents', 'names no agent');
  const byId = new Map<string, TargetRow>();
  // Of what is connected, the registry alone knows the site.
  for (const name of sites === undefined ? names : []) {
    const row = connectedTarget(links.get(name));
    if (row !== undefined) byId.set(name, row);
  }
  // What is connected here is known without asking.
  const absent = names.filter((name) => !byId.has(name));
  if (absent.length > 0)
    for (const row of await targetsNamed(query, absent, sites)) byId.set(row.agentId, row);
  const unknown = names.filter((agentId) => !byId.has(agentId));
  if (unknown.length > 0) {
    const fields = unknown.slice(0, 100).map((agentId) => ({
      field: `target.agents[${agents.indexOf(agentId)}]`,
      problem: 'no such agent',
    }));
    throw new ViworksError('agent_unknown', `target.agents: no such agent: ${shorten(unknown)}`, { fields });
  }
  return names.flatMap((agentId) => byId.get(agentId) ?? []);
}

async function resolveSelector(
  query: Database['query'],
  target: Exclude<Target, { agents: readonly string[] }>,
  sites: readonly string[] | undefined,
): Promise<TargetRow[]> {
  const selector = selectorOf(target);
  const asked = selector.sites;
  const both = asked === undefined ? sites : asked.filter((site) => sites?.includes(site) ?? true);
  const rows = await targetsSelected(query, { ...selector, sites: both });
  if (rows.length > 0) return rows;
  if ('site' in target) {
    throw noTarget('target.site', `no agent belongs to site ${JSON.stringify(target.site)}`);
  }
  if ('selector' in target) throw noTarget('target.selector', 'no agent matches it');
  throw noTarget('target.all', 'there is no agent');
}

function connectedTarget(link: AgentLink | undefined): TargetRow | undefined {
  if (link === undefined || link.paused) return undefined;
  const { agentId, incarnation, epoch, capabilities } = link;
  return { agentId, incarnation, epoch, capabilities, maintenance: false, statusReason: null, seen: true };
}

/** The one that has the least to do; of those in maintenance only if there is no other. */
export async function chooseOne<Row extends TargetRow>(
  { query, links, capacity }: TargetDeps,
  rows: readonly Row[],
): Promise<Row> {
  const isReady = (link: AgentLink | undefined): boolean =>
    link !== undefined && !link.backlog && capacity.credit(link) > 0;
  const inService = rows.filter((row) => !row.maintenance);
  const candidates = inService.length > 0 ? inService : rows;
  const ready = candidates.filter((row) => isReady(links.get(row.agentId)));
  // Nobody has anything waiting for an agent that is ready: the database need not be asked.
  const waiting =
    ready.length > 0
      ? []
      : await countWaiting(
          query,
          candidates.map((row) => row.agentId),
        );
  const counts = new Map(waiting.map((row) => [row.agentId, row.count]));
  const loads = (ready.length > 0 ? ready : candidates).map(({ agentId }) => {
    const link = links.get(agentId);
    const executions = (link?.inFlight.size ?? 0) + (counts.get(agentId) ?? 0);
    return { agentId, ready: isReady(link), connected: link !== undefined, executions };
  });
  const chosen = leastLoaded(loads, Math.random());
  const row = candidates.find(({ agentId }) => agentId === chosen?.agentId);
  if (row === undefined) throw noTarget('target', 'names no agent');
  return row;
}

function capabilityMissing(rows: readonly TargetRow[], { verb, capability }: Need): ViworksError {
  const lacking = rows.filter((row) => !isCapable(row, capability)).map((row) => row.agentId);
  const quoted = JSON.stringify(capability);
  const text = `target: ${verb} needs the capability ${quoted}, which is missing on: ${shorten(lacking)}`;
  const fields = lacking.slice(0, 100).map((name) => ({
    field: 'target',
    problem: `${name} lacks ${capability}`,
  }));
  return new ViworksError('capability_missing', text, { fields });
}

function noTarget(field: string, problem: string): ViworksError {
  return new ViworksError('no_target', `${field}: ${problem}`, { fields: [{ field, problem }] });
}

function shorten(names: readonly string[]): string {
  const more = names.length > 5 ? ` and ${names.length - 5} more` : '';
  return names.slice(0, 5).join(', ') + more;
}
