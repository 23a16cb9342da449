import { createRequire } from 'node:module';
import pg from 'pg';
import { ViworksError } from '../errors.ts';
import type { Logger } from '../lib/logger.ts';
import { copyInto, copyOf, type Literal, withLiterals } from './copying.ts';

/**
 * The database is the truth. This is the one way to it: a bounded pool, named statements, migrations, and one
 * place where the driver's errors become ours.
 */
export interface Database {
  /** Runs a named, prepared statement. @throws database_unavailable when it cannot be reached */
  query<Row>(statement: Statement, values: unknown[]): Promise<Row[]>;
  /**
   * The rows of a query in PostgreSQL's binary form (see `binary-reader.ts`), for answers that are nearly nothing but
   * numbers: as text each of them is written and read one by one. It is planned each time.
   * @param values of `$1`, `$2` and so on @throws as `query`
   */
  rows(text: string, values: readonly Literal[]): Promise<Buffer>;
  transaction<T>(work: (query: Database['query'], copy: Copy) => Promise<T>): Promise<T>;
  /** Applies the migrations of a folder that were not applied yet. */
  applyMigrations(folder: string): Promise<void>;
  /** Runs work while holding the advisory lock on a connection of its own. */
  withLock<T>(key: number, work: () => Promise<T>): Promise<T>;
  /**
   * Takes an advisory lock for as long as this process lives; false if somebody else holds it.
   * onLost is called when the connection that holds it breaks.
   */
  tryHoldLock(key: number, onLost: () => void): Promise<boolean>;
  /** Milliseconds of a round trip. @throws database_unavailable */
  ping(): Promise<number>;
  pool(): { total: number; idle: number; waiting: number };
  /** Transactions that can be under way at once. */
  readonly transactionsAtOnce: number;
  close(): Promise<void>;
}

/** `copyInto`, in the transaction. */
export type Copy = (table: string, columns: readonly string[], rows: Buffer) => Promise<void>;

export interface Statement {
  name: string;
  text: string;
  /** Connections of their own: see `lookup` and `report`. */
  on?: 'lookups' | 'reports';
  /** See `patient`. */
  patient?: true;
}

/** A statement that PostgreSQL parses and plans once for each connection. */
export const statement = (name: string, text: string): Statement => ({ name, text });

/**
 * A statement that looks up each of its rows through an index. PostgreSQL keeps the plan of a prepared
 * statement; one that it made while a table was small reads all of the table, and goes on doing so while the
 * table grows. These run on connections that have no such plan to choose.
 */
export const lookup = (name: string, text: string): Statement => ({ name, text, on: 'lookups' });

/**
 * A statement that may read very much, of many agents or a long time. These have few connections of their own and an
 * end: however much somebody asks for, nobody waits for it who stores, dispatches or looks at one agent.
 */
export const report = (name: string, text: string): Statement => ({ name, text, on: 'reports' });

/** A statement that nobody waits for and that may have much to do: it is given ten minutes instead of one. */
export const patient = (name: string, text: string): Statement => ({ name, text, patient: true });

/** What is done once, as making a table: it is not prepared, and takes no values. */
export const definition = (text: string): Statement => ({ name: '', text });

export const lookupSettings = '-c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off';
/** Of the connections, so many are for look-ups, and so many for reports. */
const lookupConnections = 2;
const reportConnections = 2;
/** Milliseconds that a report may take: less than its caller waits. */
const reportMs = 25_000;

export interface DatabaseOptions {
  url: string;
  maxConnections: number;
  connectTimeoutMs: number;
  idleTimeoutMs: number;
  /** Milliseconds that a statement may take to be answered, a minute if not said otherwise. */
  answerTimeoutMs?: number;
  log: Logger;
  /** Milliseconds that a report may take; 25,000 by default. */
  reportTimeoutMs?: number;
}

/**
 * A machine that is frozen, or whose cable was pulled, keeps its connections and says nothing: without a bound whoever
 * asks would wait for as long as TCP does, a quarter of an hour.
 */
const answerWithinMs = 60_000;
const patienceMs = 600_000;
/** A connection that does not take back a transaction for so long is given up. */
const rollbackWithinMs = 2000;

export function createDatabase(options: DatabaseOptions): Database {
  const { answerTimeoutMs = answerWithinMs } = options;
  // The name is the driver's.
  const bounded = { query_timeout: answerTimeoutMs };
  const unhurried = { query_timeout: Math.max(answerTimeoutMs, patienceMs) };
  const brief = { query_timeout: Math.min(answerTimeoutMs, rollbackWithinMs) };
  const clientOptions: pg.ClientConfig = {
    connectionString: options.url,
    application_name: 'viworks',
    connectionTimeoutMillis: options.connectTimeoutMs,
    keepAlive: true,
    // Promise 1: what was acknowledged is on disk, whatever the server's default is.
    options: '-c synchronous_commit=on -c timezone=UTC',
  };
  const broke = (error: Error) => options.log.warn({ err: error }, 'a database connection broke');
  const createPool = (max: number, settings: string): pg.Pool => {
    const made = new pg.Pool({
      ...clientOptions,
      options: `${clientOptions.options} ${settings}`,
      max,
      idleTimeoutMillis: options.idleTimeoutMs,
    });
    // Whoever uses a connection is told by the query that fails, and one that is idle is replaced. Each has a
    // listener of its own for all of its life, since without one a break ends the process.
    made.on('connect', (client) => client.on('error', broke));
    made.on('error', () => {});
    return made;
  };
  // A migration holds its lock on one connection and works on another.
  const transactionsAtOnce = Math.max(2, options.maxConnections - lookupConnections - reportConnections);
  const pool = createPool(transactionsAtOnce, '');
  const reportTimeoutMs = options.reportTimeoutMs ?? reportMs;
  const pools = {
    lookups: createPool(lookupConnections, lookupSettings),
    reports: createPool(reportConnections, `-c statement_timeout=${reportTimeoutMs}`),
  };
  const all = [pool, pools.lookups, pools.reports];
  let holder: pg.Client | undefined;

  const run =
    (client: pg.Pool | pg.PoolClient) =>
    async <Row>({ name, text, patient }: Statement, values: unknown[]): Promise<Row[]> => {
      try {
        const result = await client.query({ name, text, values, ...(patient ? unhurried : bounded) });
        return result.rows;
      } catch (error) {
        throw databaseError(error);
      }
    };
  const runReport: Database['query'] = async (wanted, values) => {
    try {
      return await run(pools.reports)(wanted, values);
    } catch (error) {
      throw tookTooLong(ViworksError.from(error)) ?? error;
    }
  };
  const copy =
    (client: pg.PoolClient): Copy =>
    async (table, columns, rows) => {
      try {
        await copyInto(client, table, columns, rows, answerTimeoutMs);
      } catch (error) {
        throw databaseError(error);
      }
    };
  const connect = async (): Promise<pg.PoolClient> => {
    try {
      return await pool.connect();
    } catch (error) {
      throw databaseError(error);
    }
  };
  const query = run(pool);
  const queryOf = { lookups: run(pools.lookups), reports: runReport };

  return {
    query: (wanted, values) => (wanted.on === undefined ? query : queryOf[wanted.on])(wanted, values),
    async rows(text, values) {
      let client: pg.PoolClient | undefined;
      let broken = false;
      try {
        const wanted = withLiterals(text, values);
        client = await connect();
        broken = true;
        const rows = await copyOf(client, wanted, answerTimeoutMs);
        broken = false;
        return rows;
      } catch (error) {
        // Of what PostgreSQL refused nothing is still on its way.
        if (error instanceof pg.DatabaseError) broken = false;
        throw databaseError(error);
      } finally {
        client?.release(broken);
      }
    },
    async transaction(work) {
      const client = await connect();
      let broken = false;
      try {
        await client.query({ text: 'begin', ...bounded });
        const result = await work(run(client), copy(client));
        await client.query({ text: 'commit', ...bounded });
        return result;
      } catch (error) {
        await client.query({ text: 'rollback', ...brief }).catch(() => {
          broken = true;
        });
        throw databaseError(error);
      } finally {
        client.release(broken);
      }
    },
    async applyMigrations(migrationsFolder) {
      const { drizzle, migrate } = loadDrizzle();
      // Of a pool, drizzle would keep a connection for ever that breaks at the wrong moment.
      const client = await connect();
      let broken = true;
      try {
        await migrate(drizzle(client), { migrationsFolder, migrationsSchema: 'public' });
        broken = false;
      } catch (error) {
        // Drizzle wraps the driver's error.
        throw databaseError(error instanceof Error && error.cause !== undefined ? error.cause : error);
      } finally {
        client.release(broken);
      }
    },
    async withLock(key, work) {
      const client = await connect();
      let broken = false;
      try {
        await client.query('select pg_advisory_lock($1)', [key]);
        return await work();
      } finally {
        await client.query('select pg_advisory_unlock($1)', [key]).catch(() => {
          broken = true;
        });
        client.release(broken);
      }
    },
    async tryHoldLock(key, onLost) {
      const client = new pg.Client(clientOptions);
      // From the beginning: it may break while it connects or takes the lock, too.
      let lost = false;
      client.on('error', broke);
      client.on('end', () => {
        lost = true;
        if (holder !== client) return;
        holder = undefined;
        onLost();
      });
      let held = false;
      try {
        await client.connect();
        const result = await client.query('select pg_try_advisory_lock($1) as held', [key]);
        held = result.rows[0]?.held === true;
        if (held && lost) throw new Error('The connection with the lock broke.');
      } catch (error) {
        void client.end().catch(() => {});
        throw databaseError(error);
      }
      if (held) holder = client;
      else await client.end();
      return held;
    },
    async ping() {
      const started = performance.now();
      await query(statement('ping', 'select 1'), []);
      return performance.now() - started;
    },
    pool: () => {
      const sum = (count: 'totalCount' | 'idleCount' | 'waitingCount') =>
        all.reduce((total, one) => total + one[count], 0);
      return { total: sum('totalCount'), idle: sum('idleCount'), waiting: sum('waitingCount') };
    },
    transactionsAtOnce,
    async close() {
      const client = holder;
      holder = undefined;
      await Promise.all([client?.end(), ...all.map((one) => one.end())]);
    },
  };
}

/**
 * Drizzle's CommonJS build: the modules of the other one import each other in circles, which costs Node 250 MB
 * and 300 ms to link, against 26 MB and 40 ms (docs/decisions/0006-statements.md).
 */
function loadDrizzle() {
  const load = createRequire(import.meta.url);
  const { drizzle }: typeof import('drizzle-orm/node-postgres') = load('drizzle-orm/node-postgres');
  const { migrate }: typeof import('drizzle-orm/node-postgres/migrator') = load(
    'drizzle-orm/node-postgres/migrator',
  );
  return { drizzle, migrate };
}

/**
 * Classes and codes of SQLSTATE that say "not now" and nothing about the statement: also of a database that may only be
 * read, as after a failover to a copy or where its operator keeps a full disk from becoming fuller.
 */
const transientStates = /^(08|53|58|25006|55P03|57P0|57014|40001|40P01)/;
/** Classes that say something about the values of a statement, and not about the database or its tables. */
const statesOfValues = /^(21|22|23|44|54)/;

const defects = [TypeError, RangeError, ReferenceError, SyntaxError];

const cancelled = '57014';
/** What the pool says where all of its connections were busy for as long as one waits for a connection. */
const busyWords = 'timeout exceeded when trying to connect';

/** Of a report: not the database is away, but there is too much to work out. */
function tookTooLong({ cause }: ViworksError): ViworksError | undefined {
  if (!(cause instanceof Error)) return undefined;
  if (cause instanceof pg.DatabaseError && cause.code === cancelled)
    return new ViworksError(
      'deadline_exceeded',
      'This takes too long to work out. Ask for a shorter time, fewer agents or a coarser resolution.',
      { cause },
    );
  if (cause.message !== busyWords) return undefined;
  return new ViworksError('deadline_exceeded', 'Too many ask for reports at once. Try again in a moment.', {
    cause,
    retryAfterMs: 1000,
  });
}

/** Whether a row was not stored because there is one with the same key. */
export const isDuplicateKey = ({ cause }: ViworksError): boolean =>
  cause instanceof pg.DatabaseError && cause.code === '23505';

/** Whether a row was not stored because its table has no partition for it. */
export const isWithoutPartition = ({ cause }: ViworksError): boolean =>
  cause instanceof pg.DatabaseError && cause.code === '23514' && cause.constraint === undefined;

/** Whether the database refused a statement for another reason than the values in it: others would be refused as well. */
export const isAboutDatabase = ({ cause }: ViworksError): boolean =>
  cause instanceof pg.DatabaseError && !statesOfValues.test(cause.code ?? '');

/** Turns an error of the driver into one of the catalogue. */
export function databaseError(error: unknown): ViworksError {
  if (error instanceof ViworksError) return error;
  const code = error instanceof Error && 'code' in error ? String(error.code) : undefined;
  const isStatement = error instanceof pg.DatabaseError && !transientStates.test(code ?? '');
  // A defect of ours stays one however often it is tried; the driver's own words for a break are plain errors.
  if (defects.some((defect) => error instanceof defect)) return ViworksError.from(error);
  if (isStatement) return new ViworksError('internal', 'The database refused a statement.', { cause: error });
  return new ViworksError('database_unavailable', 'The database cannot be reached now.', {
    cause: error,
    retryAfterMs: 1000,
  });
}
