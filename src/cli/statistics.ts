import { type Command, Option } from 'commander';
import type { StatisticsView } from '../api/schemas/statistics.ts';
import { statisticsGroups } from '../commands/types.ts';
import { defined } from '../lib/defined.ts';
import { formatDuration } from '../lib/duration.ts';
import { type CliContext, type ClientOptions, clientOf, withClientOptions } from './context.ts';
import { moment } from './options.ts';
import { printTable } from './terminal.ts';

/** `viworks commands statistics`: figures over the commands of a span of time. */

type Options = ClientOptions & { by: (typeof statisticsGroups)[number]; since?: string; until?: string };

export function statisticsCommand(commands: Command, context: CliContext): void {
  withClientOptions(
    commands
      .command('statistics')
      .alias('stats')
      .description('Figures over the commands of a span of time: how they ended, how long they took.')
      .addOption(new Option('--by <group>', 'one line for each').choices(statisticsGroups).default('verb'))
      .option('--since <when>', 'from then on: 24h ago, or a time (default: 24h)', moment)
      .option('--until <when>', 'and before then (default: now)', moment),
  ).action(async ({ by, since, until, ...options }: Options) => {
    const { terminal } = context;
    const found = await clientOf(context, options).commands.statistics.query({
      by,
      ...defined({ from: since, to: until }),
    });
    if (options.json) return terminal.json(found);
    terminal.note(`Commands submitted from ${found.from} to ${found.to}`);
    if (found.statistics.length === 0) return terminal.line('None.');
    const header = [
      by.toUpperCase(),
      'TOTAL',
      'SUCCEEDED',
      'FAILED',
      'OTHER',
      'OPEN',
      'WAIT P50/P95',
      'RUN P50/P95/MAX',
    ];
    printTable(terminal, header, found.statistics.map(rowOf));
  });
}

function rowOf(group: StatisticsView['statistics'][number]): string[] {
  const { key, total, succeeded, failed, timedOut, cancelled, expired, outcomeUnknown, waitMs, runMs } =
    group;
  const others = { 'timed out': timedOut, cancelled, expired, 'outcome unknown': outcomeUnknown };
  const other = Object.entries(others).flatMap(([state, count]) => (count > 0 ? [`${count} ${state}`] : []));
  const open = total - succeeded - failed - timedOut - cancelled - expired - outcomeUnknown;
  const span = (...values: number[]) => values.map((ms) => formatDuration(Math.round(ms))).join(' / ');
  return [
    key || '-',
    String(total),
    String(succeeded),
    String(failed),
    other.join(', ') || '0',
    String(open),
    waitMs === undefined ? '-' : span(waitMs.p50, waitMs.p95),
    runMs === undefined ? '-' : span(runMs.p50, runMs.p95, runMs.maximum),
  ];
}
