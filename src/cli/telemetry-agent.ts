import type { SampleView } from '../api/schemas/samples.ts';
import type { SpanView } from '../api/schemas/telemetry.ts';
import type { AppInputs } from '../api/trpc/router.ts';
import { defined } from '../lib/defined.ts';
import type { Client } from './client.ts';
import { type CliContext, clientOf } from './context.ts';
import { everyPage } from './pages.ts';
import { type ChartPoint, draw } from './telemetry-chart.ts';
import { rangeOf, type TelemetryOptions } from './telemetry-options.ts';
import { markNames, summary, valueCells, valueTitles, whyNone } from './telemetry-view.ts';
import { printTable } from './terminal.ts';

/** What one agent measured: its newest sample, plots, and samples as they came. */

export async function newest(context: CliContext, options: TelemetryOptions, agentId: string): Promise<void> {
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

async function seriesOf(client: Client, input: AppInputs['telemetry']['series']) {
  const { pages, last } = await everyPage((page) =>
    client.telemetry.series.query({ ...input, ...page, pageSize: 1440 }),
  );
  return { resolution: last.resolution, spans: pages.flatMap((page) => page.spans) };
}

export async function series(context: CliContext, options: TelemetryOptions, agentId: string): Promise<void> {
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

export async function listSamples(
  context: CliContext,
  options: TelemetryOptions,
  agentId: string,
): Promise<void> {
  const { terminal } = context;
  const client = clientOf(context, options);
  const { input } = rangeOf(options);
  const { limit = 100 } = options;
  let samples: SampleView[] = [];
  let all = 0;
  await everyPage(async (page) => {
    const found = await client.telemetry.samples.query({ agentId, ...input, ...page });
    all += found.samples.length;
    samples = [...samples, ...found.samples].slice(-limit);
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
