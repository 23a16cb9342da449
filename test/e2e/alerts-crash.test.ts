import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { observed } from '../../src/app/alerts.ts';
import { startApp } from '../../src/app.ts';
import { createClient } from '../../src/cli/client.ts';
import { configSchema } from '../../src/config/schema.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { silentLogger } from '../../src/lib/logger.ts';
import { createMetrics } from '../../src/lib/metrics.ts';
import { createDatabase, statement } from '../../src/storage/database.ts';
import { createTelemetry } from '../../src/telemetry/telemetry.ts';
import { alertsOn, receiver, watched } from '../support/alerts.ts';
import { ownCore } from '../support/app-core-own.ts';
import { createTestDatabase } from '../support/postgres.ts';
import { boot, frame, sampleAt } from '../support/telemetry.ts';

/** A sample that was stored by an instance that ended before its alerts looked at it. */

const rule = { name: 'hot', severity: 'critical', metric: 'cpu.percent', threshold: 80 } as const;

test('is looked at by the next instance when it starts', { timeout: 60_000 }, async () => {
  const own = await createTestDatabase();
  onTestFinished(() => own.drop());
  const folder = await mkdtemp(join(tmpdir(), 'viworks-alerts-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const config = configSchema.parse({
    server: { port: 0, data_dir: folder },
    database: { url: own.url },
    agent_management: { port: 0 },
    logging: { level: 'silent' },
  });
  const instance = async () => {
    const app = await startApp(config, { log: silentLogger, drainWindowMs: 0 });
    onTestFinished(() => app.stop());
    const token = await app.issueToken({ subject: 'ada', role: 'admin', lifetimeMs: 600_000 });
    return { app, client: createClient({ url: app.apiUrl, token }) };
  };
  const first = await instance();
  await first.client.alerts.saveRule.mutate(rule);
  await first.app.stop();

  const database = createDatabase({
    url: own.url,
    maxConnections: 4,
    connectTimeoutMs: 10_000,
    idleTimeoutMs: 10_000,
    log: silentLogger,
  });
  const day = 86_400_000;
  const telemetry = createTelemetry({
    database,
    clock: systemClock,
    log: silentLogger,
    metrics: createMetrics(),
    settings: { keepMs: 30 * day, keepRollupsMs: 400 * day, intervalMs: 30_000 },
  });
  await telemetry.start();
  const add = "insert into agents (agent_id, site, incarnation) values ('alpha', 'berlin', 1)";
  await database.query(statement('', add), []);
  await telemetry.ingest({ agentId: 'alpha', bootId: boot() }, frame(sampleAt(1, Date.now(), 97)));
  await telemetry.stop();
  await database.close();

  const { client } = await instance();
  const firing = async () => (await client.alerts.list.query({ rule: 'hot', states: ['firing'] })).alerts;
  await expect.poll(async () => (await firing()).length, { timeout: 20_000 }).toBe(1);
  expect(await firing()).toMatchObject([{ agentId: 'alpha', value: 97 }]);
});

test('is told once, however often instances start after it', async () => {
  const core = await (await ownCore()).start();
  const hook = await receiver();
  await watched(core, 'alpha');
  const start = async () => {
    const alerts = alertsOn(core);
    alerts.onStored((await core.telemetry.latest.list()).map(observed));
    await alerts.look();
    core.clock.advance(1000);
    await alerts.group();
    await alerts.deliver();
    return alerts;
  };
  const first = await start();
  await first.saveRule('ada', rule, undefined);
  await first.addWebhook('ada', { name: 'hook', url: hook.url, filter: { rules: ['hot'] } });
  const source = { agentId: 'alpha', bootId: boot() };
  await core.telemetry.ingest(source, frame(sampleAt(1, core.clock.now(), 97)));
  for (let count = 0; count < 3; count++) {
    await start();
    expect(hook.received).toHaveLength(1);
  }
  await core.telemetry.ingest(source, frame(sampleAt(2, core.clock.now(), 5)));
  for (let count = 0; count < 3; count++) {
    await start();
    expect(hook.received).toHaveLength(2);
  }
  expect(hook.received.map(({ body }) => JSON.parse(body).firingCount)).toEqual([1, 0]);
});
