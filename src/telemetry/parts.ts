import type { Sample } from '#gen/viworks/agent/v1/telemetry_pb.js';
import { percentOfDisk } from '../protocol/disks.ts';
import { readStoredSample } from '../protocol/stored-sample.ts';
import type { StoredSample } from '../storage/sample-rows.ts';
import type { SampleCursor, TimeRange } from '../storage/telemetry-history.ts';
import type { TelemetryMetric } from '../storage/telemetry-metrics.ts';
import type { Statistic } from '../storage/telemetry-spans.ts';
import type { Resolution } from './resolution.ts';

/**
 * Metrics without a column of their own: one disk, one interface, a custom metric. They are read from whole samples,
 * so they go back as far as those are kept.
 */
export type PartMetric = `disk:${string}` | `received:${string}` | `sent:${string}` | `metrics.${string}`;

/** Values of one span, or of one agent, by metric; null where nothing was measured. */
export type Statistics = Partial<Record<TelemetryMetric | PartMetric, Statistic | null>>;

export interface Span {
  at: Date;
  samples: number;
  metrics: Statistics;
}

/** A part's value in a sample; undefined where it was not measured. */
export type PartReader = (sample: Sample) => number | undefined;

/** Undefined where the name is none of a part. */
export function partReader(name: string): PartReader | undefined {
  const custom = /^metrics\.([a-z][a-z0-9_.]{0,63})$/.exec(name)?.[1];
  if (custom !== undefined)
    return ({ metrics }) => (Object.hasOwn(metrics, custom) ? metrics[custom] : undefined);
  const [, kind, of] = /^(disk|received|sent):(.{1,1024})$/s.exec(name) ?? [];
  if (kind === 'disk')
    return ({ disks }) => {
      const disk = disks.find(({ mount }) => mount === of);
      return disk && percentOfDisk(disk);
    };
  if (kind === undefined) return undefined;
  return ({ networks }) => {
    const network = networks.find((each) => each.interface === of);
    return kind === 'received' ? network?.receivedBytesPerSecond : network?.sentBytesPerSecond;
  };
}

/** Null of nothing. */
export function statisticOf(values: readonly number[]): Statistic | null {
  const sorted = values.toSorted((a, b) => a - b);
  const [min] = sorted;
  const max = sorted.at(-1);
  const p95 = sorted[Math.ceil(0.95 * sorted.length) - 1];
  if (min === undefined || max === undefined || p95 === undefined) return null;
  const sum = sorted.reduce((total, value) => total + value, 0);
  return { count: sorted.length, average: sum / sorted.length, min, max, p95 };
}

/** Samples that are read at once. */
const chunk = 500;
/** Samples and bytes of them after which a page ends. */
const most = { samples: 10_000, bytes: 32 * 1024 * 1024 };

type ReadSamples = (
  range: TimeRange,
  after: SampleCursor | undefined,
  size: number,
) => Promise<{ samples: StoredSample[]; more: boolean }>;

/**
 * Adds the parts to spans of an agent, which are in order.
 *
 * @returns fewer spans where they have so many samples that the rest is for the next page
 */
export async function withParts(
  read: ReadSamples,
  spans: readonly Span[],
  resolution: Resolution,
  readers: ReadonlyMap<PartMetric, PartReader>,
): Promise<Span[]> {
  const [first] = spans;
  const last = spans.at(-1);
  if (first === undefined || last === undefined) return [];
  const ms = resolution * 1000;
  const range = { from: first.at, to: new Date(last.at.getTime() + ms) };
  const values = new Map<number, Map<PartMetric, number[]>>();
  const filled = (some: readonly Span[]): Span[] =>
    some.map((span) => {
      const found = values.get(span.at.getTime());
      const parts = [...readers.keys()].map((name) => [name, statisticOf(found?.get(name) ?? [])] as const);
      return { ...span, metrics: { ...span.metrics, ...Object.fromEntries(parts) } };
    });
  let after: SampleCursor | undefined;
  const seen = { samples: 0, bytes: 0 };
  for (;;) {
    const { samples, more } = await read(range, after, chunk);
    for (const { at, sample: bytes } of samples) {
      const sample = readStoredSample(bytes);
      const span = spanAt(at, ms);
      const found = values.get(span) ?? new Map<PartMetric, number[]>();
      values.set(span, found);
      for (const [name, valueIn] of readers) {
        const value = valueIn(sample);
        if (value === undefined) continue;
        const list = found.get(name);
        if (list === undefined) found.set(name, [value]);
        else list.push(value);
      }
    }
    after = samples.at(-1);
    seen.samples += samples.length;
    seen.bytes += samples.reduce((sum, { sample }) => sum + sample.byteLength, 0);
    if (!more || after === undefined) return filled(spans);
    if (seen.samples < most.samples && seen.bytes < most.bytes) continue;
    // Of the span that was read last there may be more.
    const open = spanAt(after.at, ms);
    const whole = spans.filter(({ at }) => at.getTime() < open);
    if (whole.length > 0) return filled(whole);
  }
}

const spanAt = (at: Date, ms: number): number => Math.floor(at.getTime() / ms) * ms;
