import type { MessageInitShape } from '@bufbuild/protobuf';
import { durationFromMs, timestampFromDate } from '@bufbuild/protobuf/wkt';
import {
  type AgentHealthSchema,
  TrendDirection as DirectionMessage,
  type FleetHealthSchema,
  type HealthFiguresSchema,
  type HealthReasonSchema,
  HealthReasonKind as KindMessage,
  type TrendSchema,
  Verdict as VerdictMessage,
} from '#gen/viworks/control/v1/health_pb.js';
import type {
  AgentHealth,
  Direction,
  Figures,
  FleetHealth,
  Reason,
  ReasonKind,
  Trend,
  Verdict,
} from '../../health/types.ts';
import { comparisonMessage, severityMessage, stateMessage } from './alert-convert.ts';

/** Between the health reports of the core and those of viworks.control.v1. */

const verdictMessage: Record<Verdict, VerdictMessage> = {
  healthy: VerdictMessage.HEALTHY,
  degraded: VerdictMessage.DEGRADED,
  unknown: VerdictMessage.UNKNOWN,
  unhealthy: VerdictMessage.UNHEALTHY,
};
const kindMessage: Record<ReasonKind, KindMessage> = {
  offline: KindMessage.OFFLINE,
  never_connected: KindMessage.NEVER_CONNECTED,
  held: KindMessage.HELD,
  revoked: KindMessage.REVOKED,
  heartbeat_missed: KindMessage.HEARTBEAT_MISSED,
  no_telemetry: KindMessage.NO_TELEMETRY,
  maintenance: KindMessage.MAINTENANCE,
  alert: KindMessage.ALERT,
};
const directionMessage: Record<Direction, DirectionMessage> = {
  rising: DirectionMessage.RISING,
  falling: DirectionMessage.FALLING,
  flat: DirectionMessage.FLAT,
  unclear: DirectionMessage.UNCLEAR,
};

function reasonMessage(reason: Reason): MessageInitShape<typeof HealthReasonSchema> {
  const { kind, verdict, text, since, rule = '', severity, state, metric = '', subject = '' } = reason;
  const { comparison, value, threshold } = reason;
  return {
    kind: kindMessage[kind],
    verdict: verdictMessage[verdict],
    text,
    rule,
    metric,
    subject,
    ...(since && { since: timestampFromDate(since) }),
    ...(severity && { severity: severityMessage[severity] }),
    ...(state && { state: stateMessage[state] }),
    ...(comparison && { comparison: comparisonMessage[comparison] }),
    ...(value !== undefined && { value }),
    ...(threshold !== undefined && { threshold }),
  };
}

function figuresMessage(figures: Figures): MessageInitShape<typeof HealthFiguresSchema> {
  const { asOf, current, metrics, disks, containers, services, uptimeSeconds, unread } = figures;
  return {
    asOf: timestampFromDate(asOf),
    current,
    metrics,
    disks: disks.map(({ freeBytes, ...disk }) => ({ ...disk, freeBytes: BigInt(Math.round(freeBytes)) })),
    containers: containers.total,
    containersUnhealthy: containers.unhealthy,
    containersStopped: containers.stopped,
    services: services.total,
    servicesDown: services.down,
    unread,
    ...(uptimeSeconds !== undefined && { uptime: durationFromMs(Math.round(uptimeSeconds * 1000)) }),
  };
}

export const agentHealthMessage = ({
  at,
  verdict,
  reasons,
  figures,
  ...rest
}: AgentHealth): MessageInitShape<typeof AgentHealthSchema> => ({
  ...rest,
  at: timestampFromDate(at),
  verdict: verdictMessage[verdict],
  reasons: reasons.map(reasonMessage),
  ...(figures && { figures: figuresMessage(figures) }),
});

export const fleetHealthMessage = ({
  site = '',
  at,
  verdict,
  worst,
  sites,
  ...rest
}: FleetHealth): MessageInitShape<typeof FleetHealthSchema> => ({
  ...rest,
  site,
  at: timestampFromDate(at),
  verdict: verdictMessage[verdict],
  worst: worst.map((agent) => ({
    ...agent,
    verdict: verdictMessage[agent.verdict],
    reason: reasonMessage(agent.reason),
  })),
  sites: sites.map((each) => ({ ...each, verdict: verdictMessage[each.verdict] })),
});

export function trendMessage({
  line,
  direction,
  full,
  ...rest
}: Trend): MessageInitShape<typeof TrendSchema> {
  return {
    ...rest,
    direction: directionMessage[direction],
    ...(line && { line: { ...line, from: timestampFromDate(line.from), to: timestampFromDate(line.to) } }),
    ...(full && {
      full: {
        at: timestampFromDate(full.at),
        earliest: timestampFromDate(full.earliest),
        ...(full.latest && { latest: timestampFromDate(full.latest) }),
      },
    }),
  };
}
