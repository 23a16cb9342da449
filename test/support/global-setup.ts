import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import type { TestProject } from 'vitest/node';
import { newId } from '../../src/lib/ids.ts';
import { silentLogger } from '../../src/lib/logger.ts';
import { createDatabase } from '../../src/storage/database.ts';
import { createEmbeddedPostgres } from '../../src/storage/embedded/embedded.ts';
import { migrate } from '../../src/storage/migrate.ts';
import { withDatabaseName } from './database-url.ts';

declare module 'vitest' {
  export interface ProvidedContext {
    /** Any database of the server; for administration. */
    databaseUrl: string;
    /** The name of the migrated database that tests copy. */
    templateDatabase: string;
    /** A folder in which the processes of the run keep what they compiled. */
    compileCache: string;
  }
}

/** One PostgreSQL for the run: TEST_DATABASE_URL, or an embedded one that forgets everything afterwards. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const given = process.env.TEST_DATABASE_URL;
  const server = given === undefined ? await startServer() : { url: given, stop: async () => {} };
  const templateDatabase = `viworks_template_${newId().replaceAll('-', '')}`;
  await administer(server.url, `CREATE DATABASE ${templateDatabase}`);
  const database = createDatabase({
    url: withDatabaseName(server.url, templateDatabase),
    maxConnections: 2,
    connectTimeoutMs: 10_000,
    idleTimeoutMs: 10_000,
    log: silentLogger,
  });
  try {
    await migrate(database);
  } finally {
    await database.close();
  }
  project.provide('databaseUrl', server.url);
  project.provide('templateDatabase', templateDatabase);
  const compileCache = await mkdtemp(join(tmpdir(), 'viworks-test-compiled-'));
  project.provide('compileCache', compileCache);
  return async () => {
    await rm(compileCache, { recursive: true, force: true });
    if (given !== undefined) await administer(server.url, `DROP DATABASE ${templateDatabase}`);
    await server.stop();
  };
}

async function startServer() {
  // Not a private folder of one user: as root, the database's user has to reach it.
  const dataDir = join(tmpdir(), `viworks-test-${newId()}`);
  const server = createEmbeddedPostgres({
    dataDir,
    log: silentLogger,
    maxConnections: 300,
    settings: { fsync: 'off', full_page_writes: 'off', shared_buffers: '128MB' },
  });
  const { connectionString } = await server.start();
  return {
    url: connectionString,
    async stop() {
      await server.stop();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}

async function administer(url: string, statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}
