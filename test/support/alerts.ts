import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { create } from '@bufbuild/protobuf';
import { onTestFinished } from 'vitest';
import { type Sample, SampleSchema } from '#gen/viworks/agent/v1/telemetry_pb.js';
import { type Alerts, type AlertsDeps, createAlerts } from '../../src/alerts/alerts.ts';
import type { ObservedSample } from '../../src/alerts/samples.ts';
import { createSecretBox } from '../../src/identity/secret-box.ts';
import { silentLogger } from '../../src/lib/logger.ts';
import { statement } from '../../src/storage/database.ts';
import type { Core } from './app-core.ts';

/** Alerts on a core; nothing happens by itself unless they are started. */
export function alertsOn(
  core: Core,
  settings: Partial<AlertsDeps['settings']> = {},
  box: AlertsDeps['box'] = createSecretBox(new Uint8Array(32).fill(9), 'alerts'),
): Alerts {
  const { database, clock, metrics } = core;
  const alerts = createAlerts({
    database,
    box,
    clock,
    log: silentLogger,
    metrics,
    audit: core.audit.trail,
    settings: { keepMs: 86_400_000, quietMs: 1000, windowMs: 5000, ...settings },
  });
  onTestFinished(() => alerts.stop());
  return alerts;
}

const addAgent = statement(
  'test_agents_insert',
  `insert into agents (agent_id, site, incarnation, presence, last_seen_at) values ($1, $2, 1, 'online', now())
   on conflict (agent_id) do update set presence = 'online', maintenance = false`,
);
const change = statement(
  'test_agents_presence',
  `update agents set presence = coalesce($2, presence), maintenance = coalesce($3, maintenance),
     revoked = case when $4 then '{}'::jsonb end
   where agent_id = $1`,
);

/** An agent that is connected, as the registry has it. */
export async function watched(core: Core, agentId: string, site = 'berlin'): Promise<void> {
  await core.database.query(addAgent, [agentId, site]);
}

export async function becomes(
  core: Core,
  agentId: string,
  how: { presence?: 'online' | 'offline'; maintenance?: boolean; revoked?: boolean },
): Promise<void> {
  const { presence, maintenance, revoked = false } = how;
  await core.database.query(change, [agentId, presence, maintenance, revoked]);
}

export const sampleOf = (
  agentId: string,
  at: number,
  sample: Partial<Parameters<typeof create<typeof SampleSchema>>[1]>,
  late = false,
): ObservedSample => {
  const read = create(SampleSchema, sample as Sample);
  return { agentId, at, late, measured: () => read };
};

export const cpu = (agentId: string, at: number, usedPercent: number, late = false): ObservedSample =>
  sampleOf(agentId, at, { cpu: { usedPercent, cores: 4 } as Sample['cpu'] }, late);

export interface Received {
  headers: IncomingHttpHeaders;
  body: string;
  path: string;
}

/** The far end of a webhook. */
export async function receiver(
  answer: (request: Received, count: number) => number | Promise<number> = () => 204,
) {
  const received: Received[] = [];
  let arrived = Promise.withResolvers<void>();
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', async () => {
      const one = {
        headers: request.headers,
        body: Buffer.concat(chunks).toString('utf8'),
        path: request.url ?? '',
      };
      received.push(one);
      const answered = answer(one, received.length);
      arrived.resolve();
      arrived = Promise.withResolvers();
      const status = await answered;
      response.writeHead(status, status === 302 ? { location: '/elsewhere' } : {}).end();
    });
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  onTestFinished(
    () =>
      new Promise<void>((closed) => {
        server.close(() => closed());
        server.closeAllConnections();
      }),
  );
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`,
    received,
    /** Resolves when so many have come. */
    async until(count: number) {
      while (received.length < count) await arrived.promise;
    },
  };
}
