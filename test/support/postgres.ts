import pg from 'pg';
import { inject, onTestFinished } from 'vitest';
import { newId } from '../../src/lib/ids.ts';
import { silentLogger } from '../../src/lib/logger.ts';
import { createDatabase, type Database } from '../../src/storage/database.ts';
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

/** The same with connections to it, for tests of statements. Closed first, then dropped. */
export async function openTestDatabase(): Promise<{
  database: Database;
  url: string;
  drop(): Promise<void>;
}> {
  const own = await createTestDatabase();
  const database = createDatabase({
    url: own.url,
    maxConnections: 4,
    connectTimeoutMs: 10_000,
    idleTimeoutMs: 10_000,
    log: silentLogger,
  });
  return {
    database,
    url: own.url,
    async drop() {
      await database.close();
      await own.drop();
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

/** Keeps everybody from writing to the table; reading goes on. */
export async function lockTable(url: string, table: string, mode = 'exclusive') {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query('BEGIN');
  await client.query(`LOCK TABLE ${table} IN ${mode} MODE`);
  onTestFinished(() => client.end());
  return {
    /** Resolves when a statement with these words near its beginning waits for the table. */
    async blocks(words: string): Promise<void> {
      for (let count = 0; count === 0; ) {
        // Within a transaction the activity stays what it was at the first look.
        await client.query('SELECT pg_stat_clear_snapshot()');
        const { rowCount } = await client.query(
          `SELECT FROM pg_stat_activity
            WHERE datname = current_database() AND wait_event_type = 'Lock' AND query ~ $1`,
          [words],
        );
        count = rowCount ?? 0;
      }
    },
    async release(): Promise<void> {
      await client.query('ROLLBACK');
    },
  };
}
