import { type Database, patient } from './database.ts';
import { holdRollups, rollupLevels } from './telemetry-rollups.ts';

const tables = ['telemetry_samples', ...rollupLevels.map(({ table }) => table), 'telemetry_skewed'];
const removals = tables.map((table) =>
  patient(`${table}_remove`, `delete from ${table} where agent_id = $1`),
);

/** Forgets all that an agent measured. Within a transaction. */
export async function removeTelemetry(query: Database['query'], agentId: string): Promise<void> {
  // What is being rolled up is read already, and would be written again behind it.
  await holdRollups(query);
  for (const remove of removals) await query(remove, [agentId]);
}
