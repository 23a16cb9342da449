import type { AgentMemorySample, LatencySamples, RateSample, RoundtripResult } from './roundtrip-result.ts';
import { figure, quantile, spreadOf, spreadText, table } from './support/figures.ts';

/** The figures of a run for people: the median of the rounds, and the lowest and the highest beside it. */
export function roundtripReport(result: RoundtripResult): string {
  const { facts } = result;
  const packages = Object.entries(facts.packages).map(([name, version]) => `${name} ${version}`);
  return [
    `ViWorkS ${facts.viworks}, Node ${facts.node}, PostgreSQL ${facts.postgresql}, Linux ${facts.kernel}`,
    packages.join(', '),
    `${facts.cores} × ${facts.processor}, ${facts.memoryGiB} GiB, shared by all processes; ${facts.at}`,
    `fsync=${facts.fsync}, synchronous_commit=${facts.synchronousCommit}, loopback, clear text`,
    '',
    'Round trip of one durable command on an idle system, ms',
    latencyTable(result.latency),
    '',
    'Commands a second to committed results, and CPU time of each process per command, µs',
    rateTable(result.rates),
    '',
    'Memory of the control plane, without the database',
    memoryTable(result.idleBytes, result.agentMemory),
  ].join('\n');
}

/** What the figures should be at least; api alone, because it is what an application sees. */
const targets = { p50: 5, p99: 20, idleMB: 200, agentKB: 100 };

const milestones: Record<LatencySamples['path'], string> = {
  api: 'result seen by a watcher',
  submit: 'submit returned (durable)',
  core: 'result committed, in process',
};

const verdict = (value: number, target: number) => `≤ ${target}: ${value <= target ? 'met' : 'missed'}`;

function latencyTable(latency: readonly LatencySamples[]): string {
  return table(
    ['until', 'transport', 'samples', 'p50', 'p99', 'max', 'target p50', 'target p99'],
    latency.map(({ path, transport, rounds }) => {
      const p50 = spreadOf(rounds.map((times) => quantile(times, 0.5)));
      const all = rounds.flat();
      const p99 = quantile(all, 0.99);
      const checks =
        path === 'api' ? [verdict(p50.median, targets.p50), verdict(p99, targets.p99)] : ['', ''];
      return [
        milestones[path],
        transport,
        String(all.length),
        spreadText(p50),
        figure(p99),
        figure(Math.max(...all)),
        ...checks,
      ];
    }),
    2,
  );
}

function rateTable(rates: readonly RateSample[]): string {
  const groups = Map.groupBy(rates, ({ path, transport, agents }) => `${path} ${transport} ${agents}`);
  return table(
    ['path', 'transport', 'agents', 'commands/s', 'control plane', 'PostgreSQL', 'agents', 'load', 'sum'],
    [...groups.values()].map((rounds) => {
      const median = (pick: (sample: RateSample) => number) => quantile(rounds.map(pick), 0.5);
      const [first] = rounds;
      const cpu = [
        median((s) => s.cpu.server),
        median((s) => s.cpu.postgres),
        median((s) => s.cpu.agents),
        median((s) => s.cpu.load),
      ];
      return [
        first?.path ?? '',
        first?.transport ?? '',
        String(first?.agents),
        spreadText(spreadOf(rounds.map((sample) => sample.perSecond))),
        ...[...cpu, cpu.reduce((sum, each) => sum + each, 0)].map(figure),
      ];
    }),
    2,
  );
}

function memoryTable(idleBytes: number, samples: readonly AgentMemorySample[]): string {
  const groups = Map.groupBy(samples, ({ transport }) => transport);
  const idle = idleBytes / 1e6;
  return table(
    ['what', 'in memory', 'heap', 'target'],
    [
      ['viworks serve, idle', `${figure(idle)} MB`, '', verdict(idle, targets.idleMB)],
      ...Array.from(groups, ([transport, rounds]) => {
        const resident = spreadOf(rounds.map((sample) => sample.resident / 1000));
        const heap = spreadOf(rounds.map((sample) => sample.heap / 1000));
        return [
          `a connected agent by ${transport} (of ${rounds[0]?.agents})`,
          `${spreadText(resident)} KB`,
          `${spreadText(heap)} KB`,
          verdict(resident.median, targets.agentKB),
        ];
      }),
    ],
  );
}
