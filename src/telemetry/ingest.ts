import { fromBinary } from '@bufbuild/protobuf';
import { type Sample, SampleSchema, type Telemetry } from '#gen/viworks/agent/v1/telemetry_pb.js';
import { type FieldProblem, ViworksError } from '../errors.ts';
import { type Clock, lastMoment } from '../lib/clock.ts';
import type { Logger } from '../lib/logger.ts';
import type { Metrics } from '../lib/metrics.ts';
import { createQuiet } from '../lib/quiet.ts';
import { timestampMs } from '../protocol/envelope.ts';
import { samplesOf } from '../protocol/unread-telemetry.ts';
import { createBatchWriter } from '../storage/batch-writer.ts';
import { type Database, isAboutDatabase, isWithoutPartition } from '../storage/database.ts';
import { createSampleStore, type SampleRow } from '../storage/telemetry-samples.ts';
import { creditFor, type Waiting } from './crowding.ts';
import { metricsOf, type Rates, ratesOf, ratesTold, type TrafficCounts, trafficOf } from './headline.ts';
import { problemOf, type TimeRules, timeOf } from './judge.ts';
import type { Partitions } from './partitions.ts';
import { readyAfter } from './rollups.ts';
import { createSampleReader, type SampleFacts } from './sample-reader.ts';
import { createShares } from './shares.ts';

/** Takes what agents measure: each sample is judged, stored once, and acknowledged when it is committed. */
export interface TelemetryIngest {
  /** Resolves when the samples are committed, or set aside for good: then they are counted and logged. */
  ingest(source: TelemetrySource, message: Telemetry): Promise<void>;
  /** TELEMETRY envelopes that an agent may have unacknowledged now, of so many: fewer while much waits, and none at last. */
  credit(most: number): number;
  /** Whether more waits than what the next commit takes. */
  isCrowded(): boolean;
  /** An agent is no more. */
  forget(agentId: string): Promise<void>;
  /** Resolves when nothing is under way. What cannot be stored now fails: it is not acknowledged, and comes again. */
  stop(): Promise<void>;
}

export interface TelemetrySource {
  agentId: string;
  /** Of the session. */
  bootId: Uint8Array;
}

export interface IngestDeps {
  database: Pick<Database, 'query' | 'transaction' | 'transactionsAtOnce'>;
  partitions: Pick<Partitions, 'ensure' | 'doubt'>;
  clock: Clock;
  metrics: Pick<Metrics, 'batchRows' | 'telemetrySamples' | 'telemetryMarked' | 'telemetryStoreSeconds'>;
  log: Logger;
  rules: TimeRules;
  /**
   * After the commit, with those that are new, and all. Around a break of the connection to the database it may be told
   * of some again. It does not throw.
   */
  stored(fresh: readonly SampleRow[], all: readonly SampleRow[]): Promise<void>;
}

/** Samples of one commit: small enough that nobody waits long for those of the others. */
const maximumBatch = 4000;
/** Commits under way at once; of few connections fewer, because others need them too. */
const batchesAtOnce = 3;
/** Samples of one agent in it, so that one that says much does not fill what the others wait for. */
const maximumEach = 200;
/** Samples of one agent in a second, after the first thousand: nobody measures so much, and what is stored is for all. */
const mostInSecond = 2000;
/**
 * What an agent may have sent already is taken all the same, and waits for as long as the database is away: credit is
 * the bound, and nobody is sent away.
 */
const unbounded = Number.POSITIVE_INFINITY;
/** Bytes of memory that a sample takes beside its own, about. */
const rowBytes = 512;
/** Milliseconds between two lines of the log on what one agent says wrong. */
const quietMs = 60_000;

export function createTelemetryIngest(deps: IngestDeps): TelemetryIngest {
  const { database, partitions, clock, metrics, log, rules } = deps;
  const outcome = (name: string) => metrics.telemetrySamples.labels({ outcome: name });
  const [stored, duplicate, setAside] = [outcome('stored'), outcome('duplicate'), outcome('set_aside')];
  const mark = (name: string) => metrics.telemetryMarked.labels({ mark: name });
  const [late, skewed] = [mark('late'), mark('skewed')];
  const rowsOfBatch = metrics.batchRows.labels({ writer: 'telemetry' });
  const traffic = new Map<string, TrafficCounts>();
  const quiet = createQuiet(quietMs);
  const sampleStore = createSampleStore(database);
  const shares = createShares(maximumEach, mostInSecond);
  const reader = createSampleReader();
  const underWay = new Set<Promise<void>>();
  const waiting: Waiting = { samples: 0, bytes: 0 };
  const stopping = new AbortController();
  /** Batches that may be committed, though the answer was lost; each is tried again. */
  const inDoubt = new WeakSet<readonly SampleRow[][]>();

  const writer = createBatchWriter<SampleRow[], void>({
    async write(frames) {
      const rows = byAgent(frames);
      const fresh = await storeWithin(frames, rows);
      stored.inc(fresh.length);
      duplicate.inc(rows.length - fresh.length);
      for (const row of fresh) {
        if (row.late) late.inc();
        if (row.skewed) skewed.inc();
      }
      await deps.stored(inDoubt.has(frames) ? rows : fresh, rows);
      return frames.map(() => undefined);
    },
    weight: (rows) => rows.length,
    maximumBatch,
    // While one waits for the disk others are made ready. Of the same samples each is stored by one of them.
    atOnce: Math.min(batchesAtOnce, Math.ceil(database.transactionsAtOnce / 3)),
    maximumWaiting: unbounded,
    retryForMs: unbounded,
    patience: stopping.signal,
    onBatch: (weight) => rowsOfBatch.observe(weight),
  });

  /** In partitions that are made where they are missing, once more where one turns out to be gone. */
  async function storeWithin(frames: readonly SampleRow[][], rows: readonly SampleRow[]) {
    const days = new Set(rows.map((row) => Math.floor(row.at.getTime() / 86_400_000)));
    const ensureAll = async () => {
      for (const day of days) await partitions.ensure(day * 86_400_000);
    };
    await ensureAll();
    try {
      return await storeOnce(frames, rows);
    } catch (error) {
      if (!isWithoutPartition(ViworksError.from(error))) throw error;
      partitions.doubt();
      await ensureAll();
      return storeOnce(frames, rows);
    }
  }

  async function storeOnce(
    frames: readonly SampleRow[][],
    rows: readonly SampleRow[],
  ): Promise<readonly SampleRow[]> {
    try {
      return await sampleStore.store(rows, readyAfter(clock.now()));
    } catch (error) {
      const known = ViworksError.from(error);
      if (known.retryable) inDoubt.add(frames);
      else if (isAboutDatabase(known)) throw notNow(known);
      throw error;
    }
  }

  /** No sample is at fault, and none is set aside. */
  function notNow(err: ViworksError): ViworksError {
    // No agent has this name.
    if (quiet.says('', clock.monotonic())) log.error({ err }, 'the database refuses samples; they wait');
    return new ViworksError('database_unavailable', 'The database takes no samples now.', { cause: err });
  }

  function refuse(agentId: string, problem: Partial<FieldProblem>, err?: unknown, samples = 1): void {
    setAside.inc(samples);
    if (quiet.says(agentId, clock.monotonic()))
      log.warn({ agentId, ...problem, err }, 'a sample that cannot be kept was set aside');
  }

  /** Of an agent that counts, and leaves the rest to others. */
  function ratesCounted(agentId: string, bootId: Uint8Array, sample: Sample, takenAt: number): Rates {
    const counts = trafficOf(sample, Buffer.from(bootId).toString('latin1'), takenAt);
    const rates = ratesOf(counts, traffic.get(agentId));
    traffic.set(agentId, counts);
    return rates;
  }

  /** The way of a sample that is not as nearly all are. Undefined where it cannot be kept. */
  function readWhole({ agentId, bootId }: TelemetrySource, bytes: Uint8Array): SampleFacts | undefined {
    let sample: Sample;
    try {
      sample = fromBinary(SampleSchema, bytes);
    } catch (error) {
      refuse(agentId, { problem: 'is not a Sample' }, error);
      return undefined;
    }
    const problem = problemOf(sample);
    if (problem !== undefined) {
      refuse(agentId, problem);
      return undefined;
    }
    const takenAt = timestampMs(sample.takenAt) ?? Number.NaN;
    const bootOf = sample.bootId.byteLength > 0 ? sample.bootId : bootId;
    const rates = ratesTold(sample) ?? ratesCounted(agentId, bootOf, sample, takenAt);
    const { late } = sample;
    const [number, dropped] = [Number(sample.number), Number(sample.dropped)];
    return { number, takenAt, bootId: sample.bootId, late, dropped, values: metricsOf(sample, rates) };
  }

  function rowsOf(source: TelemetrySource, samples: readonly Uint8Array[]): SampleRow[] {
    const receivedAt = clock.now();
    const received = new Date(receivedAt);
    const rows: SampleRow[] = [];
    for (const sample of samples) {
      const facts = reader.read(sample) ?? readWhole(source, sample);
      if (facts === undefined) continue;
      const { number, takenAt, bootId, late, dropped, values } = facts;
      const time = timeOf(takenAt, receivedAt, rules);
      rows.push({
        agentId: source.agentId,
        // What an agent keeps on its disk may be of a boot before this one.
        bootId: bootId.byteLength > 0 ? bootId.slice() : source.bootId,
        number,
        receivedAt: received,
        at: new Date(time.at),
        late: time.late || late,
        waited: late,
        dropped,
        skewed: time.skewed,
        claimedAt: time.skewed && takenAt >= 0 && takenAt <= lastMoment ? new Date(takenAt) : null,
        cpu: calculable(values.cpu),
        memory: calculable(values.memory),
        swap: calculable(values.swap),
        disk: calculable(values.disk),
        load: calculable(values.load),
        received: calculable(values.received),
        sent: calculable(values.sent),
        sample,
      });
    }
    return rows;
  }

  /** @throws database_unavailable */
  async function storeAll(rows: SampleRow[]): Promise<void> {
    try {
      await writer.add(rows);
    } catch (error) {
      const known = ViworksError.from(error);
      if (known.retryable) throw known;
      // One of them is at fault and must not take the others with it.
      const [row] = rows;
      if (rows.length > 1) await Promise.all(rows.map((one) => storeAll([one])));
      else if (row !== undefined) refuse(row.agentId, {}, known);
    }
  }

  return {
    async ingest(source, message) {
      const samples = samplesOf(message);
      if (samples.length === 0 || samples.length > 100)
        return refuse(
          source.agentId,
          { field: 'samples', problem: 'must be 1 to 100' },
          undefined,
          samples.length,
        );
      const began = clock.monotonic();
      const rows = rowsOf(source, samples);
      if (rows.length === 0) return;
      const bytes = rows.reduce((sum, { sample }) => sum + sample.byteLength + rowBytes, 0);
      waiting.samples += rows.length;
      waiting.bytes += bytes;
      const done = shares.take(source.agentId, rows.length, () => storeAll(rows));
      underWay.add(done);
      try {
        await done;
      } finally {
        underWay.delete(done);
        waiting.samples -= rows.length;
        waiting.bytes -= bytes;
      }
      metrics.telemetryStoreSeconds.observe((clock.monotonic() - began) / 1000);
    },
    credit: (most) => creditFor(waiting, most),
    isCrowded: () => waiting.samples > maximumBatch,
    async forget(agentId) {
      traffic.delete(agentId);
    },
    async stop() {
      stopping.abort();
      while (underWay.size > 0) await Promise.allSettled(underWay);
    },
  };
}

/** Below it a number is nothing: half of the smallest there is, PostgreSQL refuses to work out. */
const leastMeasure = 1e-100;
const calculable = (value: number | null): number | null =>
  value !== null && Math.abs(value) < leastMeasure ? 0 : value;

/**
 * The samples of each agent side by side, in their order: so they lie in the table, and whoever reads those of one agent
 * reads fewer pages.
 */
function byAgent(frames: readonly SampleRow[][]): SampleRow[] {
  const agents = Map.groupBy(frames, ([first]) => first?.agentId ?? '');
  return [...agents.keys()].sort().flatMap((agent) => agents.get(agent)?.flat() ?? []);
}
