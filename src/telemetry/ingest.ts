import type { Telemetry } from '#gen/viworks/agent/v1/telemetry_pb.js';
import { type FieldProblem, ViworksError } from '../errors.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/logger.ts';
import type { Metrics } from '../lib/metrics.ts';
import { createQuiet } from '../lib/quiet.ts';
import { samplesOf } from '../protocol/unread-telemetry.ts';
import { createBatchWriter } from '../storage/batch-writer.ts';
import { type Database, isAboutDatabase, isWithoutPartition } from '../storage/database.ts';
import {
  countMarks,
  eachTime,
  marks,
  type SampleFrame,
  samplesIn,
  splitFrame,
} from '../storage/sample-frames.ts';
import { createSampleStore, type StoredSamples } from '../storage/telemetry-samples.ts';
import { creditFor, type Waiting } from './crowding.ts';
import { createFrameReader, type TelemetrySource } from './frames.ts';
import type { TimeRules } from './judge.ts';
import type { Partitions } from './partitions.ts';
import { readyAfter } from './rollups.ts';
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
  stored(fresh: StoredSamples, all: readonly SampleFrame[]): Promise<void>;
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
  const quiet = createQuiet(quietMs);
  const sampleStore = createSampleStore(database);
  const shares = createShares(maximumEach, mostInSecond);
  const frames = createFrameReader({ clock, rules, refuse });
  const underWay = new Set<Promise<void>>();
  const waiting: Waiting = { samples: 0, bytes: 0 };
  const stopping = new AbortController();
  /** Batches that may be committed, though the answer was lost; each is tried again. */
  const inDoubt = new WeakSet<readonly SampleFrame[]>();

  const writer = createBatchWriter<SampleFrame, void>({
    async write(frames) {
      const fresh = await storeWithin(frames);
      const [count, freshCount] = [samplesIn(frames), samplesIn(fresh.frames) + fresh.rows.length];
      stored.inc(freshCount);
      duplicate.inc(count - freshCount);
      late.inc(countMarks(fresh.frames, marks.late) + fresh.rows.filter((row) => row.late).length);
      skewed.inc(countMarks(fresh.frames, marks.skewed) + fresh.rows.filter((row) => row.skewed).length);
      // Around a break of the connection all of them may be new.
      await deps.stored(inDoubt.has(frames) ? { frames, rows: [] } : fresh, frames);
      return frames.map(() => undefined);
    },
    weight: ({ size }) => size,
    maximumBatch,
    // While one waits for the disk others are made ready. Of the same samples each is stored by one of them.
    atOnce: Math.min(batchesAtOnce, Math.ceil(database.transactionsAtOnce / 3)),
    maximumWaiting: unbounded,
    retryForMs: unbounded,
    patience: stopping.signal,
    onBatch: (weight) => rowsOfBatch.observe(weight),
  });

  /** In partitions that are made where they are missing, once more where one turns out to be gone. */
  async function storeWithin(frames: readonly SampleFrame[]): Promise<StoredSamples> {
    const days = new Set<number>();
    for (const frame of frames) eachTime(frame, (at) => days.add(Math.floor(at / 86_400_000)));
    const ensureAll = async () => {
      for (const day of days) await partitions.ensure(day * 86_400_000);
    };
    await ensureAll();
    try {
      return await storeOnce(frames);
    } catch (error) {
      if (!isWithoutPartition(ViworksError.from(error))) throw error;
      partitions.doubt();
      await ensureAll();
      return storeOnce(frames);
    }
  }

  async function storeOnce(frames: readonly SampleFrame[]): Promise<StoredSamples> {
    try {
      return await sampleStore.store(byAgent(frames), readyAfter(clock.now()));
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

  /** @throws database_unavailable */
  async function storeAll(frame: SampleFrame): Promise<void> {
    try {
      await writer.add(frame);
    } catch (error) {
      const known = ViworksError.from(error);
      if (known.retryable) throw known;
      // One of them is at fault and must not take the others with it.
      if (frame.size > 1) await Promise.all(splitFrame(frame).map((one) => storeAll(one)));
      else refuse(frame.agentId, {}, known);
    }
  }

  return {
    async ingest(source, message) {
      const samples = samplesOf(message);
      const count = samples.places.length / 2;
      if (count === 0 || count > 100)
        return refuse(source.agentId, { field: 'samples', problem: 'must be 1 to 100' }, undefined, count);
      const began = clock.monotonic();
      const frame = frames.read(source, samples);
      const { size } = frame;
      if (size === 0) return;
      const bytes = samples.bytes.byteLength + size * rowBytes;
      waiting.samples += size;
      waiting.bytes += bytes;
      const done = shares.take(source.agentId, size, () => storeAll(frame));
      underWay.add(done);
      try {
        await done;
      } finally {
        underWay.delete(done);
        waiting.samples -= size;
        waiting.bytes -= bytes;
      }
      metrics.telemetryStoreSeconds.observe((clock.monotonic() - began) / 1000);
    },
    credit: (most) => creditFor(waiting, most),
    isCrowded: () => waiting.samples > maximumBatch,
    async forget(agentId) {
      frames.forget(agentId);
    },
    async stop() {
      stopping.abort();
      while (underWay.size > 0) await Promise.allSettled(underWay);
    },
  };
}

/**
 * The samples of each agent side by side, in their order: so they lie in the table, and whoever reads those of one agent
 * reads fewer pages.
 */
const byAgent = (frames: readonly SampleFrame[]): SampleFrame[] =>
  frames.toSorted((a, b) => (a.agentId === b.agentId ? 0 : a.agentId < b.agentId ? -1 : 1));
