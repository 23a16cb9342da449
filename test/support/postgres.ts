import pg from 'pg';
import { inject } from 'vitest';
import { newId } from '../../src/lib/ids.ts';
import { withDatabaseName } from './database-url.ts';

/** A migrated database of its own for one test file. */
export interface TestDatabase {
  url: string;
  /** Fails if somebody is still connected: that is a leak of the test. */
  drop(): Promise<void>;
}

/** Copies the template; takes some tens of milliseconds. */
export async function createTestDatabase(): Promise<TestDatabase> {
  const name = `viworks_test_${newId().replaceAll('-', '')}`;
  await administer(`CREATE DATABASE ${name} TEMPLATE ${inject('templateDatabase')}`);
  return {
    url: withDatabaseName(inject('databaseUrl'), name),
    async drop() {
      try {
        // PostgreSQL waits up to five seconds for the sessions that are just ending.
        await administer(`DROP DATABASE ${name}`);
      } catch (error) {
        await administer(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
        throw error;
      }
    },
  };
}

async function administer(statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: inject('databaseUrl') });
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}
