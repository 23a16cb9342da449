import type { Command } from 'commander';
import type { SampleView, SpanView } from '../api/schemas/telemetry.ts';
import type { AppInputs } from '../api/trpc/router.ts';
import { defined } from '../lib/defined.ts';
import { parseDuration } from '../lib/duration.ts';
import { type CliContext, type ClientOptions, clientOf, withClientOptions } from './context.ts';
import { UsageError } from './failure.ts';
import { collect, moment, wholeNumber } from './options.ts';
import { everyPage } from './pages.ts';
import { selectorOf } from './target.ts';
import { type ChartPoint, chart } from './telemetry-chart.ts';
import { unitOf, valueText } from './telemetry-units.ts';
import { marks, summary, whyNone } from './telemetry-view.ts';
import { printTable, since } from './terminal.ts';

/** `viworks telemetry`: what agents measure, now and over time. */

interface Options extends ClientOptions {
  metric?: string[];
  since?: string;
  from?: string;
  to?: string;
  resolution?: 60 | 900 | 3600;
  samples?: boolean;
  limit: number;
  site?: string;
  select?: string[];
  all?: boolean;
  bySite?: boolean;
}

type Filter = AppInputs['telemetry']['aggregate']['filter'];
type Metric = AppInputs['telemetry']['aggregate']['metric'];

const hourMs = 3_600_000;

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
    .option('--limit <number>', 'with --samples: at most so many, the newest', wholeNumber(1, 100_000), 100)
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
  viworks telemetry --site berlin --metric memory     a site as one
  viworks telemetry --select label.role=db --since 7d --json
  viworks telemetry --by-site`,
    );
  withClientOptions(command).action((agentId: string | undefined, options: Options) =>
    run(context, agentId, options),
  );
}

function run(context: CliContext, agentId: string | undefined, options: Options): Promise<void> {
  const { site, select, all, bySite, samples, metric } = options;
  const ways = [agentId, site, select, all || undefined].filter((given) => given !== undefined).length;
  if (ways > 1) throw new UsageError('give one of an agent, --site, --select and --all');
  if (options.since !== undefined && options.from !== undefined)
    throw new UsageError('--since and --from mean the same; give one of them');
  if (samples) {
    if (agentId === undefined) throw new UsageError('--samples needs an agent');
    if (metric !== undefined || options.resolution !== undefined)
      throw new UsageError('--samples shows all of each sample; leave out --metric and --resolution');
    return listSamples(context, options, agentId);
  }
  if (bySite) {
    if (agentId !== undefined) throw new UsageError('--by-site is for many agents; leave out the agent');
    return sites(context, options);
  }
  const ranged = metric ?? options.since ?? options.from ?? options.to ?? options.resolution;
  if (agentId !== undefined)
    return ranged === undefined ? newest(context, options, agentId) : series(context, options, agentId);
  if (ways > 0) return aggregates(context, options);
  if (ranged !== undefined) throw new UsageError('name an agent, or give --site, --select or --all');
  return everyNewest(context, options);
}

function resolution(text: string): 60 | 900 | 3600 {
  const ms = parseDuration(text);
  const found = ([60, 900, 3600] as const).find((seconds) => seconds * 1000 === ms);
  if (found === undefined) throw new UsageError(`--resolution ${text}: must be 1m, 15m or 1h`);
  return found;
}

/** The range in milliseconds and as the server reads it. */
function rangeOf({ since: ago, from, to }: Options) {
  const end = to === undefined ? Date.now() : Date.parse(to);
  const begin = Date.parse(ago ?? from ?? new Date(Math.max(0, end - hourMs)).toISOString());
  if (begin >= end) throw new UsageError('--to: must be later than the beginning');
  return {
    begin,
    end,
    input: { from: new Date(begin).toISOString(), to: new Date(end).toISOString() },
  };
}

async function everyNewest(context: CliContext, options: Options): Promise<void> {
  const { terminal } = context;
  const client = clientOf(context, options);
  const { pages } = await everyPage((page) => client.telemetry.latest.query(page));
  const agents = pages.flatMap((page) => page.agents);
  if (options.json) return terminal.json(agents);
  if (agents.length === 0) return terminal.line('No agents. Enrol one: viworks token enroll --site SITE');
  const now = Date.now();
  const rows = agents.map(({ agentId, site, status, sample }) => [
    agentId,
    site,
    status,
    sample === undefined ? 'never' : since(sample.at, now),
    ...valueCells(sample),
    sample === undefined ? '' : markNames(sample),
  ]);
  printTable(terminal, ['AGENT', 'SITE', 'STATUS', 'SAMPLE', ...valueTitles, 'MARKS'], rows);
}

const valueTitles = ['CPU', 'MEMORY', 'SWAP', 'DISK', 'LOAD', 'RECEIVED', 'SENT'];

function valueCells(sample: SampleView | undefined): string[] {
  const { cpu, memory, swap, disk, load, received, sent } = sample?.values ?? {};
  return Object.entries({ cpu, memory, swap, disk, load, received, sent }).map(([name, value]) =>
    valueText(unitOf(name), value),
  );
}

const markNames = (sample: SampleView): string =>
  marks(sample)
    .map((mark) => mark.slice(0, mark.indexOf(':')))
    .join(', ');

async function newest(context: CliContext, options: Options, agentId: string): Promise<void> {
  const { terminal } = context;
  const client = clientOf(context, options);
  const { begin, end, input } = rangeOf(options);
  const metrics = ['cpu', 'memory'];
  const [latest, found] = await Promise.all([
    client.telemetry.latest.query({ agentId }),
    seriesOf(client, { agentId, metrics, ...input }),
  ]);
  const [agent] = latest.agents;
  if (agent === undefined) return;
  if (options.json) return terminal.json({ ...agent, series: found });
  const now = Date.now();
  for (const line of summary(terminal, agent, now)) terminal.line(line);
  if (agent.sample === undefined) return;
  if (found.spans.length === 0) {
    terminal.line();
    return terminal.line(`Nothing in the last hour. ${whyNone(agent, now)}`);
  }
  for (const metric of metrics)
    draw(context, metric, pointsOf(found.spans, metric), { begin, end, ...found }, 4);
}

type Client = ReturnType<typeof clientOf>;

async function seriesOf(client: Client, input: AppInputs['telemetry']['series']) {
  const { pages, last } = await everyPage((page) => client.telemetry.series.query({ ...input, ...page }));
  return { resolution: last.resolution, spans: pages.flatMap((page) => page.spans) };
}

async function series(context: CliContext, options: Options, agentId: string): Promise<void> {
  const { terminal } = context;
  const client = clientOf(context, options);
  const { begin, end, input } = rangeOf(options);
  const { metric: metrics = ['cpu', 'memory'], resolution } = options;
  const found = await seriesOf(client, { agentId, metrics, ...input, ...defined({ resolution }) });
  if (options.json) return terminal.json({ agentId, ...input, ...found });
  if (found.spans.length === 0) {
    const { agents } = await client.telemetry.latest.query({ agentId });
    const why = agents.map((agent) => whyNone(agent, Date.now())).join('');
    return terminal.line(`No samples from ${input.from} to ${input.to}. ${why}`);
  }
  for (const metric of metrics)
    draw(context, metric, pointsOf(found.spans, metric), { begin, end, ...found }, 8);
}

const pointsOf = (spans: readonly SpanView[], metric: string): ChartPoint[] =>
  spans.flatMap(({ at, metrics }) => {
    const found = metrics[metric];
    if (found == null) return [];
    const { average, min, max, count } = found;
    return [{ at: Date.parse(at), average, min, max, weight: count }];
  });

function draw(
  { terminal, settings }: CliContext,
  metric: string,
  points: readonly ChartPoint[],
  { begin, end, resolution }: { begin: number; end: number; resolution: number },
  height: number,
): void {
  terminal.line();
  if (points.length === 0) return terminal.line(`${metric}  not measured in this time`);
  const lines = chart(points, {
    title: terminal.style('bold', metric),
    unit: unitOf(metric),
    from: begin,
    to: end,
    resolution,
    width: Math.min(120, terminal.columns),
    height,
    unicode: settings.unicode,
  });
  for (const line of lines) terminal.line(line);
}

async function listSamples(context: CliContext, options: Options, agentId: string): Promise<void> {
  const { terminal } = context;
  const client = clientOf(context, options);
  const { input } = rangeOf(options);
  let samples: SampleView[] = [];
  let all = 0;
  await everyPage(async (page) => {
    const found = await client.telemetry.samples.query({ agentId, ...input, ...page });
    all += found.samples.length;
    samples = [...samples, ...found.samples].slice(-options.limit);
    return { nextPageToken: found.nextPageToken };
  });
  if (options.json) return terminal.json(samples);
  if (samples.length === 0) {
    const { agents } = await client.telemetry.latest.query({ agentId });
    const why = agents.map((agent) => whyNone(agent, Date.now())).join('');
    return terminal.line(`No samples from ${input.from} to ${input.to}. ${why}`);
  }
  const rows = samples.map((sample) => [sample.at, ...valueCells(sample), markNames(sample)]);
  printTable(terminal, ['AT', ...valueTitles, 'MARKS'], rows);
  if (all > samples.length) terminal.note(`… the newest ${samples.length} of ${all}; --limit shows more`);
}

function filterOf({ site, select }: Options): NonNullable<Filter> {
  if (site !== undefined) return { site };
  return select === undefined ? {} : selectorOf(select);
}

async function aggregates(context: CliContext, options: Options): Promise<void> {
  const { terminal } = context;
  const client = clientOf(context, options);
  const { begin, end, input } = rangeOf(options);
  const { metric: metrics = ['cpu', 'memory'], resolution } = options;
  const filter = filterOf(options);
  const found = [];
  for (const metric of metrics) {
    const { pages, last } = await everyPage((page) =>
      client.telemetry.aggregate.query({
        // The server says what is wrong with a word that it does not know.
        metric: metric as Metric,
        filter,
        ...input,
        ...defined({ resolution }),
        ...page,
      }),
    );
    found.push({ metric, resolution: last.resolution, spans: pages.flatMap((page) => page.spans) });
  }
  if (options.json) return terminal.json(found.map((each) => ({ ...input, ...each })));
  if (found.every(({ spans }) => spans.length === 0))
    return terminal.line(
      `No samples from ${input.from} to ${input.to}. See \`viworks agents\` for whether such agents are connected.`,
    );
  for (const { metric, spans, ...rest } of found) {
    const points = spans.map(({ at, average, min, max, samples }) => ({
      at: Date.parse(at),
      average,
      min,
      max,
      weight: samples,
    }));
    draw(context, metric, points, { begin, end, ...rest }, 8);
    const last = spans.at(-1);
    if (last === undefined) continue;
    const p95 = valueText(unitOf(metric), last.p95);
    terminal.line(`  last: ${last.agents} agents; 95 of 100 had an average of at most ${p95}`);
  }
}

async function sites(context: CliContext, options: Options): Promise<void> {
  const { terminal } = context;
  const client = clientOf(context, options);
  const { input } = rangeOf(options);
  const metrics = (options.metric ?? ['cpu', 'memory', 'disk']) as Metric[];
  const filter = filterOf(options);
  const { pages } = await everyPage((page) =>
    client.telemetry.sites.query({ metrics, filter, ...input, ...page }),
  );
  const found = pages.flatMap((page) => page.sites);
  if (options.json) return terminal.json(found);
  if (found.length === 0) return terminal.line('No agents.');
  const rows = found.map(({ site, agents, reporting, metrics: measured }) => [
    site,
    `${reporting} of ${agents}`,
    ...metrics.flatMap((name) => {
      const unit = unitOf(name);
      const { average, p95, max } = measured[name] ?? {};
      return [average, p95, max].map((value) => valueText(unit, value));
    }),
  ]);
  const titles = metrics.flatMap((name) => [`${name.toUpperCase()} AVG`, 'P95', 'MAX']);
  terminal.note(`From ${input.from} to ${input.to}; P95 is over the averages of agents`);
  printTable(terminal, ['SITE', 'REPORTING', ...titles], rows);
}
