import { fileURLToPath } from 'node:url';
import type { Database } from './database.ts';

/** Names of the advisory locks; any two numbers that nobody else uses. */
const migrationLock = 7_486_001;
export const instanceLock = 7_486_002;

const folder = fileURLToPath(new URL('../../migrations', import.meta.url));

/** Brings the schema up to date. Instances that start together wait for each other. */
export async function migrate(database: Database): Promise<void> {
  await database.withLock(migrationLock, () => database.applyMigrations(folder));
}
