import type { Command } from 'commander';
import type { Config } from '../config/schema.ts';
import { createLogger } from '../lib/logger.ts';
import type { Database } from '../storage/database.ts';
import { createEmbeddedPostgres } from '../storage/embedded.ts';
import { migrate } from '../storage/migrate.ts';
import { type CliContext, configOf, type ServerOptions, withServerOptions } from './context.ts';
import { lockDataDir, prepareDataDir } from './data-dir.ts';
import { useDatabase } from './preflight.ts';

/** `viworks migrate`: brings the schema up to date without serving. */
export function migrateCommand(program: Command, context: CliContext): void {
  withServerOptions(
    program
      .command('migrate')
      .summary('bring the database schema up to date')
      .description('Brings the database schema up to date. `serve` and `start` do this too.')
      .option('--json', 'print JSON for programs'),
  ).action(async (options: ServerOptions & { json?: boolean }) => {
    const config = configOf(context, options, { 'logging.level': 'warn', 'logging.format': 'text' });
    await withDatabase(config, (database) => migrate(database));
    if (options.json) context.terminal.json({ migrated: true });
    else context.terminal.line('The schema is up to date.');
  });
}

/** Opens the configured database, the embedded one too, for as long as the work takes. */
async function withDatabase(config: Config, work: (database: Database) => Promise<void>): Promise<void> {
  const log = createLogger(config.logging);
  if (config.database.url !== undefined) return useDatabase(config, config.database.url, work);
  const { data_dir: dataDir } = config.server;
  prepareDataDir(dataDir);
  const lock = lockDataDir(dataDir);
  const server = createEmbeddedPostgres({ dataDir, log });
  try {
    const { connectionString } = await server.start();
    await useDatabase(config, connectionString, work);
  } finally {
    await server.stop();
    lock.release();
  }
}
