import { invalidField } from '../errors.ts';
import { type Clock, lastMoment } from '../lib/clock.ts';
import { encodeToken, keyBefore, type Page, type PageRequest, pageOf } from '../lib/page.ts';
import { siteForm } from '../lib/scope.ts';
import { findUnstorable } from '../lib/text.ts';
import type { Database } from '../storage/database.ts';
import type { StoredSample } from '../storage/sample-rows.ts';
import {
  type AggregateFilter,
  type AggregateRow,
  readAggregate,
  readSites,
  type SiteRow,
} from '../storage/telemetry-aggregates.ts';
import { readSamples } from '../storage/telemetry-history.ts';
import { type TelemetryMetric, telemetryMetrics } from '../storage/telemetry-metrics.ts';
import { readSeries } from '../storage/telemetry-series.ts';
import { type PartMetric, type PartReader, partReader, type Span, withParts } from './parts.ts';
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
  /** Samples as they came. Large ones make a page shorter. @throws invalid_request */
  samples(agentId: string, range: Moments, page: PageRequest): Promise<Page<StoredSample>>;
  /** Spans of one agent that have samples. A page with parts may be shorter. @throws invalid_request */
  series(wanted: SeriesRequest, page: PageRequest): Promise<Page<Span> & { resolution: Resolution }>;
  /** One metric of many agents together. @throws invalid_request */
  aggregate(
    wanted: AggregateRequest,
    page: PageRequest,
  ): Promise<Page<AggregateRow> & { resolution: Resolution }>;
  /** The whole range as one row for each site, by name. @throws invalid_request */
  sites(wanted: SitesRequest, page: PageRequest): Promise<Page<SiteRow>>;
}

export interface SeriesRequest extends Moments {
  agentId: string;
  /** Names of metrics, or of parts (`disk:/data`, `metrics.queue_length`); all that have columns by default. */
  metrics?: readonly string[] | undefined;
  /** Seconds; by default the finest with at most `points`. */
  resolution?: Resolution | undefined;
}

export interface AggregateRequest extends Moments {
  metric: TelemetryMetric;
  filter: AggregateFilter;
  resolution?: Resolution | undefined;
}

export interface SitesRequest extends Moments {
  metrics: readonly TelemetryMetric[];
  filter: AggregateFilter;
}

export interface HistoryDeps {
  database: Pick<Database, 'query' | 'rows'>;
  clock: Pick<Clock, 'now'>;
  /** Milliseconds that samples, and roll-ups of a minute, are kept. */
  keepMs: number;
}

const dayMs = 86_400_000;
/** Spans that an answer has at most where nobody asks for a resolution: a day in minutes. */
const points = 1440;
/** For one row of a whole range fewer will do. */
const sitePoints = 240;
/** Spans of many agents that are added up for one answer: a week in minutes. */
const mostSpans = 7 * 1440;
const sampleToken = /^\d{1,15} ([0-9a-f]{2})* \d{1,16}$/;
const spanToken = /^(60|900|3600) \d{1,15}$/;

export function createTelemetryHistory({ database, clock, keepMs }: HistoryDeps): TelemetryHistory {
  const { query, rows: read } = database;

  /** The resolution of the page before holds for those after it, however long somebody takes to read. */
  function place(wanted: Moments & { resolution?: Resolution | undefined }, page: PageRequest) {
    checkRange(wanted);
    const key = keyBefore(page, spanToken)?.split(' ').map(Number);
    const now = clock.now();
    if (wanted.resolution === 60 && wanted.from < now - keepMs - dayMs)
      throw invalidField(
        'resolution',
        `must be 900 or 3600 this far back: 60 is kept for ${keepMs / dayMs} days`,
      );
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
      const { samples, more } = await readSamples(query, agentId, between, after, page.size);
      const last = samples.at(-1);
      return { items: samples, nextToken: more && last ? encodeToken(sampleKey(last)) : undefined };
    },
    async series(wanted, page) {
      const { columns, parts } = choose(wanted.metrics);
      const { level, resolution, range, unsettled } = place(wanted, page);
      const { agentId } = wanted;
      const rows = await readSeries(read, level, {
        agentId,
        metrics: columns,
        ...range,
        unsettled,
        limit: page.size + 1,
      });
      const { items, nextToken } = pageOf(rows, page.size, (row) => spanKey(row, resolution));
      if (parts.size === 0) return { resolution, items, nextToken };
      const spans = await withParts(
        (between, after, size) => readSamples(query, agentId, between, after, size),
        items,
        resolution,
        parts,
      );
      const last = spans.at(-1);
      const cut = last !== undefined && spans.length < items.length;
      return {
        resolution,
        items: spans,
        nextToken: cut ? encodeToken(spanKey(last, resolution)) : nextToken,
      };
    },
    async aggregate(wanted, page) {
      checkFilter(wanted.filter);
      const { level, resolution, range, unsettled } = place(wanted, page);
      checkSpans(range, resolution, wanted.resolution !== undefined);
      const { metric, filter } = wanted;
      const rows = await readAggregate(query, level, {
        metric,
        filter,
        ...range,
        unsettled,
        limit: page.size + 1,
      });
      return { resolution, ...pageOf(rows, page.size, (row) => spanKey(row, resolution)) };
    },
    async sites(wanted, page) {
      checkFilter(wanted.filter);
      checkRange(wanted);
      const now = clock.now();
      const resolution = resolutionFor(wanted, { points: sitePoints, now, keepMs });
      const range = spansOf(wanted, resolution);
      checkSpans(range, resolution, false);
      const rows = await readSites(query, levelOf(resolution), {
        // Each once.
        metrics: telemetryMetrics.filter((name) => wanted.metrics.includes(name)),
        filter: wanted.filter,
        after: keyBefore(page, siteForm),
        ...range,
        unsettled: unsettledFrom(now, resolution),
        limit: page.size + 1,
      });
      return pageOf(rows, page.size, ({ site }) => site);
    },
  };
}

const sampleKey = ({ at, bootId, number }: StoredSample): string =>
  `${at.getTime()} ${Buffer.from(bootId).toString('hex')} ${number}`;
const spanKey = ({ at }: { at: Date }, resolution: Resolution): string => `${resolution} ${at.getTime()}`;

const isColumn = (name: string): name is TelemetryMetric => telemetryMetrics.some((known) => known === name);

/** @throws invalid_request */
function choose(names: readonly string[] = telemetryMetrics) {
  const parts = new Map<PartMetric, PartReader>();
  for (const [at, name] of names.entries()) {
    if (isColumn(name)) continue;
    const reader = partReader(name);
    if (reader === undefined) throw invalidField(`metrics[${at}]`, `must be ${metricForms}`);
    parts.set(name as PartMetric, reader);
  }
  return { columns: telemetryMetrics.filter((name) => names.includes(name)), parts };
}

const metricForms = `one of ${telemetryMetrics.join(', ')}, or disk:MOUNT, received:INTERFACE, sent:INTERFACE or metrics.NAME`;

function checkFilter(filter: AggregateFilter): void {
  const text = findUnstorable(filter);
  if (text !== undefined) throw invalidField(`filter.${text}`, 'must be text without NUL');
}

function checkRange({ from, to }: Moments): void {
  if (!(from >= 0 && from < lastMoment)) throw invalidField('from', 'must be a time since 1970');
  if (!(to > from && to < lastMoment)) throw invalidField('to', 'must be later than from');
}

/** @param asked whether somebody asked for the resolution */
function checkSpans({ from, to }: { from: Date; to: Date }, resolution: Resolution, asked: boolean): void {
  const spans = (to.getTime() - from.getTime()) / (resolution * 1000);
  if (spans <= mostSpans) return;
  if (asked)
    throw invalidField('resolution', `makes ${spans} spans of this range; there may be ${mostSpans}`);
  throw invalidField('from', `must be at most ${mostSpans / 24} days before to`);
}
