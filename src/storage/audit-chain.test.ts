import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../../test/support/postgres.ts';
import { auditEntriesIn, digestEntries } from './audit-chain.ts';
import { type Database, lookupSettings } from './database.ts';

const entries = 20_000;
let database: TestDatabase;
let client: pg.Client;
beforeAll(async () => {
  database = await createTestDatabase();
  client = new pg.Client({ connectionString: database.url, options: lookupSettings });
  await client.connect();
  await client.query(
    `insert into audit_entries (at, actor, action, outcome, count, details)
     select now(), 'actor', 'commands.submit', 'done', 1, '{}' from generate_series(1, $1)`,
    [entries],
  );
  await client.query('analyze audit_entries');
});
afterAll(async () => {
  await client.end();
  await database.drop();
});

interface PlanNode {
  'Actual Rows': number;
  'Actual Loops': number;
  'Rows Removed by Join Filter'?: number;
  'Rows Removed by Filter'?: number;
  Plans?: PlanNode[];
}

/** A parameter as text; a binary array is one of int8 without nulls. */
function textOf(value: unknown): string {
  if (!Buffer.isBuffer(value)) return String(value);
  const [elements, from, each] = [value.readInt32BE(12), 24, 12];
  return `{${Array.from({ length: elements }, (_, n) => value.readBigInt64BE(from + n * each)).join(',')}}`;
}

/** Runs a statement with the plan that PostgreSQL keeps of it; answers with how many rows each step looked at. */
async function rowsLookedAt(use: (query: Database['query']) => Promise<unknown>): Promise<number> {
  let most = 0;
  const look = (node: PlanNode) => {
    const removed = (node['Rows Removed by Join Filter'] ?? 0) + (node['Rows Removed by Filter'] ?? 0);
    most = Math.max(most, (node['Actual Rows'] + removed) * node['Actual Loops']);
    node.Plans?.forEach(look);
  };
  for (const mode of ['force_custom_plan', 'force_generic_plan']) {
    await client.query(`set plan_cache_mode = ${mode}`);
    await use(async ({ name, text }, values) => {
      await client.query(`prepare ${name} as ${text}`);
      const literals = values.map((value) => pg.escapeLiteral(textOf(value))).join(', ');
      const { rows } = await client.query(`explain (analyze, format json) execute ${name}(${literals})`);
      await client.query(`deallocate ${name}`);
      look(rows[0]['QUERY PLAN'][0].Plan);
      return [];
    });
  }
  return most;
}

test.each([
  ['digests', digestEntries],
  ['entries', auditEntriesIn],
])('%s of a few entries are read without reading the log', async (_, read) => {
  const ranges: [number, number][] = [
    [100, 109],
    [entries - 10, entries],
  ];
  const rows = await rowsLookedAt((query) => read(query, ranges, 1000));
  expect(rows).toBeGreaterThanOrEqual(21);
  expect(rows).toBeLessThan(100);
});
