import type { Config } from '../config/schema.ts';
import { createLogger } from '../lib/logger.ts';
import { createEmbeddedPostgres } from '../storage/embedded/embedded.ts';
import { migrate } from '../storage/migrate.ts';
import { lockDataDir, prepareDataDir } from './data-dir.ts';
import { useDatabase } from './preflight.ts';

/** Migrates the configured database; the embedded one is started for as long as that takes. */
export async function migrateDatabase(config: Config): Promise<void> {
  if (config.database.url !== undefined) return useDatabase(config, config.database.url, migrate);
  const { data_dir: dataDir } = config.server;
  prepareDataDir(dataDir);
  const lock = lockDataDir(dataDir);
  const server = createEmbeddedPostgres({ dataDir, log: createLogger(config.logging) });
  try {
    const { connectionString } = await server.start();
    await useDatabase(config, connectionString, migrate);
  } finally {
    await server.stop();
    lock.release();
  }
}
