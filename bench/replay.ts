import { create } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { TelemetrySchema } from '#gen/viworks/agent/v1/telemetry_pb.js';
import type { Telemetry } from '../src/telemetry/telemetry.ts';
import type { Benchmark, BenchOptions } from './benchmark.ts';
import { compare, levels, same } from './replay-compare.ts';
import { measureReads, type ReadSample, readsTable } from './replay-reads.ts';
import { figure, table } from './support/figures.ts';
import { type OwnTelemetry, withTelemetry } from './support/own-telemetry.ts';
import { makeDay, midnight, minuteMs, noteArrival, type ReplayDay, stepMs } from './support/replay-day.ts';

/**
 * A proof more than a benchmark: a day of telemetry goes through the real ingest and roll-ups on a real PostgreSQL, and
 * every count and every span has to be what an independent computation says.
 */

const fullAgents = 1000;
const quickAgents = 30;
const seed = 20_260_302;
const samplesInFrame = 50;

interface ReplayResult {
  agents: number;
  samples: number;
  deliveries: number;
  skewed: number;
  /** Roll-ups that were compared, by the table. */
  spans: Record<string, number>;
  /** Seconds. */
  took: { ingest: number; rollups: number; comparing: number };
  reads: ReadSample[];
}

export const replay: Benchmark = {
  name: 'replay',
  summary: 'a day of 1,000 agents, again, late and in disorder: counts and roll-ups are what they should be',
  onlyByName: true,
  async run(options) {
    const result = await replayDay(options.quick ? quickAgents : fullAgents, options);
    return { result, report: reportOf(result) };
  },
};

function replayDay(count: number, { progress }: BenchOptions): Promise<ReplayResult> {
  return withTelemetry(midnight, async (own) => {
    const { telemetry, store, metrics, time } = own;
    progress(`making the day of ${count} agents`);
    const day = makeDay(count, seed);
    const counts = await sendDay(day, own, progress);
    const begun = performance.now();
    time.now += 3 * 60 * minuteMs;
    // Each level leads to the next after a moment.
    for (const _ of levels) {
      await rollUpAll(telemetry);
      time.now += 60 * minuteMs;
    }
    const rollups = counts.rollups + (performance.now() - begun);
    progress('comparing');
    const counted = async (counter: 'telemetrySamples' | 'telemetryMarked', label: string) =>
      (await metrics[counter].get()).values.find(({ labels }) => Object.values(labels).includes(label))
        ?.value ?? 0;
    same('stored', await counted('telemetrySamples', 'stored'), counts.stored);
    same('duplicates', await counted('telemetrySamples', 'duplicate'), day.deliveries - counts.stored);
    same('set aside', await counted('telemetrySamples', 'set_aside'), 0);
    same('skewed', await counted('telemetryMarked', 'skewed'), counts.skewed);
    same('told to listeners', counts.told, counts.stored);
    const comparing = performance.now();
    const spans = await compare(day, store);
    const compared = (performance.now() - comparing) / 1000;
    progress('reading');
    const names = day.agents.map(({ agentId }) => agentId);
    await own.register(names);
    return {
      agents: count,
      samples: counts.stored,
      deliveries: day.deliveries,
      skewed: counts.skewed,
      spans,
      took: {
        ingest: counts.ingest / 1000,
        rollups: rollups / 1000,
        comparing: compared,
      },
      reads: await measureReads(own, names, [midnight]),
    };
  });
}

/** Another one may be at it: then it is done when that is. */
async function rollUpAll(telemetry: Pick<Telemetry, 'rollUp'>): Promise<void> {
  while ((await telemetry.rollUp()) > 0);
}

async function sendDay(
  { agents, steps }: ReplayDay,
  { telemetry, time }: OwnTelemetry,
  progress: (text: string) => void,
) {
  const counts = { stored: 0, skewed: 0, told: 0, ingest: 0, rollups: 0 };
  telemetry.onStored((samples) => {
    for (const { superseded = 0 } of samples) counts.told += 1 + superseded;
  });
  for (const [step, deliveries] of steps.entries()) {
    const now = midnight + step * stepMs;
    time.now = now;
    if (step % 6 === 0)
      progress(`${step / 6} h of ${Math.ceil(steps.length / 6)} h, ${counts.stored} samples`);
    const lists = new Map<string, { agentId: string; boot: number; samples: number[]; agent: number }>();
    for (const { agent, sample } of deliveries) {
      const one = agents[agent];
      if (one === undefined) continue;
      const outcome = noteArrival(one, sample, now);
      if (outcome !== 'again') counts.stored += 1;
      if (outcome === 'skewed') counts.skewed += 1;
      const boot = one.boot[sample] ?? 0;
      const key = `${agent} ${boot}`;
      const list = lists.get(key) ?? { agentId: one.agentId, boot, samples: [], agent };
      list.samples.push(sample);
      lists.set(key, list);
    }
    const begun = performance.now();
    await Promise.all(
      [...lists.values()].map(async ({ agentId, boot, samples, agent }) => {
        const one = agents[agent];
        const bootId = new Uint8Array(16).fill(boot + 1);
        for (let from = 0; from < samples.length; from += samplesInFrame) {
          const some = samples.slice(from, from + samplesInFrame).map((sample) => {
            const cpu = one?.cpu[sample] ?? Number.NaN;
            return {
              number: BigInt(one?.number[sample] ?? 0),
              takenAt: timestampFromMs(one?.takenAt[sample] ?? 0),
              cpu: { usedPercent: cpu, cores: 2, load1m: cpu / 8 },
            };
          });
          await telemetry.ingest({ agentId, bootId }, create(TelemetrySchema, { samples: some }));
        }
      }),
    );
    const stored = performance.now();
    await telemetry.rollUp();
    counts.ingest += stored - begun;
    counts.rollups += performance.now() - stored;
  }
  return counts;
}

const reportOf = ({ agents, samples, deliveries, skewed, spans, took, reads }: ReplayResult): string =>
  [
    `A day of ${figure(agents)} agents at 30 s: a tenth up to six hours late, a tenth again, in disorder, with restarts and`,
    'gaps; a tenth of the agents with a clock an hour ahead, a tenth 40 minutes behind. All is equal to what was worked out.',
    table(
      ['what', 'count'],
      [
        ['samples sent', figure(deliveries)],
        ['samples stored, each once', figure(samples)],
        ['with the time of the server', figure(skewed)],
        ...Object.entries(spans).map(([name, count]) => [name, figure(count)]),
      ],
    ),
    `Seconds: ${figure(took.ingest)} for samples, ${figure(took.rollups)} for roll-ups, ${figure(took.comparing)} to compare.`,
    '',
    readsTable('read then, one after the other', reads),
  ].join('\n');
