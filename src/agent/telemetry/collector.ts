import { loadavg, uptime } from 'node:os';
import { create } from '@bufbuild/protobuf';
import { durationFromMs, timestampFromMs } from '@bufbuild/protobuf/wkt';
import {
  type ContainerSample,
  ContainerSampleSchema,
  type Sample,
  SampleSchema,
  type ServiceSample,
} from '#gen/viworks/agent/v1/telemetry_pb.js';
import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/logger.ts';
import { createFileSystemReader, type DiskCounters, diskOf, type FileSystem, readDisks } from '../disks.ts';
import { healthOf, listContainers, parseContainers } from '../executors/docker/ps.ts';
import { type CpuTimes, type NetworkCounters, readCpuTimes, readMemory, readNetworks } from '../host.ts';
import { type MetricSource, maximumMetrics } from './metrics.ts';
import { type Reading, ratesOf } from './rates.ts';
import { readServices, unknownServices } from './services.ts';

/** Takes one reading of the machine. Its number is given when it is queued. */
export type Collector = () => Promise<Sample>;

export interface CollectorDeps {
  clock: Clock;
  log: Logger;
  /** Ask the container engine too. */
  containers: boolean;
  /** Names of services to ask for. */
  services?: readonly string[] | undefined;
  /** Where custom metrics come from; of one name in several, that of the last one counts. */
  metrics?: readonly MetricSource[];
  /** Where programs are looked for. */
  path?: string | undefined;
}

const containersTimeoutMs = 5_000;

export function createCollector(deps: CollectorDeps): Collector {
  const { clock, services = [] } = deps;
  const readFileSystems = createFileSystemReader();
  let cpuBefore = readCpuTimes();
  let disksBefore: Reading<DiskCounters> | undefined;
  let networksBefore: Reading<TrafficCounters> | undefined;
  /** What could not be read the last time: the same is not logged at each sample. */
  let failing: ReadonlySet<string> = new Set();

  return async () => {
    const unread = new Map<string, unknown>();
    const part = <T>(name: string, work: Promise<T>, otherwise: T): Promise<T> =>
      work.catch((err: unknown) => {
        unread.set(name, err);
        return otherwise;
      });
    const cpu = readCpuTimes();
    const usedPercent = busyPercent(cpuBefore, cpu);
    cpuBefore = cpu;
    const [memory, fileSystems, disks, networks, containers, serviceStates, metrics] = await Promise.all([
      readMemory(),
      readFileSystems(),
      readDisks(),
      readNetworks(),
      part<ContainerSample[]>('containers', deps.containers ? readContainers(deps.path) : nothing(), []),
      part<ServiceSample[]>(
        'services',
        readServices({ names: services, path: deps.path }),
        unknownServices(services),
      ),
      part('metrics', readMetrics(deps.metrics ?? []), {}),
    ]);
    if (fileSystems.silent.length > 0)
      unread.set('disks', new Error(`no answer from ${fileSystems.silent.join(', ')}`));
    const at = clock.monotonic();
    const disksNow: Reading<DiskCounters> = {
      at,
      counters: new Map(disks.map(({ name, counters }) => [name, counters])),
    };
    const networksNow: Reading<TrafficCounters> = { at, counters: trafficOf(networks) };
    const sample = create(SampleSchema, {
      takenAt: timestampFromMs(clock.now()),
      cpu: { usedPercent, cores: cpu.cores, ...load() },
      memory: {
        totalBytes: BigInt(memory.totalBytes),
        usedBytes: BigInt(memory.totalBytes - memory.availableBytes),
        swapTotalBytes: BigInt(memory.swapTotalBytes),
        swapUsedBytes: BigInt(memory.swapTotalBytes - memory.swapFreeBytes),
      },
      disks: fileSystems.systems.map((system) => {
        const name = diskOf(system, disks)?.name ?? '';
        const rates = diskRates(ratesOf(disksBefore, disksNow, name));
        return { ...fileSystemOf(system), device: name.slice(0, 128), ...rates };
      }),
      networks: networks.map((network) => ({
        ...networkOf(network),
        ...networkRates(ratesOf(networksBefore, networksNow, network.interface)),
      })),
      containers,
      services: serviceStates,
      metrics,
      uptime: durationFromMs(Math.round(uptime() * 1000)),
      unread: [...unread.keys()],
    });
    disksBefore = disksNow;
    networksBefore = networksNow;
    for (const [name, err] of unread)
      if (!failing.has(name)) deps.log.warn({ err, part: name }, 'a part of the telemetry cannot be read');
    failing = new Set(unread.keys());
    return sample;
  };
}

const nothing = () => Promise.resolve([]);

/** Busy share of all cores between two readings, 0 to 100. */
export function busyPercent(before: CpuTimes, after: CpuTimes): number {
  const total = after.total - before.total;
  if (total <= 0) return 0;
  return Math.min(100, Math.max(0, ((after.busy - before.busy) / total) * 100));
}

function load() {
  const [load1m = 0, load5m = 0, load15m = 0] = loadavg();
  return { load1m, load5m, load15m };
}

const fileSystemOf = (system: FileSystem) => ({
  mount: system.mount.slice(0, 1024),
  fileSystem: system.type.slice(0, 64),
  totalBytes: BigInt(system.totalBytes),
  usedBytes: BigInt(system.usedBytes),
  availableBytes: BigInt(system.availableBytes),
  ...(system.inodesTotal === 0
    ? {}
    : { inodesTotal: BigInt(system.inodesTotal), inodesUsed: BigInt(system.inodesUsed) }),
});

const diskRates = (rates: DiskCounters | undefined) =>
  rates && {
    readBytesPerSecond: rates.readBytes,
    writtenBytesPerSecond: rates.writtenBytes,
    readsPerSecond: rates.reads,
    writesPerSecond: rates.writes,
    busyPercent: Math.min(100, rates.busyMs / 10),
  };

type TrafficCounters = { receivedBytes: number; sentBytes: number };

const trafficOf = (networks: readonly NetworkCounters[]): Map<string, TrafficCounters> =>
  new Map(
    networks.map(({ interface: name, receivedBytes, sentBytes }) => [name, { receivedBytes, sentBytes }]),
  );

const networkOf = (network: NetworkCounters) => ({
  interface: network.interface.slice(0, 64),
  receivedBytes: BigInt(network.receivedBytes),
  sentBytes: BigInt(network.sentBytes),
  errors: BigInt(network.errors),
  drops: BigInt(network.drops),
});

const networkRates = (rates: TrafficCounters | undefined) =>
  rates && { receivedBytesPerSecond: rates.receivedBytes, sentBytesPerSecond: rates.sentBytes };

async function readMetrics(sources: readonly MetricSource[]): Promise<Record<string, number>> {
  const all = await Promise.all(sources.map((source) => source()));
  const merged = new Map(all.flatMap((metrics) => [...metrics]));
  return Object.fromEntries([...merged].slice(0, maximumMetrics));
}

/** @throws where the engine does not answer */
async function readContainers(path: string | undefined): Promise<ContainerSample[]> {
  const end = await listContainers({ all: true, name: '' }, AbortSignal.timeout(containersTimeoutMs), path);
  if (end.interrupted || end.exitCode !== 0 || end.stdout.truncated)
    throw new Error(`docker ps ended with ${end.exitCode ?? 'a signal'}`);
  return parseContainers(new TextDecoder().decode(end.stdout.data))
    .slice(0, 1024)
    .map((container) =>
      create(ContainerSampleSchema, {
        id: container.id.slice(0, 128),
        name: container.name.slice(0, 255),
        image: container.image.slice(0, 512),
        state: container.state.slice(0, 64),
        health: healthOf(container.status),
      }),
    );
}
