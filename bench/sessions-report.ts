import type {
  HandshakeSample,
  MemorySample,
  SecuritySample,
  SessionsResult,
  StormSample,
} from './sessions-result.ts';
import { figure, quantile, spreadOf, spreadText, table } from './support/figures.ts';

/** The figures of a run for people: the median of the rounds, and the lowest and the highest beside it. */
export function sessionsReport({ facts, handshakes, memory, storms, commands }: SessionsResult): string {
  return [
    `ViWorkS ${facts.viworks}, Node ${facts.node}, PostgreSQL ${facts.postgresql}, Linux ${facts.kernel}`,
    `${facts.cores} × ${facts.processor}, ${facts.memoryGiB} GiB, shared by all processes; ${facts.at}`,
    `fsync=${facts.fsync}, synchronous_commit=${facts.synchronousCommit}, loopback, clear text unless it says TLS`,
    '',
    'Handshakes: connection, HELLO to WELCOME, the session in the database; µs of CPU time for each',
    table(
      ['sessions', 'agents', 'per second', 'server', 'PostgreSQL', 'agent'],
      [false, true].map((secured) => handshakeRow(handshakes, secured)),
    ),
    '',
    'Memory: by which a fresh control plane grows for each agent; KB',
    table(['sessions', 'agents', 'KB each', 'of it heap', 'target'], memory.map(memoryRow)),
    '',
    'A storm: every connection of the fleet breaks at once, and comes back as the SDK does; ms',
    stormTable(storms),
    '',
    'Commands to agents that verify each and seal their sessions, and to such that do neither; µs of CPU time for each',
    securityTable(commands),
  ].join('\n');
}

function handshakeRow(handshakes: readonly HandshakeSample[], secured: boolean): string[] {
  const samples = handshakes.filter((sample) => sample.secured === secured);
  const of = (value: (sample: HandshakeSample) => number) => spreadText(spreadOf(samples.map(value)));
  return [
    secured ? 'sealed' : 'not sealed',
    figure(samples[0]?.agents ?? 0),
    of((sample) => sample.perSecond),
    of((sample) => sample.cpu.server),
    of((sample) => sample.cpu.postgres),
    of((sample) => sample.cpu.agents),
  ];
}

const memoryRow = ({ kind, agents, residentEach, heapEach }: MemorySample): string[] => [
  kind,
  figure(agents),
  figure(residentEach / 1000),
  figure(heapEach / 1000),
  verdict(residentEach <= 100_000, '≤ 100 KB'),
];

function securityTable(commands: readonly SecuritySample[]): string {
  const samplesOf = (secured: boolean) => commands.filter((sample) => sample.secured === secured);
  const rate = (secured: boolean) => spreadOf(samplesOf(secured).map((sample) => sample.perSecond));
  const share = (rate(true).median * 100) / rate(false).median;
  return table(
    ['agents', 'a second', 'server', 'PostgreSQL', 'agents', 'target'],
    [false, true].map((secured) => {
      const of = (value: (sample: SecuritySample) => number) =>
        spreadText(spreadOf(samplesOf(secured).map(value)));
      return [
        secured ? 'verify and seal' : 'do neither',
        spreadText(rate(secured)),
        of((sample) => sample.cpu.server),
        of((sample) => sample.cpu.postgres),
        of((sample) => sample.cpu.agents),
        secured ? verdict(share >= 60, `${figure(share)} % of without; ≥ 60 %`) : '',
      ];
    }),
  );
}

const verdict = (met: boolean, target: string) => `${target}: ${met ? 'met' : 'missed'}`;

function stormTable(storms: readonly StormSample[]): string {
  const spread = (value: (sample: StormSample) => number) => spreadOf(storms.map(value));
  const all = spread((sample) => Math.max(...sample.backMs));
  return table(
    ['agents', 'half back', 'all back', 'turned away', 'stayers', 'p99 before', 'p99 in the storm', 'target'],
    [
      [
        figure(storms[0]?.agents ?? 0),
        spreadText(spread((sample) => quantile(sample.backMs, 0.5))),
        spreadText(all),
        spreadText(spread((sample) => sample.refusals)),
        figure(storms[0]?.stayers ?? 0),
        spreadText(spread((sample) => quantile(sample.quiet, 0.99))),
        spreadText(spread((sample) => quantile(sample.meanwhile, 0.99))),
        verdict(all.median <= 30_000, 'back ≤ 30,000'),
      ],
    ],
  );
}
