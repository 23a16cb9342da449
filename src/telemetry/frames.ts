import { fromBinary } from '@bufbuild/protobuf';
import { type Sample, SampleSchema } from '#gen/viworks/agent/v1/telemetry_pb.js';
import type { FieldProblem } from '../errors.ts';
import { type Clock, lastMoment } from '../lib/clock.ts';
import { timestampMs } from '../protocol/envelope.ts';
import type { SerialisedSamples } from '../protocol/unread-telemetry.ts';
import { fact, factsEach, marks, metricAt, newFrame, type SampleFrame } from '../storage/sample-frames.ts';
import { telemetryMetrics } from '../storage/telemetry-metrics.ts';
import { metricsOf, type Rates, ratesOf, ratesTold, type TrafficCounts, trafficOf } from './headline.ts';
import { problemOf, type TimeRules, timeOf } from './judge.ts';
import { createSampleReader } from './sample-reader.ts';

/** Makes frames of what agents say: each sample is judged, and what cannot be kept is left out. */
export interface FrameReader {
  /** Those of the samples that can be kept. */
  read(source: TelemetrySource, samples: SerialisedSamples): SampleFrame;
  /** An agent is no more. */
  forget(agentId: string): void;
}

export interface TelemetrySource {
  agentId: string;
  /** Of the session. */
  bootId: Uint8Array;
}

export interface FrameReaderDeps {
  clock: Pick<Clock, 'now'>;
  rules: TimeRules;
  /** A sample cannot be kept. */
  refuse(agentId: string, problem: Partial<FieldProblem>, err?: unknown): void;
}

/** Below it a number is nothing: half of the smallest there is, PostgreSQL refuses to work out. */
const leastMeasure = 1e-100;

export function createFrameReader({ clock, rules, refuse }: FrameReaderDeps): FrameReader {
  const traffic = new Map<string, TrafficCounts>();
  const reader = createSampleReader();

  /** Of an agent that counts, and leaves the rest to others. */
  function ratesCounted(agentId: string, bootId: Uint8Array, sample: Sample, takenAt: number): Rates {
    const counts = trafficOf(sample, Buffer.from(bootId).toString('latin1'), takenAt);
    const rates = ratesOf(counts, traffic.get(agentId));
    traffic.set(agentId, counts);
    return rates;
  }

  /** The way of a sample that is not as nearly all are; as the reader's. */
  function readWhole(
    { agentId, bootId }: TelemetrySource,
    bytes: Uint8Array,
    facts: number[],
    first: number,
  ): Uint8Array | undefined {
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
    const values = metricsOf(sample, rates);
    facts[first + fact.number] = Number(sample.number);
    facts[first + fact.at] = takenAt;
    facts[first + fact.marks] = sample.late ? marks.waited : 0;
    facts[first + fact.dropped] = Number(sample.dropped);
    for (const name of telemetryMetrics)
      facts[first + fact.metrics + metricAt[name]] = values[name] ?? Number.NaN;
    return bootOf;
  }

  function read(source: TelemetrySource, { bytes, places }: SerialisedSamples): SampleFrame {
    const receivedAt = clock.now();
    const frame = newFrame(source.agentId, new Date(receivedAt), places.length / 2, bytes);
    const { facts, boots } = frame;
    for (let place = 0; place < places.length; place += 2) {
      const first = frame.size * factsEach;
      const [from, to] = [places[place] ?? 0, places[place + 1] ?? 0];
      const boot =
        reader.read(bytes, from, to, facts, first) ??
        readWhole(source, bytes.subarray(from, to), facts, first);
      if (boot === undefined) continue;
      // What an agent keeps on its disk may be of a boot before this one.
      boots.push(boot.byteLength > 0 ? boot : source.bootId);
      facts[first + fact.from] = from;
      facts[first + fact.to] = to;
      judge(facts, first, receivedAt);
      frame.size += 1;
    }
    return frame;
  }

  function judge(facts: number[], first: number, receivedAt: number): void {
    const takenAt = facts[first + fact.at] as number;
    const waited = facts[first + fact.marks] as number;
    const time = timeOf(takenAt, receivedAt, rules);
    facts[first + fact.at] = time.at;
    facts[first + fact.marks] =
      waited | (time.late || waited !== 0 ? marks.late : 0) | (time.skewed ? marks.skewed : 0);
    const known = time.skewed && takenAt >= 0 && takenAt <= lastMoment;
    facts[first + fact.claimedAt] = known ? Math.floor(takenAt) : Number.NaN;
    for (let metric = first + fact.metrics; metric < first + factsEach; metric++)
      if (Math.abs(facts[metric] as number) < leastMeasure) facts[metric] = 0;
  }

  return { read, forget: (agentId) => void traffic.delete(agentId) };
}
