import type { MessageInitShape } from '@bufbuild/protobuf';
import { durationMs, timestampFromDate } from '@bufbuild/protobuf/wkt';
import type { z } from 'zod';
import { ControlService } from '#gen/viworks/control/v1/control_service_pb.js';
import {
  type LiveSampleSchema,
  type LiveSelector,
  type SnapshotPartSchema,
  SnapshotReason as SnapshotReasonMessage,
} from '#gen/viworks/control/v1/live_pb.js';
import { defined } from '../../lib/defined.ts';
import type { LiveEvent, LiveSample, SnapshotReason } from '../../live/types.ts';
import { telemetryMetrics } from '../../storage/telemetry-metrics.ts';
import { liveAgentsInput, liveAlertsInput, liveTelemetryInput } from '../schemas/live.ts';
import { invalidRequest } from '../schemas/problems.ts';
import { alertMessage, alertStateOf, severityOf } from './alert-convert.ts';
import { agentMessage, statusOf, unlessEmpty } from './convert.ts';
import type { Guard } from './guard.ts';

/** The live streams of ControlService. */
export function liveMethods({ stream }: Pick<Guard, 'stream'>) {
  const { method } = ControlService;
  return {
    watchTelemetry: stream(method.watchTelemetry, async function* (request, { core, actor, signal }) {
      const { selector, full, interval } = request;
      const intervalMs = interval && Math.ceil(durationMs(interval));
      const input = parse(liveTelemetryInput, { selector: readSelector(selector), full, intervalMs });
      const cursor = request.resumeToken || undefined;
      for await (const event of core.live.telemetry(actor, { ...input, cursor }, signal)) {
        const { shown, skipped } = event;
        yield { ...frameOf(event), samples: shown.map(sampleMessage), skipped: BigInt(skipped) };
      }
    }),

    watchAgents: stream(method.watchAgents, async function* (request, { core, actor, signal }) {
      const { selector } = parse(liveAgentsInput, { selector: readSelector(request.selector) });
      const cursor = request.resumeToken || undefined;
      for await (const event of core.live.agents(actor, { selector, cursor }, signal))
        yield { ...frameOf(event), agents: event.shown.map(agentMessage) };
    }),

    watchAlerts: stream(method.watchAlerts, async function* (request, { core, actor, signal }) {
      const { selector, states, rule, minSeverity } = request;
      const input = parse(liveAlertsInput, {
        selector: readSelector(selector),
        states: unlessEmpty(states.flatMap((state) => alertStateOf(state) ?? [])),
        rule: rule || undefined,
        minSeverity: severityOf(minSeverity),
      });
      const cursor = request.resumeToken || undefined;
      for await (const event of core.live.alerts(actor, { ...input, cursor }, signal))
        yield { ...frameOf(event), alerts: event.shown.map(alertMessage) };
    }),
  };
}

const reasonMessage: Record<SnapshotReason, SnapshotReasonMessage> = {
  start: SnapshotReasonMessage.START,
  resume: SnapshotReasonMessage.RESUME,
  behind: SnapshotReasonMessage.BEHIND,
};

function frameOf({ cursor, snapshot, gone }: Pick<LiveEvent<unknown>, 'cursor' | 'snapshot' | 'gone'>): {
  resumeToken: string;
  snapshot?: MessageInitShape<typeof SnapshotPartSchema>;
  gone: string[];
} {
  return {
    resumeToken: cursor,
    gone: [...gone],
    ...(snapshot && { snapshot: { ...snapshot, because: reasonMessage[snapshot.because] } }),
  };
}

function sampleMessage({ headline, sample }: LiveSample): MessageInitShape<typeof LiveSampleSchema> {
  const { agentId, at, receivedAt, number, late, skewed } = headline;
  const metrics = telemetryMetrics.map((metric) => [metric, headline[metric] ?? undefined]);
  return {
    agentId,
    at: timestampFromDate(at),
    receivedAt: timestampFromDate(receivedAt),
    number: BigInt(number),
    late,
    skewed,
    ...defined(Object.fromEntries(metrics)),
    ...(sample && { sample }),
  };
}

/** Without what is unset. */
const readSelector = (selector: LiveSelector | undefined) =>
  selector &&
  defined({
    agents: unlessEmpty(selector.agents),
    sites: unlessEmpty(selector.sites),
    labels: Object.keys(selector.labels).length === 0 ? undefined : selector.labels,
    capabilities: unlessEmpty(selector.capabilities),
    os: unlessEmpty(selector.os),
    statuses: unlessEmpty(selector.statuses.flatMap((status) => statusOf(status) ?? [])),
  });

function parse<S extends z.ZodType>(schema: S, input: unknown): z.output<S> {
  const parsed = schema.safeParse(input);
  if (!parsed.success) throw invalidRequest(parsed.error, { intervalMs: 'interval' });
  return parsed.data;
}
