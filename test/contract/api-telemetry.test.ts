import { type Timestamp, timestampDate, timestampFromDate } from '@bufbuild/protobuf/wkt';
import { createTRPCClient, httpLink } from '@trpc/client';
import { describe, expect, test } from 'vitest';
import { AgentStatus } from '#gen/viworks/control/v1/agent_pb.js';
import { Metric, type MetricStatistic } from '#gen/viworks/control/v1/telemetry_pb.js';
import type { AppRouter } from '../../src/api/client.ts';
import type { AppInputs } from '../../src/api/trpc/router.ts';
import { startApi, type TestApi } from '../support/api-server.ts';
import { errorOf } from '../support/api-surfaces.ts';
import { sampledAt } from '../support/api-telemetry.ts';

/** Telemetry over every surface: what is asked for arrives, and what is answered is the same. */

const from = new Date('2029-12-31T00:00:00.000Z');
const to = new Date('2030-01-01T01:00:00.000Z');
const range = { from: from.toISOString(), to: to.toISOString() };
const stamps = { from: timestampFromDate(from), to: timestampFromDate(to) };
const asNumbers = { from: from.getTime(), to: to.getTime() };

type Inputs = AppInputs['telemetry'];

/** Figures of the answers, in one form for all surfaces. */
interface Surface {
  latest(of: { agentId?: string; site?: string; bad?: boolean }): Promise<unknown[]>;
  samples(agentId: string, pageToken?: string): Promise<unknown>;
  series(input: Pick<Inputs['series'], 'agentId' | 'metrics' | 'resolution'>): Promise<unknown>;
  aggregate(sites: string[]): Promise<unknown>;
  sites(metrics?: 'swap'[]): Promise<unknown>;
}

async function trpc(api: TestApi): Promise<Surface> {
  const { telemetry } = await api.trpc('viewer');
  return {
    async latest({ agentId, site, bad }) {
      const input = { agentId, ...(site || bad ? { filter: { site } } : {}) };
      const { agents } = await telemetry.latest.query(input);
      return agents.map(({ agentId, site, status, sample }) => ({
        agentId,
        site,
        status,
        at: sample?.at,
        values: sample?.values,
        late: sample?.late,
      }));
    },
    async samples(agentId, pageToken) {
      const found = await telemetry.samples.query({ agentId, ...range, pageSize: 5, pageToken });
      return { numbers: found.samples.map(({ number }) => number), next: found.nextPageToken };
    },
    async series(input) {
      const found = await telemetry.series.query({ ...input, ...range });
      const spans = found.spans.map(({ at, samples, metrics: { cpu } }) => ({ at, samples, cpu }));
      return { resolution: found.resolution, spans, next: found.nextPageToken };
    },
    async aggregate(sites) {
      const filter = { sites, labels: { role: 'db' }, os: ['linux'], statuses: ['online' as const] };
      return telemetry.aggregate.query({ metric: 'load', filter, resolution: 3600, ...range });
    },
    sites: async (metrics) =>
      (await telemetry.sites.query({ metrics, ...range })).sites.map(({ metrics: { cpu }, ...rest }) => ({
        ...rest,
        cpu,
      })),
  };
}

async function grpc(api: TestApi): Promise<Surface> {
  const control = await api.control('grpc', 'viewer');
  const isoOf = (at: Timestamp | undefined) => at && timestampDate(at).toISOString();
  const plain = (statistic: MetricStatistic | undefined) => {
    if (statistic === undefined) return undefined;
    const { count, average, min, max, p95 } = statistic;
    return { count: Number(count), average, min, max, p95 };
  };
  return {
    async latest({ agentId = '', site, bad }) {
      const filter = site || bad ? { filter: { site: site ?? '' } } : {};
      const { agents } = await control.listLatestTelemetry({ agentId, ...filter });
      return agents.map(({ agentId, site, status, sample }) => ({
        agentId,
        site,
        status: AgentStatus[status].toLowerCase(),
        at: isoOf(sample?.at),
        values: sample?.values && valuesOf(sample.values),
        late: sample?.late,
      }));
    },
    async samples(agentId, pageToken = '') {
      const found = await control.listTelemetrySamples({ agentId, ...stamps, pageSize: 5, pageToken });
      return {
        numbers: found.samples.map(({ sample }) => Number(sample?.number)),
        next: found.nextPageToken,
      };
    },
    async series({ agentId, metrics = [], resolution = 0 }) {
      const found = await control.getTelemetrySeries({
        agentId,
        metrics: [...metrics],
        resolution,
        ...stamps,
      });
      const spans = found.spans.map(({ at, samples, metrics: { cpu } }) => ({
        at: isoOf(at),
        samples: Number(samples),
        cpu: plain(cpu),
      }));
      return { resolution: found.resolution, spans, next: found.nextPageToken };
    },
    async aggregate(sites) {
      const filter = { sites, labels: { role: 'db' }, os: ['linux'], statuses: [AgentStatus.ONLINE] };
      const found = await control.aggregateTelemetry({
        metric: Metric.LOAD,
        filter,
        resolution: 3600,
        ...stamps,
      });
      const spans = found.spans.map(({ at, agents, samples, average, min, max, p95 }) => ({
        at: isoOf(at),
        agents,
        samples: Number(samples),
        average,
        min,
        max,
        p95,
      }));
      return { resolution: found.resolution, spans };
    },
    async sites(metrics = []) {
      const found = await control.listTelemetrySites({ metrics: metrics.map(() => Metric.SWAP), ...stamps });
      return found.sites.map(({ site, agents, reporting, samples, metrics: { cpu } }) => ({
        site,
        agents,
        reporting,
        samples: Number(samples),
        cpu: plain(cpu),
      }));
    },
  };
}

/** Without what was not measured. */
const valuesOf = ({ $typeName: _, $unknown: __, ...values }: { $typeName: string; $unknown?: unknown }) =>
  Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined));

const statistic = { count: 2, average: 1.5, min: 1, max: 2, p95: 2 };

describe.each([
  ['tRPC', trpc],
  ['gRPC', grpc],
])('over %s', (_name, surfaceOf) => {
  test('the newest sample is that of the agent, and agents without one are told too', async () => {
    await using api = await startApi();
    const surface = await surfaceOf(api);
    const alpha = {
      agentId: 'alpha',
      site: 'berlin',
      status: 'online',
      at: sampledAt.toISOString(),
      values: { cpu: 12.5, memory: 50, swap: 25, disk: 90, load: 0.5, sent: 200 },
      late: true,
    };
    expect(await surface.latest({ agentId: 'alpha' })).toEqual([alpha]);
    const beta = { agentId: 'beta', site: 'paris', status: 'online', at: undefined };
    expect(await surface.latest({})).toMatchObject([alpha, beta]);
    expect(await surface.latest({ site: 'paris' })).toMatchObject([beta]);
    expect((await errorOf(surface.latest({ agentId: 'gamma' }))).code).toBe('agent_unknown');
    const both = await errorOf(surface.latest({ agentId: 'alpha', bad: true }));
    expect(both.fields).toEqual([{ field: 'filter', problem: 'must be absent where an agent is named' }]);
  });

  test('history is asked for what was said, and its pages are handed on', async () => {
    await using api = await startApi();
    const surface = await surfaceOf(api);
    expect(await surface.samples('alpha', 'token')).toEqual({ numbers: [7], next: 'next' });
    const metrics = ['cpu', 'disk:/data'];
    const spans = [{ at: sampledAt.toISOString(), samples: 3, cpu: statistic }];
    const series = { resolution: 3600, spans, next: 'next' };
    expect(await surface.series({ agentId: 'alpha', metrics, resolution: 3600 })).toEqual(series);
    expect(await surface.series({ agentId: 'alpha' })).toMatchObject({ resolution: 900 });
    const { count: samples, ...figures } = statistic;
    expect(await surface.aggregate(['berlin'])).toEqual({
      resolution: 3600,
      spans: [{ at: sampledAt.toISOString(), agents: 5, samples, ...figures }],
    });
    const site = { site: 'berlin', agents: 3, reporting: 2, samples: 9, cpu: statistic };
    expect(await surface.sites()).toEqual([site]);
    await surface.sites(['swap']);
    const filter = { sites: ['berlin'], labels: { role: 'db' }, os: ['linux'], statuses: ['online'] };
    const defaults = { size: 100, token: undefined };
    const spanDefaults = { size: 1440, token: undefined };
    expect(api.telemetry.asked).toEqual([
      { agentId: 'alpha', ...asNumbers, size: 5, token: 'token' },
      { agentId: 'alpha', metrics, resolution: 3600, ...asNumbers, ...spanDefaults },
      { agentId: 'alpha', metrics: undefined, resolution: undefined, ...asNumbers, ...spanDefaults },
      { metric: 'load', filter, resolution: 3600, ...asNumbers, ...spanDefaults },
      { metrics: ['cpu', 'memory', 'disk'], filter: {}, ...asNumbers, ...defaults },
      { metrics: ['swap'], filter: {}, ...asNumbers, ...defaults },
    ]);
  });

  test('what is wrong is named', async () => {
    await using api = await startApi();
    const surface = await surfaceOf(api);
    const wrong = async (call: Promise<unknown>) => {
      const { code, fields } = await errorOf(call);
      return [code, ...fields.map(({ field }) => field)];
    };
    expect(await wrong(surface.samples('gamma'))).toEqual(['agent_unknown']);
    expect(await wrong(surface.series({ agentId: 'gamma' }))).toEqual(['agent_unknown']);
    const bad = { agentId: 'alpha', resolution: 61 as 60 };
    expect(await wrong(surface.series(bad))).toEqual(['invalid_request', 'resolution']);
    expect(await wrong(surface.aggregate(['-']))).toEqual(['invalid_request', 'filter.sites[0]']);
  });

  test('whoever is limited to sites sees those, and of others that they do not exist', async () => {
    await using api = await startApi();
    const token = await api.tokenFor('operator', { sites: ['paris'] });
    const limited = await surfaceOf({
      ...api,
      trpc: async () =>
        createTRPCClient<AppRouter>({
          links: [httpLink({ url: `${api.url1}/trpc`, headers: { authorization: `Bearer ${token}` } })],
        }),
      control: async () => {
        const { createClient } = await import('@connectrpc/connect');
        const { ControlService } = await import('#gen/viworks/control/v1/control_service_pb.js');
        return createClient(ControlService, api.transport('grpc', { authorization: `Bearer ${token}` }));
      },
    });
    expect(await limited.latest({})).toMatchObject([{ agentId: 'beta' }]);
    expect(await limited.latest({ site: 'berlin' })).toEqual([]);
    for (const call of [
      () => limited.latest({ agentId: 'alpha' }),
      () => limited.samples('alpha'),
      () => limited.series({ agentId: 'alpha' }),
    ])
      expect((await errorOf(call())).code).toBe('agent_unknown');
    expect(api.telemetry.asked).toEqual([]);
    await limited.samples('beta');
    await limited.aggregate(['berlin', 'paris']);
    await limited.sites();
    expect(api.telemetry.asked).toMatchObject([
      { agentId: 'beta' },
      { filter: { sites: ['paris'] } },
      { filter: { sites: ['paris'] } },
    ]);
  });
});

test('a sample is shown with all that the agent said', async () => {
  await using api = await startApi();
  const [trpcSide, grpcSide] = [await api.trpc('viewer'), await api.control('grpc', 'viewer')];
  const { samples } = await trpcSide.telemetry.samples.query({ agentId: 'alpha' });
  expect(samples).toEqual([
    {
      at: '2030-01-01T00:00:00.000Z',
      receivedAt: '2030-01-01T00:01:30.000Z',
      takenAt: '2030-01-01T00:00:00.000Z',
      number: 7,
      bootId: 'ab'.repeat(16),
      late: true,
      skewed: false,
      dropped: 4,
      unread: ['containers'],
      values: { cpu: 12.5, memory: 50, swap: 25, disk: 90, load: 0.5, sent: 200 },
      uptimeMs: 61_500,
      cpu: { usedPercent: 12.5, cores: 2, load1m: 0.5, load5m: 0.25, load15m: 0.125 },
      memory: { totalBytes: 2048, usedBytes: 1024, swapTotalBytes: 512, swapUsedBytes: 128 },
      disks: [
        {
          mount: '/',
          fileSystem: 'ext4',
          device: 'sda1',
          totalBytes: 1000,
          usedBytes: 900,
          availableBytes: 50,
          inodesTotal: 10,
          inodesUsed: 1,
          readBytesPerSecond: 1,
          writtenBytesPerSecond: 2,
          readsPerSecond: 3,
          writesPerSecond: 4,
          busyPercent: 5,
        },
        { mount: '/data', fileSystem: 'zfs', device: '', totalBytes: 1000, usedBytes: 10 },
      ],
      networks: [
        {
          interface: 'eth0',
          receivedBytes: 10_000,
          sentBytes: 20_000,
          receivedBytesPerSecond: 100,
          sentBytesPerSecond: 200,
          errors: 1,
          drops: 2,
        },
      ],
      containers: [{ id: 'c1', name: 'shop', image: 'shop:1', state: 'running', health: 'unhealthy' }],
      services: [{ name: 'nginx', state: 'active', subState: 'running', restarts: 3 }],
      metrics: { queue_length: 12 },
    },
  ]);
  const { samples: messages } = await grpcSide.listTelemetrySamples({ agentId: 'alpha' });
  expect(messages).toMatchObject([
    {
      late: true,
      bootId: new Uint8Array(16).fill(0xab),
      values: { cpu: 12.5, sent: 200 },
      sample: { number: 7n, metrics: { queue_length: 12 }, disks: [{ mount: '/' }, { mount: '/data' }] },
    },
  ]);
  // Without a range it is the last hour.
  const [{ from: begin, to: end } = { from: 0, to: 0 }] = api.telemetry.asked as {
    from: number;
    to: number;
  }[];
  expect(end - begin).toBe(3_600_000);
  expect(Math.abs(Date.now() - end)).toBeLessThan(60_000);
});
