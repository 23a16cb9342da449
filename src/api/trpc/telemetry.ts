import type { ApiDeps } from '../deps.ts';
import { pageRequest } from '../schemas/common.ts';
import { sampleView } from '../schemas/samples.ts';
import {
  aggregateInput,
  aggregateOutput,
  aggregateView,
  defaultSiteMetrics,
  latestInput,
  latestOutput,
  latestView,
  momentsOf,
  samplesInput,
  samplesOutput,
  seriesInput,
  seriesOutput,
  sitesInput,
  sitesOutput,
  siteView,
  spanView,
} from '../schemas/telemetry.ts';
import { procedure, router } from './trpc.ts';

/** What agents measure. */
export function telemetryRouter({ clock }: Pick<ApiDeps, 'clock'>) {
  return router({
    /** The newest sample of one agent, or of those that the filter finds. */
    latest: procedure
      .input(latestInput)
      .output(latestOutput)
      .query(async ({ ctx, input }) => {
        const { agentId, filter = {} } = input;
        const of = agentId === undefined ? { filter } : { agentId };
        const page = await ctx.core.telemetry.latest(of, pageRequest(input));
        return { agents: page.items.map(latestView), nextPageToken: page.nextToken };
      }),

    /** Samples of an agent as they came. */
    samples: procedure
      .input(samplesInput)
      .output(samplesOutput)
      .query(async ({ ctx, input }) => {
        const range = momentsOf(input, clock.now());
        const page = await ctx.core.telemetry.samples(input.agentId, range, pageRequest(input));
        return { samples: page.items.map(sampleView), nextPageToken: page.nextToken };
      }),

    /** Averages, extremes and 95th percentiles of an agent, span by span. */
    series: procedure
      .input(seriesInput)
      .output(seriesOutput)
      .query(async ({ ctx, input }) => {
        const { agentId, metrics, resolution } = input;
        const wanted = { agentId, metrics, resolution, ...momentsOf(input, clock.now()) };
        const page = await ctx.core.telemetry.series(wanted, pageRequest(input));
        return {
          resolution: page.resolution,
          spans: page.items.map(spanView),
          nextPageToken: page.nextToken,
        };
      }),

    /** One metric of many agents together, span by span. */
    aggregate: procedure
      .input(aggregateInput)
      .output(aggregateOutput)
      .query(async ({ ctx, input }) => {
        const { metric, filter, resolution } = input;
        const wanted = { metric, filter, resolution, ...momentsOf(input, clock.now()) };
        const page = await ctx.core.telemetry.aggregate(wanted, pageRequest(input));
        return {
          resolution: page.resolution,
          spans: page.items.map(aggregateView),
          nextPageToken: page.nextToken,
        };
      }),

    /** The whole range as one row for each site. */
    sites: procedure
      .input(sitesInput)
      .output(sitesOutput)
      .query(async ({ ctx, input }) => {
        const { metrics = defaultSiteMetrics, filter } = input;
        const wanted = { metrics, filter, ...momentsOf(input, clock.now()) };
        const page = await ctx.core.telemetry.sites(wanted, pageRequest(input));
        return { sites: page.items.map(siteView), nextPageToken: page.nextToken };
      }),
  });
}
