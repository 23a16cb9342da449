import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { create } from '@bufbuild/protobuf';
import { Redis } from 'ioredis';
import { expect, onTestFinished, test } from 'vitest';
import { TelemetrySchema } from '#gen/viworks/agent/v1/telemetry_pb.js';
import { startApp } from '../../src/app.ts';
import { createClient } from '../../src/cli/client.ts';
import { configSchema } from '../../src/config/schema.ts';
import { silentLogger } from '../../src/lib/logger.ts';
import { createTestDatabase } from '../support/postgres.ts';
import { startRedis } from '../support/redis.ts';
import { enrolledAt } from '../support/remote-agent.ts';
import { sampleAt } from '../support/telemetry.ts';

test('with redis.url the newest samples are in Redis, and are shown also while it is away', {
  timeout: 60_000,
}, async () => {
  const own = await createTestDatabase();
  onTestFinished(() => own.drop());
  const redis = await startRedis();
  onTestFinished(() => redis.stop());
  const folder = await mkdtemp(join(tmpdir(), 'viworks-latest-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const config = configSchema.parse({
    server: { port: 0, data_dir: folder },
    database: { url: own.url },
    redis: { url: redis.url },
    agent_management: { port: 0 },
    logging: { level: 'silent' },
  });
  const app = await startApp(config, { log: silentLogger, drainWindowMs: 0 });
  onTestFinished(() => app.stop());
  const token = await app.issueToken({ subject: 'ada', role: 'operator', lifetimeMs: 600_000 });
  const client = createClient({ url: app.apiUrl, token });
  const enrolment = await app.createEnrollmentToken({ site: 'x', labels: {}, uses: 1, lifetimeMs: 60_000 });
  const session = await (await enrolledAt(app.agentUrl, enrolment.token, 'alpha')).connect();
  const say = async (number: number) => {
    const samples = [sampleAt(number, Date.now())];
    await session.acknowledged(
      session.send({ case: 'telemetry', value: create(TelemetrySchema, { samples }) }),
    );
    return (await client.agents.get.query({ agentId: 'alpha' })).telemetry?.number;
  };
  const numberInRedis = async () => {
    const direct = new Redis(redis.url);
    try {
      return await direct.hget('{viworks:samples}:alpha', 'count');
    } finally {
      direct.disconnect();
    }
  };
  expect(await say(1)).toBe('1');
  await expect.poll(numberInRedis, { timeout: 10_000 }).toBe('1');
  await redis.stop();
  expect(await say(2)).toBe('2');
  await redis.start();
  await expect.poll(numberInRedis, { timeout: 10_000 }).toBe('2');
  expect(await say(3)).toBe('3');
});
