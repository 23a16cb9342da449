import type { Page, PageRequest } from '../lib/page.ts';
import type { Agent, AgentFilter, AgentService } from '../registry/types.ts';
import type { StoredSample } from '../storage/telemetry-samples.ts';
import type { TelemetryHistory } from '../telemetry/history.ts';
import type { LatestSamples } from '../telemetry/latest.ts';

/** What agents measured, together with which agents there are. */
export interface TelemetryService extends TelemetryHistory {
  /** Agents with their newest samples. @throws agent_unknown */
  latest(of: LatestOf, page: PageRequest): Promise<Page<LatestOfAgent>>;
}

/** One agent, or those that the filter finds. */
export type LatestOf = { agentId: string } | { filter: AgentFilter };

export interface LatestOfAgent {
  agent: Agent;
  /** Undefined where it never sent one. */
  sample: StoredSample | undefined;
}

export interface TelemetryServiceDeps {
  agents: Pick<AgentService, 'list' | 'get'>;
  telemetry: { latest: Pick<LatestSamples, 'get' | 'list'>; history: TelemetryHistory };
}

/** Whoever asks for one agent is told where there is none. */
export function createTelemetryService({ agents, telemetry }: TelemetryServiceDeps): TelemetryService {
  const { latest, history } = telemetry;
  return {
    async latest(of, page) {
      if ('agentId' in of) {
        const { agent } = await agents.get(of.agentId);
        return { items: [{ agent, sample: await latest.get(of.agentId) }], nextToken: undefined };
      }
      const { items, nextToken } = await agents.list(of.filter, page);
      const samples = await latest.list(items.map(({ agentId }) => agentId));
      const byAgent = new Map(samples.map((sample) => [sample.agentId, sample]));
      return { items: items.map((agent) => ({ agent, sample: byAgent.get(agent.agentId) })), nextToken };
    },
    async samples(agentId, range, page) {
      await agents.get(agentId);
      return history.samples(agentId, range, page);
    },
    async series(wanted, page) {
      await agents.get(wanted.agentId);
      return history.series(wanted, page);
    },
    aggregate: history.aggregate,
    sites: history.sites,
  };
}
