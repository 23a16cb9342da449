import type { Sample } from '#gen/viworks/agent/v1/telemetry_pb.js';
import type { MetricValues } from '../storage/telemetry-metrics.ts';

/** The bytes that the interfaces of a machine had counted, and when. */
export interface TrafficCounts {
  boot: string;
  number: number;
  takenAt: number;
  interfaces: ReadonlyMap<string, { received: number; sent: number }>;
}

/** @param takenAt by the agent's clock, milliseconds */
export function trafficOf(sample: Sample, boot: string, takenAt: number): TrafficCounts {
  const interfaces = sample.networks.map(
    (network) =>
      [
        network.interface,
        { received: Number(network.receivedBytes), sent: Number(network.sentBytes) },
      ] as const,
  );
  return { boot, number: Number(sample.number), takenAt, interfaces: new Map(interfaces) };
}

/**
 * The columns of a sample. Rates are known where the sample just before it, of the same boot, is.
 */
export function metricsOf(
  { cpu, memory, disks, networks }: Sample,
  traffic: TrafficCounts,
  before: TrafficCounts | undefined,
): MetricValues {
  let disk: number | null = null;
  for (const { usedBytes, totalBytes } of disks) {
    const used = percentOf(usedBytes, totalBytes);
    if (used !== null && (disk === null || used > disk)) disk = used;
  }
  return {
    cpu: cpu?.usedPercent ?? null,
    memory: memory === undefined ? null : percentOf(memory.usedBytes, memory.totalBytes),
    swap: memory === undefined ? null : percentOf(memory.swapUsedBytes, memory.swapTotalBytes),
    disk,
    load: cpu?.load1m ?? null,
    ...(ratesTold(networks) ?? ratesOf(traffic, before)),
  };
}

/** Null of nothing: a machine without swap uses no part of it. */
function percentOf(used: bigint, total: bigint): number | null {
  return total > 0n ? Math.min(100, (Number(used) / Number(total)) * 100) : null;
}

/** Those that the agent measured itself, where it did. */
function ratesTold(networks: Sample['networks']): { received: number; sent: number } | undefined {
  let told = false;
  const rates = { received: 0, sent: 0 };
  for (const { receivedBytesPerSecond, sentBytesPerSecond } of networks) {
    if (receivedBytesPerSecond === undefined && sentBytesPerSecond === undefined) continue;
    told = true;
    rates.received += receivedBytesPerSecond ?? 0;
    rates.sent += sentBytesPerSecond ?? 0;
  }
  return told && Number.isFinite(rates.received + rates.sent) ? rates : undefined;
}

/** Of interfaces that are in both, and whose counters did not begin anew. */
function ratesOf(
  now: TrafficCounts,
  before: TrafficCounts | undefined,
): { received: number | null; sent: number | null } {
  const unknown = { received: null, sent: null };
  if (before === undefined || before.boot !== now.boot || before.number + 1 !== now.number) return unknown;
  const seconds = (now.takenAt - before.takenAt) / 1000;
  if (!(seconds > 0) || now.interfaces.size === 0) return unknown;
  const bytes = { received: 0, sent: 0 };
  for (const [name, counted] of now.interfaces) {
    const earlier = before.interfaces.get(name);
    if (earlier === undefined) continue;
    bytes.received += Math.max(0, counted.received - earlier.received);
    bytes.sent += Math.max(0, counted.sent - earlier.sent);
  }
  return { received: bytes.received / seconds, sent: bytes.sent / seconds };
}
