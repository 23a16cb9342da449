import { createServer } from 'node:net';
import type { Config } from '../config/schema.ts';
import { ViworksError } from '../errors.ts';
import { silentLogger } from '../lib/logger.ts';
import { createDatabase, type Database } from '../storage/database.ts';
import { reasonOf } from './failure.ts';

/** What is looked at before anything is started, so that a wrong set-up costs nothing. */

export interface ListenerPort {
  name: 'VIWORKS_API_PORT' | 'VIWORKS_AGENT_PORT';
  host: string;
  port: number;
}

export function listenerPorts(config: Config): ListenerPort[] {
  const { server, agent_management: agents } = config;
  return [
    { name: 'VIWORKS_API_PORT', host: server.bind_address, port: server.port },
    { name: 'VIWORKS_AGENT_PORT', host: agents.bind_address, port: agents.port },
  ];
}

/** @throws config_invalid naming the setting whose port cannot be had */
export async function checkPorts(config: Config): Promise<void> {
  for (const listener of listenerPorts(config)) {
    const problem = await portProblem(listener);
    if (problem !== undefined) throw new ViworksError('config_invalid', problem);
  }
}

/** Why the port cannot be listened on, or undefined if it can. */
export async function portProblem({ name, host, port }: ListenerPort): Promise<string | undefined> {
  if (port === 0) return undefined;
  const probe = createServer();
  const outcome = Promise.withResolvers<string | undefined>();
  probe.once('error', (error: NodeJS.ErrnoException) =>
    outcome.resolve(explain(error.code, name, host, port)),
  );
  probe.listen({ host, port, exclusive: true }, () => probe.close(() => outcome.resolve(undefined)));
  return outcome.promise;
}

function explain(code: string | undefined, name: string, host: string, port: number): string {
  switch (code) {
    case 'EADDRINUSE':
      return `${name}: port ${port} on ${host} is taken by another program; choose another port`;
    case 'EACCES':
      return `${name}: port ${port} needs more rights; choose one above 1023`;
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return `${name.replace('_PORT', '_BIND_ADDRESS')}: this machine has no address ${host}`;
    default:
      return `${name}: cannot listen on port ${port} of ${host} (${code})`;
  }
}

/** A database of the person's own must be there; the embedded one is started later. @throws database_unavailable */
export async function checkDatabase(config: Config): Promise<void> {
  const { url } = config.database;
  if (url !== undefined) await useDatabase(config, url, async () => {});
}

/**
 * Opens the database for as long as the work takes.
 * @throws database_unavailable naming DATABASE_URL and the reason
 */
export async function useDatabase<T>(
  config: Config,
  url: string,
  work: (database: Database) => Promise<T>,
): Promise<T> {
  const database = createDatabase({
    url,
    maxConnections: 2,
    connectTimeoutMs: config.database.connect_timeout * 1000,
    idleTimeoutMs: 1000,
    log: silentLogger,
  });
  try {
    await database.ping().catch((cause: unknown) => {
      const why = reasonOf(cause);
      throw new ViworksError('database_unavailable', `DATABASE_URL: the database refuses: ${why}`, { cause });
    });
    return await work(database);
  } finally {
    await database.close();
  }
}
