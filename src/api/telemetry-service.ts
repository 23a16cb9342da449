import { encodeToken, type Page, type PageRequest } from '../lib/page.ts';
import type { Agent, AgentFilter, AgentService } from '../registry/types.ts';
import type { StoredSample } from '../storage/sample-rows.ts';
import type { TelemetryHistory } from '../telemetry/history.ts';
import type { LatestSamples } from '../telemetry/latest.ts';

/** What agents measured, together with which agents there are. */
export interface TelemetryService extends TelemetryHistory {
  /** Agents with their newest samples. Large ones make a page shorter. @throws agent_unknown */
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

/** Bytes of samples after which a page ends, however many agents it may have. */
const pageBytes = 4 * 1024 * 1024;

/** At least the first. */
function withinBytes(all: readonly LatestOfAgent[]): LatestOfAgent[] {
  let bytes = 0;
  const end = all.findIndex(({ sample }, at) => {
    bytes += sample?.sample.byteLength ?? 0;
    return at > 0 && bytes > pageBytes;
  });
  return all.slice(0, end === -1 ? all.length : end);
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
      const all = items.map((agent) => ({ agent, sample: byAgent.get(agent.agentId) }));
      const some = withinBytes(all);
      const last = some.at(-1);
      if (last === undefined || some.length === all.length) return { items: all, nextToken };
      return { items: some, nextToken: encodeToken(last.agent.agentId) };
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
