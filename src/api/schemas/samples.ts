import { durationMs, timestampDate } from '@bufbuild/protobuf/wkt';
import { z } from 'zod';
import type { Sample } from '#gen/viworks/agent/v1/telemetry_pb.js';
import { readStoredSample } from '../../protocol/stored-sample.ts';
import type { StoredSample } from '../../storage/sample-rows.ts';
import { telemetryMetrics } from '../../storage/telemetry-metrics.ts';
import { countSchema, timeSchema, timeView } from './common.ts';

/** A sample with all that its agent said. */

const number = z.number();
const optionalNumber = number.optional();
/** Bytes and other counts of the machine, which may be larger than whole numbers are exact. */
const amount = z.number().nonnegative();

export const sampleSchema = z.strictObject({
  /** Where it stands in history: the agent's time, or the server's where that was not believed. */
  at: timeSchema,
  receivedAt: timeSchema,
  /** The agent's clock. */
  takenAt: timeSchema.optional(),
  /** Counts the samples of one boot of the agent. */
  number: countSchema,
  /** The boot of the agent, in hex. */
  bootId: z.string(),
  /** It waited before it was sent, or came long after it was taken. */
  late: z.boolean(),
  /** The agent's clock was too far off to be believed. */
  skewed: z.boolean(),
  /** Samples that this boot of the agent had lost when it took this one. */
  dropped: amount,
  /** Parts that could not be read, or not all of: that something is missing there means nothing. */
  unread: z.array(z.string()),
  /** What has a column, as series and aggregates know it; absent where it was not measured. */
  values: z.strictObject(
    Object.fromEntries(telemetryMetrics.map((name) => [name, optionalNumber])) as Record<
      (typeof telemetryMetrics)[number],
      typeof optionalNumber
    >,
  ),
  uptimeMs: amount.optional(),
  cpu: z
    .strictObject({
      usedPercent: number,
      cores: countSchema,
      load1m: number,
      load5m: number,
      load15m: number,
    })
    .optional(),
  memory: z
    .strictObject({ totalBytes: amount, usedBytes: amount, swapTotalBytes: amount, swapUsedBytes: amount })
    .optional(),
  disks: z.array(
    z.strictObject({
      mount: z.string(),
      fileSystem: z.string(),
      /** As the kernel names it; empty where there is none. */
      device: z.string(),
      totalBytes: amount,
      usedBytes: amount,
      /** What is left for those who are not root. */
      availableBytes: amount.optional(),
      inodesTotal: amount.optional(),
      inodesUsed: amount.optional(),
      readBytesPerSecond: optionalNumber,
      writtenBytesPerSecond: optionalNumber,
      readsPerSecond: optionalNumber,
      writesPerSecond: optionalNumber,
      busyPercent: optionalNumber,
    }),
  ),
  networks: z.array(
    z.strictObject({
      interface: z.string(),
      /** Since the machine started. */
      receivedBytes: amount,
      sentBytes: amount,
      /** Absent in the first sample, and where a counter began anew. */
      receivedBytesPerSecond: optionalNumber,
      sentBytesPerSecond: optionalNumber,
      errors: amount,
      drops: amount,
    }),
  ),
  containers: z.array(
    z.strictObject({
      id: z.string(),
      name: z.string(),
      image: z.string(),
      state: z.string(),
      /** Empty where the container has no check. */
      health: z.string(),
    }),
  ),
  services: z.array(
    z.strictObject({ name: z.string(), state: z.string(), subState: z.string(), restarts: countSchema }),
  ),
  /** Custom metrics by name. */
  metrics: z.record(z.string(), number),
});
export type SampleView = z.output<typeof sampleSchema>;

const numberOf = (value: bigint | undefined): number | undefined =>
  value === undefined ? undefined : Number(value);

export function sampleView(stored: StoredSample): SampleView {
  const sample = readStoredSample(stored.sample);
  const { takenAt, uptime, cpu, memory } = sample;
  return {
    at: timeView(stored.at),
    receivedAt: timeView(stored.receivedAt),
    takenAt: takenAt && timeOrNone(takenAt),
    number: stored.number,
    bootId: Buffer.from(stored.bootId).toString('hex'),
    late: stored.late,
    skewed: stored.skewed,
    dropped: Number(sample.dropped),
    unread: sample.unread,
    values: valuesOf(stored),
    uptimeMs: uptime && durationMs(uptime),
    cpu: cpu && {
      usedPercent: cpu.usedPercent,
      cores: cpu.cores,
      load1m: cpu.load1m,
      load5m: cpu.load5m,
      load15m: cpu.load15m,
    },
    memory: memory && {
      totalBytes: Number(memory.totalBytes),
      usedBytes: Number(memory.usedBytes),
      swapTotalBytes: Number(memory.swapTotalBytes),
      swapUsedBytes: Number(memory.swapUsedBytes),
    },
    ...partsView(sample),
    metrics: { ...sample.metrics },
  };
}

/** A clock that is wrong may say a time before there were any. */
function timeOrNone(takenAt: NonNullable<Sample['takenAt']>): string | undefined {
  const date = timestampDate(takenAt);
  return date.getTime() < 0 ? undefined : timeView(date);
}

export const valuesOf = (stored: StoredSample): SampleView['values'] =>
  Object.fromEntries(
    telemetryMetrics.map((name) => [name, stored[name] ?? undefined]),
  ) as SampleView['values'];

const partsView = (sample: Sample): Pick<SampleView, 'disks' | 'networks' | 'containers' | 'services'> => ({
  disks: sample.disks.map((disk) => ({
    mount: disk.mount,
    fileSystem: disk.fileSystem,
    device: disk.device,
    totalBytes: Number(disk.totalBytes),
    usedBytes: Number(disk.usedBytes),
    availableBytes: numberOf(disk.availableBytes),
    inodesTotal: numberOf(disk.inodesTotal),
    inodesUsed: numberOf(disk.inodesUsed),
    readBytesPerSecond: disk.readBytesPerSecond,
    writtenBytesPerSecond: disk.writtenBytesPerSecond,
    readsPerSecond: disk.readsPerSecond,
    writesPerSecond: disk.writesPerSecond,
    busyPercent: disk.busyPercent,
  })),
  networks: sample.networks.map((network) => ({
    interface: network.interface,
    receivedBytes: Number(network.receivedBytes),
    sentBytes: Number(network.sentBytes),
    receivedBytesPerSecond: network.receivedBytesPerSecond,
    sentBytesPerSecond: network.sentBytesPerSecond,
    errors: Number(network.errors),
    drops: Number(network.drops),
  })),
  containers: sample.containers.map(({ id, name, image, state, health }) => ({
    id,
    name,
    image,
    state,
    health,
  })),
  services: sample.services.map(({ name, state, subState, restarts }) => ({
    name,
    state,
    subState,
    restarts,
  })),
});
