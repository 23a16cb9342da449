import type { StoredSample } from '../storage/sample-rows.ts';
import type { StoredNewest } from '../storage/telemetry-newest.ts';

/** The newest sample of each agent, without asking the database where that is not needed. */
export interface LatestSamples {
  get(agentId: string): Promise<StoredSample | undefined>;
  /** Those of the agents that have one; of all agents without ids. */
  list(agentIds?: readonly string[]): Promise<StoredSample[]>;
  /** Keeps of each agent the newest, in whatever order they come. Does not wait for other machines. */
  put(samples: readonly StoredSample[]): Promise<void>;
  forget(agentId: string): Promise<void>;
  /** Takes over what the database has. */
  start(): Promise<void>;
  stop(): Promise<void>;
}

/** In the memory of this instance: right as long as all agents are connected here. */
export function createMemoryLatest(stored?: Pick<StoredNewest, 'all'>): LatestSamples {
  const samples = new Map<string, StoredSample>();

  async function put(rows: readonly StoredSample[]): Promise<void> {
    const changed = new Map<string, StoredSample>();
    for (const row of rows) {
      const other = changed.get(row.agentId) ?? samples.get(row.agentId);
      if (other === undefined || isNewer(row, other)) changed.set(row.agentId, row);
    }
    for (const row of changed.values()) samples.set(row.agentId, aloneOf(row));
  }

  return {
    get: async (agentId) => samples.get(agentId),
    list: async (agentIds) =>
      agentIds === undefined
        ? [...samples.values()]
        : agentIds.flatMap((agentId) => samples.get(agentId) ?? []),
    put,
    async forget(agentId) {
      samples.delete(agentId);
    },
    async start() {
      for await (const rows of stored?.all() ?? []) await put(rows);
    },
    async stop() {},
  };
}

/** Its bytes may be a small part of those of a whole envelope, which need not be kept. */
const aloneOf = (row: StoredSample): StoredSample =>
  row.sample.byteLength === row.sample.buffer.byteLength ? row : { ...row, sample: row.sample.slice() };

/** Within a boot numbers decide: they are right also where the clock was set back. */
export function isNewer(
  row: Pick<StoredSample, 'at' | 'bootId' | 'number'>,
  other: Pick<StoredSample, 'at' | 'bootId' | 'number'>,
): boolean {
  if (Buffer.compare(row.bootId, other.bootId) === 0) return row.number > other.number;
  return row.at.getTime() >= other.at.getTime();
}
