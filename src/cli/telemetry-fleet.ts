import type { AppInputs } from '../api/trpc/router.ts';
import { defined } from '../lib/defined.ts';
import { type CliContext, clientOf } from './context.ts';
import { everyPage } from './pages.ts';
import { draw } from './telemetry-chart.ts';
import { filterOf, rangeOf, type TelemetryOptions } from './telemetry-options.ts';
import { countText, unitOf, valueText } from './telemetry-units.ts';
import { markNames, valueCells, valueTitles } from './telemetry-view.ts';
import { printTable, since } from './terminal.ts';

/** What many agents measured: a line for each, all together, and a line for each site. */

type Metric = AppInputs['telemetry']['aggregate']['metric'];

export async function everyNewest(context: CliContext, options: TelemetryOptions): Promise<void> {
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

export async function aggregates(context: CliContext, options: TelemetryOptions): Promise<void> {
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
        pageSize: 1440,
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
    terminal.line(
      `last span: ${countText(last.agents, 'agent')}, 95 of 100 with an average of at most ${p95}`,
    );
  }
}

export async function sites(context: CliContext, options: TelemetryOptions): Promise<void> {
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
