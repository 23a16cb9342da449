import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { timestampFromDate } from '@bufbuild/protobuf/wkt';
import { SampleSchema } from '#gen/viworks/agent/v1/telemetry_pb.js';
import { createTelemetryService, type TelemetryService } from '../../src/api/telemetry-service.ts';
import type { AgentService } from '../../src/registry/types.ts';
import type { StoredSample } from '../../src/storage/sample-rows.ts';
import { createMemoryLatest } from '../../src/telemetry/latest.ts';

/** Telemetry of a core in memory: alpha has one sample, which tells of everything that a sample can tell of. */

export const sampledAt = new Date('2030-01-01T00:00:00.000Z');

const everything: MessageInitShape<typeof SampleSchema> = {
  number: 7n,
  takenAt: timestampFromDate(sampledAt),
  cpu: { usedPercent: 12.5, cores: 2, load1m: 0.5, load5m: 0.25, load15m: 0.125 },
  memory: { totalBytes: 2048n, usedBytes: 1024n, swapTotalBytes: 512n, swapUsedBytes: 128n },
  disks: [
    {
      mount: '/',
      fileSystem: 'ext4',
      device: 'sda1',
      totalBytes: 1000n,
      usedBytes: 900n,
      availableBytes: 50n,
      inodesTotal: 10n,
      inodesUsed: 1n,
      readBytesPerSecond: 1,
      writtenBytesPerSecond: 2,
      readsPerSecond: 3,
      writesPerSecond: 4,
      busyPercent: 5,
    },
    { mount: '/data', fileSystem: 'zfs', totalBytes: 1000n, usedBytes: 10n },
  ],
  networks: [
    {
      interface: 'eth0',
      receivedBytes: 10_000n,
      sentBytes: 20_000n,
      receivedBytesPerSecond: 100,
      sentBytesPerSecond: 200,
      errors: 1n,
      drops: 2n,
    },
  ],
  containers: [{ id: 'c1', name: 'shop', image: 'shop:1', state: 'running', health: 'unhealthy' }],
  services: [{ name: 'nginx', state: 'active', subState: 'running', restarts: 3 }],
  metrics: { queue_length: 12 },
  uptime: { seconds: 61n, nanos: 500_000_000 },
  late: true,
  dropped: 4n,
  unread: ['containers'],
};

export const storedSample: StoredSample = {
  agentId: 'alpha',
  at: sampledAt,
  bootId: new Uint8Array(16).fill(0xab),
  number: 7,
  receivedAt: new Date(sampledAt.getTime() + 90_000),
  late: true,
  skewed: false,
  cpu: 12.5,
  memory: 50,
  swap: 25,
  disk: 90,
  load: 0.5,
  received: null,
  sent: 200,
  sample: toBinary(SampleSchema, create(SampleSchema, everything)),
};

export interface MemoryTelemetry extends TelemetryService {
  /** What was asked of history, in order. */
  asked: object[];
}

const statistic = { count: 2, average: 1.5, min: 1, max: 2, p95: 2 };

export function memoryTelemetry(agents: AgentService): MemoryTelemetry {
  const asked: object[] = [];
  const latest = createMemoryLatest();
  void latest.put([storedSample]);
  const note = (...wanted: object[]) => asked.push(Object.assign({}, ...wanted));
  const service = createTelemetryService({
    agents,
    telemetry: {
      latest,
      history: {
        async samples(agentId, range, page) {
          note({ agentId }, range, page);
          return { items: [storedSample], nextToken: 'next' };
        },
        async series(wanted, page) {
          note(wanted, page);
          const metrics = { cpu: statistic, 'disk:/data': null };
          const resolution = wanted.resolution ?? 900;
          return { resolution, items: [{ at: sampledAt, samples: 3, metrics }], nextToken: 'next' };
        },
        async aggregate(wanted, page) {
          note(wanted, page);
          const { count: samples, ...rest } = statistic;
          const items = [{ at: sampledAt, agents: 5, samples, ...rest }];
          return { resolution: wanted.resolution ?? 60, items, nextToken: undefined };
        },
        async sites(wanted, page) {
          note(wanted, page);
          const metrics = { cpu: statistic, memory: null };
          const items = [{ site: 'berlin', agents: 3, reporting: 2, samples: 9, metrics }];
          return { items, nextToken: undefined };
        },
      },
    },
  });
  return { ...service, asked };
}
