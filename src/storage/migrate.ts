import { fileURLToPath } from 'node:url';
import type { Database } from './database.ts';
import { migrationLock } from './locks.ts';
import { partitionTables } from './telemetry-partitions.ts';

const folder = fileURLToPath(new URL('../../migrations', import.meta.url));

/** Brings the schema up to date. Instances that start together wait for each other. */
export async function migrate(database: Database): Promise<void> {
  await database.withLock(migrationLock, async () => {
    await database.applyMigrations(folder);
    await partitionTables(database);
  });
}
