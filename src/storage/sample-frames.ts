import type { BinaryWriter } from './binary-writer.ts';
import { type TelemetryMetric, telemetryMetrics } from './telemetry-metrics.ts';

/**
 * Samples that came together, as the numbers that their rows need, side by side. Tens of thousands wait for their commit
 * at once; as objects with a dozen values each, they would be what the garbage collector has most to do with.
 */
export interface SampleFrame {
  agentId: string;
  receivedAt: Date;
  /** How many there are. */
  size: number;
  /** `factsEach` of each: see `fact`. */
  facts: number[];
  /** Of each. */
  boots: readonly Uint8Array[];
  /** All of them, serialised, and perhaps more. */
  bytes: Buffer;
}

/** Where a number of a sample is among its facts. Times are milliseconds since 1970. */
export const fact = {
  number: 0,
  at: 1,
  /** NaN where there is none. */
  claimedAt: 2,
  /** The sum of `marks`. */
  marks: 3,
  dropped: 4,
  /** Where it begins and ends in the bytes. */
  from: 5,
  to: 6,
  /** The first of the metrics, in their order; NaN where one was not measured. */
  metrics: 7,
} as const;
/** The place of each metric among them. */
export const metricAt = Object.fromEntries(telemetryMetrics.map((name, place) => [name, place])) as Readonly<
  Record<TelemetryMetric, number>
>;
export const factsEach = fact.metrics + telemetryMetrics.length;
export const marks = { late: 1, skewed: 2, waited: 4 } as const;

export const newFrame = (
  agentId: string,
  receivedAt: Date,
  most: number,
  bytes: Buffer,
): SampleFrame & { boots: Uint8Array[] } => ({
  agentId,
  receivedAt,
  size: 0,
  // With a number in each place they stay numbers side by side.
  facts: new Array<number>(most * factsEach).fill(Number.NaN),
  boots: [],
  bytes,
});

export const factOf = ({ facts }: SampleFrame, index: number, which: number): number =>
  facts[index * factsEach + which] as number;
export const bootOf = ({ boots }: SampleFrame, index: number): Uint8Array => boots[index] as Uint8Array;

/** How many in all of them have the mark. */
export function countMarks(frames: readonly SampleFrame[], mark: number): number {
  let count = 0;
  for (const frame of frames)
    for (let index = 0; index < frame.size; index++)
      if ((factOf(frame, index, fact.marks) & mark) !== 0) count += 1;
  return count;
}

export const samplesIn = (frames: readonly SampleFrame[]): number =>
  frames.reduce((sum, { size }) => sum + size, 0);

/** Calls the work with the time of each sample. */
export function eachTime(frame: SampleFrame, work: (at: number) => void): void {
  for (let index = 0; index < frame.size; index++) work(factOf(frame, index, fact.at));
}

/** Each sample of a frame as a frame of its own. */
export const splitFrame = (frame: SampleFrame): SampleFrame[] =>
  Array.from({ length: frame.size }, (_, index) => ({
    ...frame,
    size: 1,
    facts: frame.facts.slice(index * factsEach, (index + 1) * factsEach),
    boots: [bootOf(frame, index)],
  }));

/** The columns that `writeFrame` writes, in their order. */
export const frameColumns = [
  'agent_id',
  'at',
  'boot_id',
  'number',
  'received_at',
  'late',
  'skewed',
  'sample',
  ...telemetryMetrics,
];

/** Writes a row for each sample, for a COPY. */
export function writeFrame(out: BinaryWriter, frame: SampleFrame): void {
  const { agentId, bytes, facts } = frame;
  const receivedAt = frame.receivedAt.getTime();
  for (let index = 0, first = 0; index < frame.size; index++, first += factsEach) {
    const marked = facts[first + fact.marks] as number;
    out.row(frameColumns.length);
    out.text(agentId);
    out.time(facts[first + fact.at] as number);
    out.bytes(bootOf(frame, index));
    out.int8(facts[first + fact.number] as number);
    out.time(receivedAt);
    out.bool((marked & marks.late) !== 0);
    out.bool((marked & marks.skewed) !== 0);
    out.part(bytes, facts[first + fact.from] as number, facts[first + fact.to] as number);
    for (let place = first + fact.metrics; place < first + factsEach; place++) {
      const value = facts[place] as number;
      if (Number.isNaN(value)) out.null();
      else out.float8(value);
    }
  }
}
