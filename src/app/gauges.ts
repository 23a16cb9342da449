import type { Metrics } from '../lib/metrics.ts';
import type { Database } from '../storage/database.ts';

/** The figures that are read when somebody asks, and not counted as things happen. */
export function withFreshGauges(
  metrics: Metrics,
  database: Database,
  report: () => Promise<{ agents: object }>,
) {
  return {
    ...metrics,
    async render() {
      const { total, idle, waiting } = database.pool();
      metrics.databasePoolConnections.set({ state: 'active' }, total - idle);
      metrics.databasePoolConnections.set({ state: 'idle' }, idle);
      metrics.databasePoolConnections.set({ state: 'waiting' }, waiting);
      // A scrape answers also while the database is away.
      const { agents } = await report().catch(() => ({ agents: {} }));
      for (const [status, count] of Object.entries(agents)) metrics.agents.set({ status }, count);
      return metrics.render();
    },
  };
}
