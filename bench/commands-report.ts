import type { CommandsResult, LifecycleSample } from './commands-result.ts';
import { figure, quantile, spreadOf, spreadText, table } from './support/figures.ts';

/** The figures of a run for people: the median of the rounds, and the lowest and the highest beside it. */
export function commandsReport(result: CommandsResult): string {
  const { facts, redis } = result;
  return [
    `ViWorkS ${facts.viworks}, Node ${facts.node}, PostgreSQL ${facts.postgresql}, Linux ${facts.kernel}`,
    `${facts.cores} × ${facts.processor}, ${facts.memoryGiB} GiB, shared by all processes; ${facts.at}`,
    `fsync=${facts.fsync}, synchronous_commit=${facts.synchronousCommit}, loopback, clear text; ` +
      (redis === undefined
        ? 'redis-server is not installed: BullMQ is left out'
        : `Redis ${redis}, appendonly, appendfsync=always`),
    '',
    'Lifecycles: submit, durable, to the agent over HTTP/2 and back, durable result',
    lifecycleTable(result.lifecycles),
    '',
    'At a steady rate: milliseconds from submit to the committed result',
    pacedTable(result),
    '',
    'One command to every connected agent: milliseconds until it is durable, and until every result is',
    table(
      ['agents', 'durable', 'all results', 'target'],
      grouped(result.fanOut, (sample) => `${sample.agents}`).map((samples) => {
        const all = spreadOf(samples.map((sample) => sample.allMs));
        return [
          figure(samples[0]?.agents ?? 0),
          spreadText(spreadOf(samples.map((sample) => sample.submitMs))),
          spreadText(all),
          verdict(all.median <= 3000, '≤ 3,000'),
        ];
      }),
    ),
    '',
    'Job queues, the same payload: added, and worked off by a function that does nothing in the same process',
    peerTable(result),
  ].join('\n');
}

const verdict = (met: boolean, target: string) => `${target}: ${met ? 'met' : 'missed'}`;
const targets = new Map([
  [1000, 10_000],
  [10_000, 5000],
]);

const grouped = <T>(samples: readonly T[], key: (sample: T) => string): T[][] => [
  ...Map.groupBy(samples, key).values(),
];

function lifecycleTable(samples: readonly LifecycleSample[]): string {
  return table(
    [
      'agents',
      'under way',
      'per second',
      'p50 ms',
      'p99 ms',
      'server µs',
      'PostgreSQL µs',
      'agents µs',
      'sum',
      'server MB',
      'target',
    ],
    grouped(samples, (sample) => `${sample.agents}`).map((rounds) => {
      const median = (pick: (sample: LifecycleSample) => number) => quantile(rounds.map(pick), 0.5);
      const rate = spreadOf(rounds.map((sample) => sample.perSecond));
      const { agents = 0, outstanding = 0 } = rounds[0] ?? {};
      const times = rounds.flatMap((sample) => sample.latency);
      const cpu = [
        median((sample) => sample.cpu.server),
        median((sample) => sample.cpu.postgres),
        median((sample) => sample.cpu.agents),
      ];
      const target = targets.get(agents);
      return [
        figure(agents),
        figure(outstanding),
        spreadText(rate),
        figure(quantile(times, 0.5)),
        figure(quantile(times, 0.99)),
        ...[...cpu, cpu.reduce((sum, each) => sum + each, 0)].map(figure),
        figure(median((sample) => sample.resident) / 1e6),
        target === undefined ? '' : verdict(rate.median >= target, `≥ ${figure(target)}`),
      ];
    }),
  );
}

function pacedTable({ paced, peers }: CommandsResult): string {
  const times = (latency: number[]) => [0.5, 0.99].map((share) => figure(quantile(latency, share)));
  const ours = grouped(paced, (sample) => `${sample.agents}`).map((rounds) => {
    const latency = rounds.flatMap((sample) => sample.latency);
    return [
      `ViWorkS, ${figure(rounds[0]?.agents ?? 0)} agents`,
      figure(rounds[0]?.perSecond ?? 0),
      ...times(latency),
      verdict(quantile(latency, 0.99) <= 50, 'p99 ≤ 50'),
    ];
  });
  const theirs = grouped(peers, (sample) => sample.name).map((rounds) => [
    rounds[0]?.name ?? '',
    figure(rounds[0]?.pacePerSecond ?? 0),
    ...times(rounds.flatMap((sample) => sample.latency)),
    '',
  ]);
  return table(['what', 'per second', 'p50', 'p99', 'target'], [...ours, ...theirs]);
}

function peerTable({ peers }: CommandsResult): string {
  return table(
    ['queue', 'added/s', 'executed/s', 'both/s', 'process µs', 'store µs', 'process MB'],
    grouped(peers, (sample) => sample.name).map((rounds) => {
      const median = (pick: (sample: (typeof peers)[number]) => number) => quantile(rounds.map(pick), 0.5);
      const both = rounds.map(
        ({ addPerSecond, executePerSecond }) => 1 / (1 / addPerSecond + 1 / executePerSecond),
      );
      return [
        rounds[0]?.name ?? '',
        spreadText(spreadOf(rounds.map((sample) => sample.addPerSecond))),
        spreadText(spreadOf(rounds.map((sample) => sample.executePerSecond))),
        spreadText(spreadOf(both)),
        figure(median((sample) => sample.cpu.process)),
        figure(median((sample) => sample.cpu.store)),
        figure(median((sample) => sample.resident) / 1e6),
      ];
    }),
  );
}
