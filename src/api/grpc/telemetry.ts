import { ControlService } from '#gen/viworks/control/v1/control_service_pb.js';
import { invalidField } from '../../errors.ts';
import type { PageRequest } from '../../lib/page.ts';
import type { ApiDeps } from '../deps.ts';
import { defaultSiteMetrics, mostSpans } from '../schemas/telemetry.ts';
import { agentFilter, pageRequest } from './convert.ts';
import type { Guard } from './guard.ts';
import {
  aggregateMessage,
  latestMessage,
  metricOf,
  rangeOf,
  readFilter,
  resolutionOf,
  sampleMessage,
  siteMessage,
  spanMessage,
} from './telemetry-convert.ts';

/** The methods of ControlService for telemetry. */
export function telemetryMethods({ clock }: Pick<ApiDeps, 'clock'>, { unary }: Pick<Guard, 'unary'>) {
  const { method } = ControlService;
  return {
    listLatestTelemetry: unary(method.listLatestTelemetry, async (request, { core }) => {
      const { agentId, filter } = request;
      if (agentId !== '' && filter !== undefined)
        throw invalidField('filter', 'must be absent where an agent is named');
      const of = agentId === '' ? { filter: agentFilter(filter) } : { agentId };
      const page = await core.telemetry.latest(of, pageRequest(request));
      return { agents: page.items.map(latestMessage), nextPageToken: page.nextToken ?? '' };
    }),

    listTelemetrySamples: unary(method.listTelemetrySamples, async (request, { core }) => {
      const range = rangeOf(request, clock.now());
      const page = await core.telemetry.samples(request.agentId, range, pageRequest(request));
      return { samples: page.items.map(sampleMessage), nextPageToken: page.nextToken ?? '' };
    }),

    getTelemetrySeries: unary(method.getTelemetrySeries, async (request, { core }) => {
      const { agentId, metrics } = request;
      const wanted = {
        agentId,
        metrics: metrics.length === 0 ? undefined : metrics,
        resolution: resolutionOf(request.resolution),
        ...rangeOf(request, clock.now()),
      };
      const { resolution, items, nextToken = '' } = await core.telemetry.series(wanted, spanPage(request));
      return { resolution, spans: items.map(spanMessage), nextPageToken: nextToken };
    }),

    aggregateTelemetry: unary(method.aggregateTelemetry, async (request, { core }) => {
      const wanted = {
        // What is none is refused before.
        metric: metricOf(request.metric) ?? 'cpu',
        filter: readFilter(request.filter),
        resolution: resolutionOf(request.resolution),
        ...rangeOf(request, clock.now()),
      };
      const page = await core.telemetry.aggregate(wanted, spanPage(request));
      const { resolution, items, nextToken = '' } = page;
      return { resolution, spans: items.map(aggregateMessage), nextPageToken: nextToken };
    }),

    listTelemetrySites: unary(method.listTelemetrySites, async (request, { core }) => {
      const named = request.metrics.flatMap((metric) => metricOf(metric) ?? []);
      const wanted = {
        metrics: named.length === 0 ? defaultSiteMetrics : named,
        filter: readFilter(request.filter),
        ...rangeOf(request, clock.now()),
      };
      const page = await core.telemetry.sites(wanted, pageRequest(request));
      return { sites: page.items.map(siteMessage), nextPageToken: page.nextToken ?? '' };
    }),
  };
}

const spanPage = ({ pageSize, pageToken }: { pageSize: number; pageToken: string }): PageRequest =>
  pageRequest({ pageSize: pageSize || mostSpans, pageToken });
