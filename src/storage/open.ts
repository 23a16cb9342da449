import { ViworksError } from '../errors.ts';
import type { Resources } from '../lib/resources.ts';
import { createDatabase, type Database, type DatabaseOptions } from './database.ts';
import { createEmbeddedPostgres } from './embedded/embedded.ts';
import { holdInstanceLock } from './instance-lock.ts';
import { migrate } from './migrate.ts';

/** From settings to a database that is ours alone and up to date. */
export interface OpenDatabaseOptions extends Omit<DatabaseOptions, 'url'> {
  /** Undefined: an embedded PostgreSQL in the data folder. */
  url: string | undefined;
  dataDir: string;
  /** The database is lost for good. */
  onFatal(error: ViworksError): void;
  resources: Pick<Resources, 'add'>;
}

/** @throws database_in_use, database_unavailable, config_invalid */
export async function openDatabase(options: OpenDatabaseOptions): Promise<Database> {
  const { log, onFatal, resources } = options;
  const url = options.url ?? (await startEmbedded(options));
  const database = createDatabase({ ...options, url });
  resources.add('database', database.close);
  try {
    const lock = await holdInstanceLock({ database, log, onTaken: onFatal });
    resources.add('instance lock', lock.release);
    await migrate(database);
  } catch (error) {
    const known = ViworksError.from(error);
    if (known.code === 'database_in_use') throw known;
    const why = known.cause instanceof Error ? ` (${known.cause.message})` : '';
    const message = `DATABASE_URL: the database refuses${why}`;
    throw new ViworksError('database_unavailable', message, { cause: error });
  }
  return database;
}

/** When it ends by itself it is started again; what was acknowledged is on its disk. */
async function startEmbedded(options: OpenDatabaseOptions): Promise<string> {
  const { dataDir, maxConnections, log, onFatal, resources } = options;
  const onExit = async (reason: string) => {
    log.error({ reason }, 'the embedded PostgreSQL ended by itself and is started again');
    const again = await embedded.start().catch(() => undefined);
    if (again?.connectionString === url) return;
    onFatal(new ViworksError('database_unavailable', `The embedded PostgreSQL ended: ${reason}`));
  };
  const embedded = createEmbeddedPostgres({ dataDir, log, maxConnections: maxConnections + 5, onExit });
  resources.add('embedded PostgreSQL', embedded.stop);
  const url = (await embedded.start()).connectionString;
  return url;
}
