import pg from 'pg';
import { type Database, lookupSettings } from '../../src/storage/database.ts';

/** What statements look at, as PostgreSQL says itself. */

interface PlanNode {
  'Actual Rows': number;
  'Actual Loops': number;
  'Rows Removed by Join Filter'?: number;
  'Rows Removed by Filter'?: number;
  Plans?: PlanNode[];
}

/** A parameter as SQL; a binary array is one of int8 without nulls. */
function literalOf(value: unknown): string {
  if (value === undefined || value === null) return 'null';
  if (value instanceof Date) return pg.escapeLiteral(value.toISOString());
  if (Array.isArray(value))
    return pg.escapeLiteral(`{${value.map((item) => JSON.stringify(item)).join(',')}}`);
  if (!Buffer.isBuffer(value)) return pg.escapeLiteral(String(value));
  const [elements, from, each] = [value.readInt32BE(12), 24, 12];
  const items = Array.from({ length: elements }, (_, n) => value.readBigInt64BE(from + n * each));
  return pg.escapeLiteral(`{${items.join(',')}}`);
}

/**
 * Runs statements with the plans that PostgreSQL may keep of them; answers with how many rows the step looked at that
 * looked at the most.
 */
export async function rowsLookedAt(
  client: pg.Client,
  use: (query: Database['query']) => Promise<unknown>,
): Promise<number> {
  let most = 0;
  const look = (node: PlanNode) => {
    const removed = (node['Rows Removed by Join Filter'] ?? 0) + (node['Rows Removed by Filter'] ?? 0);
    most = Math.max(most, (node['Actual Rows'] + removed) * node['Actual Loops']);
    node.Plans?.forEach(look);
  };
  const settings = lookupSettings.replaceAll('-c ', '').split(' ');
  for (const mode of ['force_custom_plan', 'force_generic_plan']) {
    await client.query(`set plan_cache_mode = ${mode}`);
    await use(async ({ name, text, on }, values) => {
      for (const setting of settings)
        await client.query(`set ${on === 'lookups' ? setting : setting.replace('off', 'on')}`);
      await client.query(`prepare ${name} as ${text}`);
      const given = values.length === 0 ? '' : `(${values.map(literalOf).join(', ')})`;
      const { rows } = await client.query(`explain (analyze, format json) execute ${name}${given}`);
      await client.query(`deallocate ${name}`);
      look(rows[0]['QUERY PLAN'][0].Plan);
      return [];
    });
  }
  return most;
}
