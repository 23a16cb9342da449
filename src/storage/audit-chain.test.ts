import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { rowsLookedAt } from '../../test/support/plans.ts';
import { createTestDatabase, type TestDatabase } from '../../test/support/postgres.ts';
import { auditEntriesIn, digestEntries } from './audit-chain.ts';

const entries = 20_000;
let database: TestDatabase;
let client: pg.Client;
beforeAll(async () => {
  database = await createTestDatabase();
  client = new pg.Client({ connectionString: database.url });
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

test.each([
  ['digests', digestEntries],
  ['entries', auditEntriesIn],
])('%s of a few entries are read without reading the log', async (_, read) => {
  const ranges: [number, number][] = [
    [100, 109],
    [entries - 10, entries],
  ];
  const rows = await rowsLookedAt(client, (query) => read(query, ranges, 1000));
  expect(rows).toBeGreaterThanOrEqual(21);
  expect(rows).toBeLessThan(100);
});
