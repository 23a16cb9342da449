import { bootOf, fact, factOf, marks, metricAt, type SampleFrame } from './sample-frames.ts';
import { type MetricValues, type TelemetryMetric, telemetryMetrics } from './telemetry-metrics.ts';

/** Samples one by one, with the values of their columns. */

export interface StoredSample extends MetricValues {
  agentId: string;
  at: Date;
  bootId: Uint8Array;
  number: number;
  receivedAt: Date;
  late: boolean;
  skewed: boolean;
  /** The agent kept it for a while, as it says; not known of those that come from the database. */
  waited?: boolean;
  /** A serialised Sample. */
  sample: Uint8Array;
}

export interface SampleRow extends StoredSample {
  /** The time that the agent said, of a skewed one, where it is one at all. */
  claimedAt: Date | null;
  /** Samples that its boot had lost by then, as the agent says. */
  dropped: number;
}

/** What a statement selects of a sample that is stored. @param of before each column */
export const sampleColumns = (of = ''): string =>
  [
    `${of}agent_id as "agentId"`,
    `${of}at`,
    `${of}boot_id as "bootId"`,
    `${of}number::float8 as number`,
    `${of}received_at as "receivedAt"`,
    ...['late', 'skewed', 'sample', ...telemetryMetrics].map((name) => `${of}${name}`),
  ].join(', ');

/** What names a sample, for maps. */
export const sampleKey = (row: Pick<StoredSample, 'agentId' | 'bootId' | 'number'>): string =>
  `${Buffer.from(row.bootId).toString('latin1')} ${row.number} ${row.agentId}`;

export const rowsOf = (frame: SampleFrame): SampleRow[] =>
  Array.from({ length: frame.size }, (_, index) => rowOf(frame, index));

function rowOf(frame: SampleFrame, index: number): SampleRow {
  const { agentId, receivedAt, bytes } = frame;
  const metric = (name: TelemetryMetric): number | null => {
    const value = factOf(frame, index, fact.metrics + metricAt[name]);
    return Number.isNaN(value) ? null : value;
  };
  const marked = factOf(frame, index, fact.marks);
  const claimedAt = factOf(frame, index, fact.claimedAt);
  return {
    agentId,
    bootId: bootOf(frame, index),
    number: factOf(frame, index, fact.number),
    receivedAt,
    at: new Date(factOf(frame, index, fact.at)),
    late: (marked & marks.late) !== 0,
    waited: (marked & marks.waited) !== 0,
    dropped: factOf(frame, index, fact.dropped),
    skewed: (marked & marks.skewed) !== 0,
    claimedAt: Number.isNaN(claimedAt) ? null : new Date(claimedAt),
    cpu: metric('cpu'),
    memory: metric('memory'),
    swap: metric('swap'),
    disk: metric('disk'),
    load: metric('load'),
    received: metric('received'),
    sent: metric('sent'),
    sample: bytes.subarray(factOf(frame, index, fact.from), factOf(frame, index, fact.to)),
  };
}
