import type { NetworkSample, Sample } from '#gen/viworks/agent/v1/telemetry_pb.js';
import { disksThatFill, percentOfDisk, percentUsed } from '../protocol/disks.ts';
import type { MetricValues } from '../storage/telemetry-metrics.ts';

/** Bytes a second of all interfaces; null where they are not known. */
export type Rates = Pick<MetricValues, 'received' | 'sent'>;

/** The bytes that the interfaces of a machine had counted, and when. */
export interface TrafficCounts {
  boot: string;
  number: number;
  takenAt: number;
  networks: readonly NetworkSample[];
}

/** @param takenAt by the agent's clock, milliseconds */
export const trafficOf = ({ number, networks }: Sample, boot: string, takenAt: number): TrafficCounts => ({
  boot,
  number: Number(number),
  takenAt,
  networks,
});

/** The columns of a sample. */
export function metricsOf({ cpu, memory, disks }: Sample, rates: Rates): MetricValues {
  let disk: number | null = null;
  for (const each of disksThatFill(disks)) {
    const used = percentOfDisk(each);
    if (used !== undefined && (disk === null || used > disk)) disk = used;
  }
  return {
    cpu: cpu?.usedPercent ?? null,
    memory: percentOf(memory?.usedBytes, memory?.totalBytes),
    swap: percentOf(memory?.swapUsedBytes, memory?.swapTotalBytes),
    disk,
    load: cpu?.load1m ?? null,
    ...rates,
  };
}

/** Null of nothing: a machine without swap uses no part of it. */
const percentOf = (used = 0n, total = 0n): number | null => percentUsed(Number(used), Number(total)) ?? null;

/** Those that the agent measured itself, where it did. */
export function ratesTold({ networks }: Pick<Sample, 'networks'>): Rates | undefined {
  let told = false;
  const rates = { received: 0, sent: 0 };
  for (const { receivedBytesPerSecond, sentBytesPerSecond } of networks) {
    if (receivedBytesPerSecond === undefined && sentBytesPerSecond === undefined) continue;
    told = true;
    rates.received += receivedBytesPerSecond ?? 0;
    rates.sent += sentBytesPerSecond ?? 0;
  }
  return told ? rates : undefined;
}

/**
 * Of interfaces that are in both, and whose counters did not begin anew; known where there are any, and the sample just
 * before it, of the same boot, is.
 */
export function ratesOf(now: TrafficCounts, before: TrafficCounts | undefined): Rates {
  const unknown = { received: null, sent: null };
  if (before === undefined || before.boot !== now.boot || before.number + 1 !== now.number) return unknown;
  const seconds = (now.takenAt - before.takenAt) / 1000;
  if (!(seconds > 0) || now.networks.length === 0) return unknown;
  const bytes = { received: 0, sent: 0 };
  let both = 0;
  for (const [index, counted] of now.networks.entries()) {
    const name = counted.interface;
    // Nearly always in the same place as before.
    const there = before.networks[index];
    const earlier =
      there?.interface === name ? there : before.networks.find((other) => other.interface === name);
    if (earlier === undefined) continue;
    both += 1;
    bytes.received += Math.max(0, Number(counted.receivedBytes - earlier.receivedBytes));
    bytes.sent += Math.max(0, Number(counted.sentBytes - earlier.sentBytes));
  }
  if (both === 0) return unknown;
  return { received: bytes.received / seconds, sent: bytes.sent / seconds };
}
