import { create } from '@bufbuild/protobuf';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { SampleSchema, TelemetrySchema } from '#gen/viworks/agent/v1/telemetry_pb.js';
import { type ApiApp, startApiApp } from '../support/api-app.ts';
import { hear } from '../support/live.ts';
import { enrolledAt } from '../support/remote-agent.ts';
import { type SampleInit, sampleAt } from '../support/telemetry.ts';

/** Samples that are none of a sound machine, seen through every surface: whoever looks is told, also of all others. */

let app: ApiApp;
const largest = 2n ** 64n - 1n;
const odd: Record<string, SampleInit> = {
  'year-12000': { takenAt: { seconds: 316_000_000_000n } },
  'before-christ': { takenAt: { seconds: -62_135_600_000n } },
  'no-year': { takenAt: { seconds: 2n ** 62n } },
  'nanos-over': { takenAt: { seconds: 1_800_000_000n, nanos: 2_000_000_000 } },
  'nanos-under': { takenAt: { seconds: 1_800_000_000n, nanos: -5 } },
  'last-second': { takenAt: { seconds: 253_402_300_799n, nanos: 999_999_999 } },
  'up-for-ever': { uptime: { seconds: 2n ** 62n } },
  'up-before': { uptime: { seconds: -5n, nanos: 5 } },
  'counts-over': {
    number: BigInt(Number.MAX_SAFE_INTEGER),
    dropped: largest,
    memory: { totalBytes: largest, usedBytes: largest, swapTotalBytes: 1n, swapUsedBytes: largest },
    disks: [{ mount: '/', totalBytes: 1n, usedBytes: largest, availableBytes: largest, inodesUsed: largest }],
  },
  'names-odd': {
    disks: [{ mount: '/\0\u001b[2J\u202e\n', totalBytes: 100n, usedBytes: 99n }],
    containers: [{ id: '\0', name: '__proto__', state: 'exited' }],
    services: [{ name: '', state: 'failed', restarts: 4_294_967_295 }],
    metrics: { constructor: 1 },
  },
};

let token: string;

beforeAll(async () => {
  app = await startApiApp();
  const { tokens } = await app.client('admin');
  ({ token } = await tokens.createEnrollment.mutate({ site: 'odd', uses: Object.keys(odd).length }));
});

afterAll(() => app.stop());

/** As a program without generated code calls. */
async function inJson(method: string, body: object): Promise<number> {
  const response = await fetch(`${app.url}/viworks.control.v1.ControlService/${method}`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      authorization: `Bearer ${await app.tokenFor('viewer')}`,
    },
    body: JSON.stringify(body),
  });
  await response.text();
  return response.status;
}

test.each(Object.entries(odd))('of the agent %s', async (agentId, init) => {
  const session = await (await enrolledAt(app.agentUrl, token, agentId)).connect();
  const sample = create(SampleSchema, { ...(sampleAt(1, Date.now()) as SampleInit), ...init } as SampleInit);
  const value = create(TelemetrySchema, { samples: [sample] });
  await session.acknowledged(session.send({ case: 'telemetry', value }));
  const { agents, health, live, telemetry } = await app.client('viewer');
  expect((await telemetry.latest.query({ agentId })).agents).toMatchObject([{ agentId, sample: {} }]);
  expect((await telemetry.samples.query({ agentId })).samples.length).toBeLessThan(2);
  await telemetry.series.query({ agentId, metrics: ['cpu', 'disk:/', 'metrics.constructor'] });
  expect((await agents.get.query({ agentId })).telemetry).toBeDefined();
  await health.report.query({ agentId });
  await health.trends.query({ agentId });
  for (const method of [
    'ListLatestTelemetry',
    'ListTelemetrySamples',
    'GetTelemetrySeries',
    'GetAgent',
    'GetHealthReport',
    'GetTrends',
  ])
    expect([method, await inJson(method, { agentId })]).toEqual([method, 200]);
  const stream = hear<{ samples: { agentId: string; sample?: object }[] }>((handlers) =>
    live.telemetry.subscribe({ selector: { agents: [agentId] }, full: true }, handlers),
  );
  const { samples } = await stream.until(() => true);
  stream.close();
  expect(samples).toMatchObject([{ agentId, sample: {} }]);
});

test('of all agents', async () => {
  const { health, telemetry } = await app.client('viewer');
  expect((await telemetry.latest.query()).agents).toHaveLength(Object.keys(odd).length);
  expect((await telemetry.aggregate.query({ metric: 'memory' })).spans).not.toEqual([]);
  expect((await telemetry.sites.query()).sites).toMatchObject([{ site: 'odd' }]);
  await health.report.query({ all: true });
  expect(await inJson('ListLatestTelemetry', {})).toBe(200);
  expect(await inJson('GetHealthReport', { all: true })).toBe(200);
});
