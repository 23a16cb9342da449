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
  /** Others that came with it and are left out, because it is newer: see `rowsToTell`. */
  superseded?: number;
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

/**
 * Of what an agent said at once the newest, which says how many it stands for, and all that had waited: those say how
 * things were at a time that somebody may want to know.
 */
export function rowsToTell(frame: SampleFrame): SampleRow[] {
  const rows: SampleRow[] = [];
  let newest: number | undefined;
  let superseded = -1;
  for (let index = 0; index < frame.size; index++) {
    if ((factOf(frame, index, fact.marks) & marks.waited) !== 0) rows.push(rowOf(frame, index));
    else {
      superseded += 1;
      if (newest === undefined || isNewer(frame, index, newest)) newest = index;
    }
  }
  if (newest === undefined) return rows;
  const row = rowOf(frame, newest);
  if (superseded > 0) row.superseded = superseded;
  rows.push(row);
  return rows;
}

/** Within a boot numbers decide: they are right also where the clock was set back. */
function isNewer(frame: SampleFrame, index: number, other: number): boolean {
  const [boot, otherBoot] = [bootOf(frame, index), bootOf(frame, other)];
  const same = boot === otherBoot || Buffer.compare(boot, otherBoot) === 0;
  const by = same ? fact.number : fact.at;
  return factOf(frame, index, by) >= factOf(frame, other, by);
}

/** Those that say that their boot had lost some. */
export const rowsWithDrops = (frame: SampleFrame): SampleRow[] => {
  const rows: SampleRow[] = [];
  for (let index = 0; index < frame.size; index++)
    if (factOf(frame, index, fact.dropped) > 0) rows.push(rowOf(frame, index));
  return rows;
};

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
