import { loadavg, uptime } from 'node:os';
import { create } from '@bufbuild/protobuf';
import { durationFromMs, timestampFromMs } from '@bufbuild/protobuf/wkt';
import {
  type ContainerSample,
  ContainerSampleSchema,
  type Sample,
  SampleSchema,
} from '#gen/viworks/agent/v1/telemetry_pb.js';
import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/logger.ts';
import { healthOf, listContainers, parseContainers } from '../executors/docker/ps.ts';
import { type CpuTimes, readCpuTimes, readFileSystems, readMemory, readNetworks } from '../host.ts';

/** Takes one reading of the machine. Its number is given when it is queued. */
export type Collector = () => Promise<Sample>;

export interface CollectorDeps {
  clock: Clock;
  log: Logger;
  /** Ask the container engine too. */
  containers: boolean;
  /** Where programs are looked for. */
  path?: string | undefined;
}

const containersTimeoutMs = 5_000;

export function createCollector(deps: CollectorDeps): Collector {
  let before = readCpuTimes();
  return async () => {
    const cpu = readCpuTimes();
    const usedPercent = busyPercent(before, cpu);
    before = cpu;
    const [memory, fileSystems, networks, containers] = await Promise.all([
      readMemory(),
      readFileSystems(),
      readNetworks(),
      deps.containers ? readContainers(deps) : [],
    ]);
    const [load1m = 0, load5m = 0, load15m = 0] = loadavg();
    return create(SampleSchema, {
      takenAt: timestampFromMs(deps.clock.now()),
      cpu: { usedPercent, cores: cpu.cores, load1m, load5m, load15m },
      memory: {
        totalBytes: BigInt(memory.totalBytes),
        usedBytes: BigInt(memory.totalBytes - memory.availableBytes),
        swapTotalBytes: BigInt(memory.swapTotalBytes),
        swapUsedBytes: BigInt(memory.swapTotalBytes - memory.swapFreeBytes),
      },
      disks: fileSystems.map((system) => ({
        mount: system.mount.slice(0, 1024),
        fileSystem: system.type.slice(0, 64),
        totalBytes: BigInt(system.totalBytes),
        usedBytes: BigInt(system.usedBytes),
      })),
      networks: networks.map((network) => ({
        interface: network.interface.slice(0, 64),
        receivedBytes: BigInt(network.receivedBytes),
        sentBytes: BigInt(network.sentBytes),
      })),
      containers,
      uptime: durationFromMs(Math.round(uptime() * 1000)),
    });
  };
}

/** Busy share of all cores between two readings, 0 to 100. */
export function busyPercent(before: CpuTimes, after: CpuTimes): number {
  const total = after.total - before.total;
  if (total <= 0) return 0;
  return Math.min(100, Math.max(0, ((after.busy - before.busy) / total) * 100));
}

async function readContainers(deps: CollectorDeps): Promise<ContainerSample[]> {
  try {
    const end = await listContainers(
      { all: true, name: '' },
      AbortSignal.timeout(containersTimeoutMs),
      deps.path,
    );
    if (end.interrupted || end.exitCode !== 0 || end.stdout.truncated) return [];
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
  } catch (err) {
    deps.log.debug({ err }, 'the container engine does not answer');
    return [];
  }
}
