import type { DiskSample, Sample } from '#gen/viworks/agent/v1/telemetry_pb.js';
import { disksThatFill, freeBytesOf, percentOfDisk, percentUsed } from '../protocol/disks.ts';
import type { Comparison } from './types.ts';

/** What rules can be about, and how it is read from a sample. */

/** What alerts look at. */
export type Measured = Pick<
  Sample,
  'cpu' | 'memory' | 'disks' | 'containers' | 'services' | 'metrics' | 'uptime' | 'unread'
>;

/** One value; without one, nothing is known of it now. */
export interface Reading {
  /** A mount, container or service; empty for the machine itself. */
  subject: string;
  value: number | undefined;
}

type SubjectPart = 'disks' | 'containers' | 'services';

export interface MetricKind {
  name: string;
  /** For a person. */
  description: string;
  unit: '%' | 'h' | 's' | 'bytes' | '';
  /** What a rule says that does not say. */
  comparison: Comparison;
  /** What of a sample it is read from, as `unread` names it, where that has subjects. */
  part?: SubjectPart;
  /** Each subject that there is; undefined where the sample says nothing of any. */
  read?: (sample: Measured) => Reading[] | undefined;
}

const machine = (value: number | undefined): Reading[] | undefined =>
  value === undefined || Number.isNaN(value) ? undefined : [{ subject: '', value }];

const share = (part: bigint, whole: bigint): number | undefined => percentUsed(Number(part), Number(whole));

/**
 * Whether the sample has all of this part. Where it has not, what it does have counts: one disk that does not answer
 * says nothing of the others. Only of what is missing nothing is known, and that is not over because of it.
 */
export const isWhole = ({ unread }: Pick<Measured, 'unread'>, part: SubjectPart): boolean =>
  !unread.includes(part);

const disks = (sample: Measured, read: (disk: DiskSample) => number | undefined) => {
  const all = disksThatFill(sample.disks);
  // A machine without any disk is one whose disks could not be read.
  return all.length === 0 ? undefined : all.map((disk) => ({ subject: disk.mount, value: read(disk) }));
};

/** Of none, where not all could be read, nothing is known. */
const knownOf = (sample: Measured, part: SubjectPart, readings: Reading[]): Reading[] | undefined =>
  readings.length === 0 && !isWhole(sample, part) ? undefined : readings;

const containers = (sample: Measured, is: (state: string, health: string) => boolean) =>
  knownOf(
    sample,
    'containers',
    sample.containers.map(({ id, name, state, health }) => ({
      subject: name || id,
      value: is(state.toLowerCase(), health.toLowerCase()) ? 1 : 0,
    })),
  );

/** Of a service that nobody answers for nothing is known. */
const isDown = (state: string): number | undefined => {
  if (state === 'unknown') return undefined;
  return up.has(state) ? 0 : 1;
};

/** As systemd and others say that a service does what it should. */
const up = new Set(['active', 'activating', 'reloading', 'refreshing', 'running', 'started', 'up', 'ok']);
const stopped = new Set(['exited', 'dead', 'stopped']);

const kinds: readonly MetricKind[] = [
  {
    name: 'cpu.percent',
    description: 'busy share of all cores',
    unit: '%',
    comparison: 'above',
    read: (sample) => machine(sample.cpu?.usedPercent),
  },
  {
    name: 'load.per_core',
    description: 'load of five minutes, for each core',
    unit: '',
    comparison: 'above',
    read: ({ cpu }) => (cpu === undefined || cpu.cores === 0 ? undefined : machine(cpu.load5m / cpu.cores)),
  },
  {
    name: 'memory.percent',
    description: 'used share of the memory',
    unit: '%',
    comparison: 'above',
    read: ({ memory }) => machine(memory && share(memory.usedBytes, memory.totalBytes)),
  },
  {
    name: 'swap.percent',
    description: 'used share of the swap space',
    unit: '%',
    comparison: 'above',
    read: ({ memory }) => machine(memory && share(memory.swapUsedBytes, memory.swapTotalBytes)),
  },
  {
    name: 'disk.percent',
    description: 'used share of a disk, for each mount',
    unit: '%',
    comparison: 'above',
    part: 'disks',
    read: (sample) => disks(sample, percentOfDisk),
  },
  {
    name: 'disk.free_bytes',
    description: 'free bytes of a disk, for each mount',
    unit: 'bytes',
    comparison: 'below',
    part: 'disks',
    read: (sample) => disks(sample, freeBytesOf),
  },
  {
    name: 'disk.full_hours',
    description: 'hours until a disk is full if it goes on filling as it does, for each mount',
    unit: 'h',
    comparison: 'below',
    part: 'disks',
  },
  {
    name: 'container.unhealthy',
    description: '1 where the check of a container fails, else 0, for each container',
    unit: '',
    comparison: 'above',
    part: 'containers',
    read: (sample) => containers(sample, (_state, health) => health === 'unhealthy'),
  },
  {
    name: 'container.stopped',
    description: '1 where a container does not run, else 0, for each container',
    unit: '',
    comparison: 'above',
    part: 'containers',
    read: (sample) => containers(sample, (state) => stopped.has(state)),
  },
  {
    name: 'service.down',
    description: '1 where a service does not run, else 0, for each service',
    unit: '',
    comparison: 'above',
    part: 'services',
    read: (sample) =>
      knownOf(
        sample,
        'services',
        sample.services.map(({ name, state }) => ({ subject: name, value: isDown(state.toLowerCase()) })),
      ),
  },
  {
    name: 'uptime.seconds',
    description: 'seconds since the machine started',
    unit: 's',
    comparison: 'below',
    read: ({ uptime }) => machine(uptime && Number(uptime.seconds)),
  },
  {
    name: 'agent.offline',
    description: '1 while the agent is not connected, else 0',
    unit: '',
    comparison: 'above',
  },
];

const byName = new Map(kinds.map((kind) => [kind.name, kind]));
const customForm = /^metrics\.([a-z][a-z0-9_.]{0,63})$/;

export const metricNames: readonly string[] = kinds.map(({ name }) => name);

/** Undefined where there is no such metric. Those of a machine's own are `metrics.` and their name. */
export function metricOf(name: string): MetricKind | undefined {
  const known = byName.get(name);
  const custom = customForm.exec(name)?.[1];
  if (known !== undefined || custom === undefined) return known;
  return {
    name,
    description: `the machine's own metric ${custom}`,
    unit: '',
    comparison: 'above',
    read: ({ metrics }) => machine(Object.hasOwn(metrics, custom) ? metrics[custom] : undefined),
  };
}

/** A value as a person reads it, for example `91.5 %`. */
export function valueText(metric: string, value: number | undefined): string {
  if (value === undefined) return 'unknown';
  const rounded = Number.isInteger(value) ? String(value) : value.toFixed(Math.abs(value) < 10 ? 2 : 1);
  const unit = metricOf(metric)?.unit ?? '';
  return unit === '' ? rounded : `${rounded} ${unit}`;
}
