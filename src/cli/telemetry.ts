import type { Command } from 'commander';
import { type CliContext, withClientOptions } from './context.ts';
import { UsageError } from './failure.ts';
import { collect, moment, wholeNumber } from './options.ts';
import { listSamples, newest, series } from './telemetry-agent.ts';
import { aggregates, everyNewest, sites } from './telemetry-fleet.ts';
import { followTelemetry } from './telemetry-follow.ts';
import { resolution, type TelemetryOptions } from './telemetry-options.ts';

/** `viworks telemetry`: what agents measure, now and over time. */

export function telemetryCommand(program: Command, context: CliContext): void {
  const command = program
    .command('telemetry [agent]')
    .summary('see what agents measure, now and over time')
    .description(
      'What agents measure. Of one agent: its newest sample and the last hour; without an agent: a line for each.',
    )
    .option(
      '--metric <name>',
      'plot this metric: cpu, memory, swap, disk, load, received or sent; of one agent also disk:MOUNT, ' +
        'received:INTERFACE, sent:INTERFACE or metrics.NAME; repeat for more',
      collect,
    )
    .option('--since <when>', 'from then on: 24h ago, or a time (default: 1h)', moment)
    .option('--from <when>', 'the same', moment)
    .option('--to <when>', 'and before then (default: now)', moment)
    .option('--resolution <span>', '1m, 15m or 1h (default: what fits the range)', resolution)
    .option('--samples', 'the samples themselves, as they came')
    .option(
      '--limit <number>',
      'with --samples: at most so many, the newest (default: 100)',
      wholeNumber(1, 100_000),
    )
    .option('--follow', 'each sample of an agent as it comes, until Ctrl-C')
    .option('--site <site>', 'all agents of the site together')
    .option(
      '--select <name=value>',
      'all agents together where all of these hold: site=, capability=, os=, status= or label.NAME=',
      collect,
    )
    .option('--all', 'all agents together')
    .option('--by-site', 'one line for each site')
    .addHelpText(
      'after',
      `
Metrics: cpu, memory, swap and disk (the fullest one) in percent, load (of one minute), received and sent (bytes a
second over all interfaces). Plots show averages of spans; min and max are those of single samples. Where nothing was
measured there is a gap. Times are UTC.

Examples:
  viworks telemetry                                   the newest of every agent
  viworks telemetry web-1                             all of the newest sample, and the last hour
  viworks telemetry web-1 --metric disk:/data --metric load --since 24h
  viworks telemetry web-1 --metric metrics.queue_length --from 2026-01-31 --to 2026-02-01
  viworks telemetry web-1 --samples --since 10m       sample by sample
  viworks telemetry web-1 --follow                    each sample as it comes
  viworks telemetry --site berlin --metric memory     a site as one
  viworks telemetry --select label.role=db --since 7d --json
  viworks telemetry --by-site`,
    );
  withClientOptions(command).action((agentId: string | undefined, options: TelemetryOptions) =>
    run(context, agentId, options),
  );
}

function run(context: CliContext, agentId: string | undefined, options: TelemetryOptions): Promise<void> {
  const { site, select, all, bySite, samples, metric } = options;
  const ways = [agentId, site, select, all || undefined].filter((given) => given !== undefined).length;
  if (ways > 1) throw new UsageError('give one of an agent, --site, --select and --all');
  if (options.since !== undefined && options.from !== undefined)
    throw new UsageError('--since and --from mean the same; give one of them');
  if (options.limit !== undefined && !samples) throw new UsageError('--limit is for --samples');
  if (samples) {
    if (agentId === undefined) throw new UsageError('--samples needs an agent');
    if (metric !== undefined || options.resolution !== undefined)
      throw new UsageError('--samples shows all of each sample; leave out --metric and --resolution');
    return listSamples(context, options, agentId);
  }
  if (options.follow) {
    if (agentId === undefined)
      throw new UsageError('--follow needs an agent; for all of them see viworks top');
    const past = options.since ?? options.from ?? options.to;
    if (past !== undefined)
      throw new UsageError('--follow is about what comes; leave out --since, --from and --to');
    return followTelemetry(context, options, [agentId]);
  }
  if (bySite) {
    if (agentId !== undefined) throw new UsageError('--by-site is for many agents; leave out the agent');
    if (options.resolution !== undefined)
      throw new UsageError('--by-site is one line for the whole range; leave out --resolution');
    return sites(context, options);
  }
  const ranged = metric ?? options.since ?? options.from ?? options.to ?? options.resolution;
  if (agentId !== undefined)
    return ranged === undefined ? newest(context, options, agentId) : series(context, options, agentId);
  if (ways > 0) return aggregates(context, options);
  if (ranged !== undefined) throw new UsageError('name an agent, or give --site, --select or --all');
  return everyNewest(context, options);
}
