import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startApp } from '../../src/app.ts';
import { createClient } from '../../src/cli/client.ts';
import { configSchema } from '../../src/config/schema.ts';
import type { Role } from '../../src/identity/types.ts';
import { silentLogger } from '../../src/lib/logger.ts';
import type { Scope } from '../../src/lib/scope.ts';
import { statement } from '../../src/storage/database.ts';
import { openTestDatabase } from './postgres.ts';

/** A whole control plane on a database of its own, and clients with tokens of every kind. */
export async function startApiApp(
  security: Record<string, unknown> = {},
  others: { server?: Record<string, unknown>; agents?: Record<string, unknown> } = {},
) {
  const { database, url, drop } = await openTestDatabase();
  const folder = await mkdtemp(join(tmpdir(), 'viworks-api-'));
  const config = configSchema.parse({
    server: { port: 0, data_dir: folder, ...others.server },
    database: { url },
    agent_management: { port: 0, ...others.agents },
    logging: { level: 'silent' },
    security,
  });
  const app = await startApp(config, { log: silentLogger, drainWindowMs: 0 });
  const run = (name: string, text: string, values: unknown[] = []) =>
    database.query<Record<string, unknown>>(statement(name, text), values);

  const tokenFor = (role: Role, scope?: Scope, subject = `the ${role}`) =>
    app.issueToken({ subject, role, lifetimeMs: 600_000, scope });
  return {
    url: app.apiUrl,
    agentUrl: app.agentUrl,
    database,
    query: run,
    tokenFor,
    withToken: (token: string) => createClient({ url: app.apiUrl, token }),
    async client(role: Role = 'admin', scope?: Scope, subject?: string) {
      return createClient({ url: app.apiUrl, token: await tokenFor(role, scope, subject) });
    },
    /** Writes agents down that never connected. */
    async addAgents(site: string, ...agentIds: string[]) {
      await run(
        'test_agents',
        'insert into agents (agent_id, site, incarnation) select unnest($1::text[]), $2, 1',
        [agentIds, site],
      );
    },
    async stop() {
      await app.stop();
      await drop();
      await rm(folder, { recursive: true });
    },
  };
}

export type ApiApp = Awaited<ReturnType<typeof startApiApp>>;
