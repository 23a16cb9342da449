import { fileURLToPath } from 'node:url';
import { migrate as applyMigrations } from 'drizzle-orm/node-postgres/migrator';
import { type Database, databaseError } from './database.ts';

/** Names of the advisory locks; any two numbers that nobody else uses. */
export const migrationLock = 7_486_001;
export const instanceLock = 7_486_002;

const folder = fileURLToPath(new URL('../../migrations', import.meta.url));

/** Brings the schema up to date. Instances that start together wait for each other. */
export async function migrate(database: Database): Promise<void> {
  await database.withLock(migrationLock, async () => {
    try {
      await applyMigrations(database.orm, { migrationsFolder: folder, migrationsSchema: 'public' });
    } catch (error) {
      throw databaseError(unwrap(error));
    }
  });
}

/** Drizzle wraps the driver's error. */
function unwrap(error: unknown): unknown {
  return error instanceof Error && error.cause !== undefined ? error.cause : error;
}
