import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Benchmark, BenchOptions } from './benchmark.ts';
import type { ServerCalls, ServerHears } from './server-process.ts';
import { type Child, startChild } from './support/child.ts';
import { type Counter, createCounter } from './support/counter.ts';
import { type Facts, readFacts } from './support/facts.ts';
import { figure, spreadOf, spreadText, table } from './support/figures.ts';
import { type Fleet, startFleet } from './support/fleet.ts';
import { sampleBytes } from './support/fleet-measuring.ts';
import { cpuBelow, cpuOf } from './support/usage.ts';
import { type FlooderSample, flooderReport, measureFlooder } from './telemetry-flooder.ts';
import { type InsertSample, insertKinds, measureInserts } from './telemetry-peers.ts';

/** Telemetry: samples that are durable and acknowledged in a second, and what each costs. */

interface Plan {
  rounds: number;
  agents: number;
  /** Envelopes of each agent that are unacknowledged at once. */
  outstanding: number;
  /** Samples in an envelope. */
  frames: readonly number[];
  warmUpMs: number;
  windowMs: number;
}

const fullPlan: Plan = {
  rounds: 3,
  agents: 200,
  outstanding: 12,
  frames: [1, 10],
  warmUpMs: 2000,
  windowMs: 5000,
};
const quickPlan: Plan = { ...fullPlan, rounds: 1, agents: 50, warmUpMs: 500, windowMs: 1000 };

/** Samples a second by samples in an envelope, on two cores. */
const targets = new Map([
  [1, 20_000],
  [10, 100_000],
]);

interface IngestSample {
  secured: boolean;
  /** Samples in an envelope. */
  each: number;
  perSecond: number;
  /** Microseconds of CPU time for each sample. */
  cpu: { server: number; postgres: number; agents: number };
}

interface TelemetryResult {
  facts: Facts;
  agents: number;
  ingest: IngestSample[];
  inserts: InsertSample[];
  flooder: FlooderSample[];
}

export const telemetry: Benchmark = {
  name: 'telemetry',
  summary:
    'samples acknowledged a second, one and ten an envelope, beside plain inserts; one flooder among many',
  async run(options) {
    const result = await measureAll(options.quick ? quickPlan : fullPlan, options);
    return { result, report: reportOf(result) };
  },
};

type Server = Child<ServerCalls, Record<string, never>, ServerHears>;

async function measureAll(plan: Plan, { progress, profile }: BenchOptions): Promise<TelemetryResult> {
  const folder = await mkdtemp(join(tmpdir(), 'viworks-bench-'));
  const server: Server = startChild(new URL('server-process.ts', import.meta.url));
  const [fleet, flooder] = [startFleet(), startFleet()];
  try {
    const dataDir = join(folder, 'control-plane');
    const { agentUrl: url, enrollmentToken: token } = await server.call('start', { dataDir });
    const result: TelemetryResult = {
      facts: await readFacts(dataDir),
      agents: plan.agents,
      ingest: [],
      inserts: [],
      flooder: [],
    };
    await fleet.call('enroll', { url, token, count: plan.agents });
    const stored = createCounter();
    fleet.on('settled', stored.add);
    for (let round = 1; round <= plan.rounds; round++) {
      for (const each of plan.frames) {
        for (const secured of [false, true]) {
          progress(`${each} an envelope, ${secured ? 'sealed' : 'not sealed'}, round ${round}`);
          const measuring = { each, outstanding: plan.outstanding };
          await fleet.call('connect', { url, secured, count: plan.agents, measuring });
          const profiled = profile !== undefined && round === 1 && !secured;
          if (profiled) await server.call('startProfile');
          result.ingest.push({ secured, each, ...(await measureIngest(plan, server, fleet, stored)) });
          if (profiled)
            await server.call('stopProfile', { file: join(profile, `telemetry-${each}.cpuprofile`) });
          await fleet.call('disconnect');
        }
      }
      for (const kind of insertKinds) {
        progress(`${kind}, round ${round}`);
        result.inserts.push(await measureInserts(kind, { dataDir, owner: server.pid, ms: plan.windowMs }));
      }
    }
    await flooder.call('enroll', { url, token, count: 1, first: plan.agents });
    for (let round = 1; round <= plan.rounds; round++) {
      progress(`one flooder among ${plan.agents}, round ${round}`);
      result.flooder.push(await measureFlooder(fleet, flooder, { ...plan, url }));
    }
    return result;
  } finally {
    await flooder.end();
    await fleet.end();
    await server.end();
    await rm(folder, { recursive: true, force: true });
  }
}

async function measureIngest(
  plan: Plan,
  server: Server,
  fleet: Fleet,
  stored: Counter,
): Promise<Pick<IngestSample, 'perSecond' | 'cpu'>> {
  const cpu = async () =>
    [await cpuOf(server.pid), await cpuBelow(server.pid), await cpuOf(fleet.pid)] as const;
  await delay(plan.warmUpMs);
  const [before, first, begun] = [await cpu(), stored.total, performance.now()];
  await delay(plan.windowMs);
  const [ended, last, after] = [performance.now(), stored.total, await cpu()];
  const count = last - first;
  const each = (index: 0 | 1 | 2) => ((after[index] - before[index]) * 1000) / count;
  return {
    perSecond: (count * 1000) / (ended - begun),
    cpu: { server: each(0), postgres: each(1), agents: each(2) },
  };
}

function reportOf({ facts, agents, ingest, inserts, flooder }: TelemetryResult): string {
  const ingestRow = (each: number, secured: boolean): string[] => {
    const samples = ingest.filter((sample) => sample.each === each && sample.secured === secured);
    const of = (value: (sample: IngestSample) => number) => spreadText(spreadOf(samples.map(value)));
    const target = targets.get(each);
    const met = target !== undefined && spreadOf(samples.map(({ perSecond }) => perSecond)).median >= target;
    return [
      `${each} an envelope, ${secured ? 'sealed' : 'not sealed'}`,
      of((sample) => sample.perSecond),
      of((sample) => sample.cpu.server),
      of((sample) => sample.cpu.postgres),
      of((sample) => sample.cpu.agents),
      target === undefined ? '' : `≥ ${figure(target)}: ${met ? 'met' : 'missed'}`,
    ];
  };
  const insertRow = (kind: string): string[] => {
    const samples = inserts.filter((sample) => sample.kind === kind);
    const of = (value: (sample: InsertSample) => number) => spreadText(spreadOf(samples.map(value)));
    return [
      kind,
      of((sample) => sample.perSecond),
      of((sample) => sample.cpu.server),
      of((sample) => sample.cpu.postgres),
      '',
      '',
    ];
  };
  const sizes = [...new Set(ingest.map(({ each }) => each))];
  return [
    `ViWorkS ${facts.viworks}, Node ${facts.node}, PostgreSQL ${facts.postgresql}, Linux ${facts.kernel}`,
    `${facts.cores} × ${facts.processor}, ${facts.memoryGiB} GiB, shared by all processes; ${facts.at}`,
    `fsync=${facts.fsync}, synchronous_commit=${facts.synchronousCommit}, loopback, clear text`,
    '',
    `Samples of ${agents} agents with ${sampleBytes} bytes each, durable and acknowledged; µs of CPU time for each. The`,
    'inserts below have no agents, no sessions, no roll-ups and one table without partitions.',
    table(
      ['samples', 'a second', 'server', 'PostgreSQL', 'agents', 'target'],
      [
        ...sizes.flatMap((each) => [ingestRow(each, false), ingestRow(each, true)]),
        ...insertKinds.map(insertRow),
      ],
    ),
    '',
    flooderReport(agents, flooder),
  ].join('\n');
}
