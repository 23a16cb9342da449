import type { Agent, AgentStatus } from '../registry/types.ts';

/** Which agents somebody looks at. Every part that is set must match; of several values any, of labels and capabilities all. */
export interface LiveSelector {
  agents?: readonly string[] | undefined;
  sites?: readonly string[] | undefined;
  labels?: Readonly<Record<string, string>> | undefined;
  capabilities?: readonly string[] | undefined;
  os?: readonly string[] | undefined;
  statuses?: readonly AgentStatus[] | undefined;
}

type Selectable = Pick<Agent, 'agentId' | 'site' | 'labels' | 'capabilities' | 'os' | 'status'>;

/** @param within sites that the caller is limited to; undefined does not limit */
export function createMatcher(
  selector: LiveSelector,
  within: readonly string[] | undefined,
): (agent: Selectable) => boolean {
  const agents = selector.agents && new Set(selector.agents);
  const sites = selector.sites && new Set(selector.sites);
  const allowed = within && new Set(within);
  const os = selector.os && new Set(selector.os);
  const statuses = selector.statuses && new Set(selector.statuses);
  const labels = Object.entries(selector.labels ?? {});
  const capabilities = selector.capabilities ?? [];
  return (agent) =>
    (agents === undefined || agents.has(agent.agentId)) &&
    (sites === undefined || sites.has(agent.site)) &&
    (allowed === undefined || allowed.has(agent.site)) &&
    (os === undefined || os.has(agent.os)) &&
    (statuses === undefined || statuses.has(agent.status)) &&
    capabilities.every((name) => agent.capabilities.includes(name)) &&
    labels.every(([name, value]) => agent.labels[name] === value);
}

/** Whether it looks at anything but sites, which alerts know themselves. */
export const looksAtAgents = ({ labels, capabilities, os, statuses }: LiveSelector): boolean =>
  [labels, capabilities, os, statuses].some((part) => part !== undefined);
