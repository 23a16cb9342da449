import { invalidField } from '../errors.ts';
import type { Clock } from '../lib/clock.ts';
import { keyBefore, type Page, type PageRequest, pageOf } from '../lib/page.ts';
import type { Database } from '../storage/database.ts';
import {
  type AggregateFilter,
  type AggregateRow,
  readAggregate,
  readSamples,
  readSeries,
  type SpanRow,
} from '../storage/telemetry-history.ts';
import { type TelemetryMetric, telemetryMetrics } from '../storage/telemetry-metrics.ts';
import type { StoredSample } from '../storage/telemetry-samples.ts';
import {
  levelOf,
  type Moments,
  type Resolution,
  resolutionFor,
  spansOf,
  unsettledFrom,
} from './resolution.ts';

/** What agents measured, for those who look back. Every span is true at once: what is not rolled up yet is worked out. */
export interface TelemetryHistory {
  /** Samples as they came. @throws invalid_request */
  samples(agentId: string, range: Moments, page: PageRequest): Promise<Page<StoredSample>>;
  /** Spans of one agent that have samples. @throws invalid_request */
  series(wanted: SeriesRequest, page: PageRequest): Promise<Page<SpanRow> & { resolution: Resolution }>;
  /** One metric of many agents together. @throws invalid_request */
  aggregate(
    wanted: AggregateRequest,
    page: PageRequest,
  ): Promise<Page<AggregateRow> & { resolution: Resolution }>;
}

export interface SeriesRequest extends Moments {
  agentId: string;
  /** All by default. */
  metrics?: readonly TelemetryMetric[] | undefined;
  /** Seconds; by default the finest with at most `points`. */
  resolution?: Resolution | undefined;
}

export interface AggregateRequest extends Moments {
  metric: TelemetryMetric;
  filter: AggregateFilter;
  resolution?: Resolution | undefined;
}

export interface HistoryDeps {
  database: Pick<Database, 'query'>;
  clock: Pick<Clock, 'now'>;
  /** Milliseconds that samples, and roll-ups of a minute, are kept. */
  keepMs: number;
}

/** Spans that an answer has at most where nobody asks for a resolution: a day in minutes. */
const points = 1440;
const sampleToken = /^\d{1,15} ([0-9a-f]{2})* \d{1,16}$/;
const spanToken = /^(60|900|3600) \d{1,15}$/;

export function createTelemetryHistory({ database, clock, keepMs }: HistoryDeps): TelemetryHistory {
  /** The resolution of the page before holds for those after it, however long somebody takes to read. */
  function place(wanted: Moments & { resolution?: Resolution | undefined }, page: PageRequest) {
    checkRange(wanted);
    const key = keyBefore(page, spanToken)?.split(' ').map(Number);
    const now = clock.now();
    const resolution =
      (key?.[0] as Resolution | undefined) ??
      wanted.resolution ??
      resolutionFor(wanted, { points, now, keepMs });
    const range = spansOf(wanted, resolution);
    const after = key?.[1];
    return {
      level: levelOf(resolution),
      resolution,
      range: after === undefined ? range : { ...range, from: new Date(after + resolution * 1000) },
      unsettled: unsettledFrom(now, resolution),
    };
  }

  return {
    async samples(agentId, range, page) {
      checkRange(range);
      const [at, boot, number] = keyBefore(page, sampleToken)?.split(' ') ?? [];
      const after =
        at === undefined
          ? undefined
          : { at: new Date(Number(at)), bootId: Buffer.from(boot ?? '', 'hex'), number: Number(number) };
      const between = { from: new Date(range.from), to: new Date(range.to) };
      const rows = await readSamples(database.query, agentId, between, after, page.size + 1);
      return pageOf(
        rows,
        page.size,
        (row) => `${row.at.getTime()} ${Buffer.from(row.bootId).toString('hex')} ${row.number}`,
      );
    },
    async series(wanted, page) {
      const { level, resolution, range, unsettled } = place(wanted, page);
      const metrics = wanted.metrics ?? telemetryMetrics;
      const rows = await readSeries(database.query, level, {
        agentId: wanted.agentId,
        metrics,
        ...range,
        unsettled,
        limit: page.size + 1,
      });
      return { resolution, ...pageOf(rows, page.size, (row) => `${resolution} ${row.at.getTime()}`) };
    },
    async aggregate(wanted, page) {
      const { level, resolution, range, unsettled } = place(wanted, page);
      const { metric, filter } = wanted;
      const rows = await readAggregate(database.query, level, {
        metric,
        filter,
        ...range,
        unsettled,
        limit: page.size + 1,
      });
      return { resolution, ...pageOf(rows, page.size, (row) => `${resolution} ${row.at.getTime()}`) };
    },
  };
}

const lastMoment = 8.64e15;

function checkRange({ from, to }: Moments): void {
  if (!(from >= 0 && from < lastMoment)) throw invalidField('from', 'must be a time since 1970');
  if (!(to > from && to < lastMoment)) throw invalidField('to', 'must be later than from');
}
