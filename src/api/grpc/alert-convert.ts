import type { MessageInitShape } from '@bufbuild/protobuf';
import { durationFromMs, durationMs, timestampFromDate } from '@bufbuild/protobuf/wkt';
import {
  type AlertFilter as AlertFilterMessage,
  type AlertRuleSchema,
  type AlertRuleSpec,
  type AlertSchema,
  AlertState as AlertStateMessage,
  Comparison as ComparisonMessage,
  type DeadLetterSchema,
  type RuleSelector as RuleSelectorMessage,
  Severity as SeverityMessage,
  type SilenceMatch as SilenceMatchMessage,
  type SilenceSchema,
  type WebhookFilter as WebhookFilterMessage,
  type WebhookSchema,
} from '#gen/viworks/control/v1/alert_pb.js';
import type {
  Alert,
  AlertState,
  Comparison,
  DeadLetter,
  Rule,
  RuleSelector,
  Severity,
  Silence,
  Webhook,
} from '../../alerts/types.ts';
import { defined } from '../../lib/defined.ts';
import { unlessEmpty } from './convert.ts';
import { inverse } from './enums.ts';

/** Between the alerts of the core and those of viworks.control.v1. What is read is checked by its schema. */

export const stateMessage: Record<AlertState, AlertStateMessage> = {
  pending: AlertStateMessage.PENDING,
  firing: AlertStateMessage.FIRING,
  acknowledged: AlertStateMessage.ACKNOWLEDGED,
  silenced: AlertStateMessage.SILENCED,
  resolved: AlertStateMessage.RESOLVED,
};
export const severityMessage: Record<Severity, SeverityMessage> = {
  info: SeverityMessage.INFO,
  warning: SeverityMessage.WARNING,
  critical: SeverityMessage.CRITICAL,
};
export const comparisonMessage: Record<Comparison, ComparisonMessage> = {
  above: ComparisonMessage.ABOVE,
  below: ComparisonMessage.BELOW,
};
export const alertStateOf = inverse(stateMessage);
export const severityOf = inverse(severityMessage);
const comparisonOf = inverse(comparisonMessage);

export function alertMessage(alert: Alert): MessageInitShape<typeof AlertSchema> {
  const { state, severity, comparison, value, pendingSince, updatedAt, ...rest } = alert;
  const { firedAt, resolvedAt, acknowledgedAt, ...texts } = rest;
  return {
    ...texts,
    state: stateMessage[state],
    severity: severityMessage[severity],
    comparison: comparisonMessage[comparison],
    reason: alert.reason ?? '',
    acknowledgedBy: alert.acknowledgedBy ?? '',
    note: alert.note ?? '',
    pendingSince: timestampFromDate(pendingSince),
    updatedAt: timestampFromDate(updatedAt),
    ...(value !== undefined && { value }),
    ...(firedAt && { firedAt: timestampFromDate(firedAt) }),
    ...(resolvedAt && { resolvedAt: timestampFromDate(resolvedAt) }),
    ...(acknowledgedAt && { acknowledgedAt: timestampFromDate(acknowledgedAt) }),
  };
}

/** Without what is unset. */
export function readAlertFilter(filter: AlertFilterMessage | undefined) {
  if (filter === undefined) return {};
  return {
    states: unlessEmpty(filter.states.flatMap((state) => alertStateOf(state) ?? [])),
    rule: filter.rule || undefined,
    agentId: filter.agentId || undefined,
    site: filter.site || undefined,
    minSeverity: severityOf(filter.minSeverity),
  };
}

export function ruleMessage(rule: Rule): MessageInitShape<typeof AlertRuleSchema> {
  const { severity, comparison, forMs, clearForMs, selector, revision, updatedBy, ...spec } = rule;
  const { createdAt, updatedAt, ...texts } = spec;
  return {
    spec: {
      ...texts,
      severity: severityMessage[severity],
      comparison: comparisonMessage[comparison],
      for: durationFromMs(forMs),
      clearFor: durationFromMs(clearForMs),
      selector: selectorMessage(selector),
    },
    revision,
    updatedBy,
    createdAt: timestampFromDate(createdAt),
    updatedAt: timestampFromDate(updatedAt),
  };
}

const selectorMessage = ({
  agents = [],
  sites = [],
  labels = {},
  capabilities = [],
  os = [],
}: RuleSelector) => ({
  agents: [...agents],
  sites: [...sites],
  labels: { ...labels },
  capabilities: [...capabilities],
  os: [...os],
});

/** Without what is unset. */
export function readRule(spec: AlertRuleSpec | undefined, revision: number) {
  return defined({
    name: spec?.name,
    description: spec?.description,
    enabled: spec?.enabled,
    severity: spec && severityOf(spec.severity),
    metric: spec?.metric,
    comparison: spec && comparisonOf(spec.comparison),
    threshold: spec?.threshold,
    clearThreshold: spec?.clearThreshold,
    forMs: spec?.for && Math.ceil(durationMs(spec.for)),
    clearForMs: spec?.clearFor && Math.ceil(durationMs(spec.clearFor)),
    selector: spec?.selector && readSelector(spec.selector),
    revision: revision === 0 ? undefined : revision,
  });
}

const readSelector = ({ agents, sites, labels, capabilities, os }: RuleSelectorMessage) =>
  defined({
    agents: unlessEmpty(agents),
    sites: unlessEmpty(sites),
    labels: Object.keys(labels).length === 0 ? undefined : labels,
    capabilities: unlessEmpty(capabilities),
    os: unlessEmpty(os),
  });

export function silenceMessage(silence: Silence): MessageInitShape<typeof SilenceSchema> {
  const { rule = '', agentId = '', site = '', subject, createdAt, endsAt, ...rest } = silence;
  return {
    ...rest,
    endedBy: silence.endedBy ?? '',
    match: { rule, agentId, site, ...(subject !== undefined && { subject }) },
    createdAt: timestampFromDate(createdAt),
    endsAt: timestampFromDate(endsAt),
  };
}

export const readMatch = ({ rule, agentId, site, subject }: SilenceMatchMessage) =>
  defined({
    rule: rule || undefined,
    agentId: agentId || undefined,
    site: site || undefined,
    subject,
  });

export function webhookMessage(webhook: Webhook): MessageInitShape<typeof WebhookSchema> {
  const { filter, createdAt, ...rest } = webhook;
  const { minSeverity, sites = [], rules = [] } = filter;
  return {
    ...rest,
    filter: {
      ...(minSeverity && { minSeverity: severityMessage[minSeverity] }),
      sites: [...sites],
      rules: [...rules],
    },
    createdAt: timestampFromDate(createdAt),
  };
}

export const readFilter = (filter: WebhookFilterMessage | undefined) =>
  filter &&
  defined({
    minSeverity: severityOf(filter.minSeverity),
    sites: unlessEmpty(filter.sites),
    rules: unlessEmpty(filter.rules),
  });

export const deadLetterMessage = ({
  createdAt,
  endedAt,
  ...rest
}: DeadLetter): MessageInitShape<typeof DeadLetterSchema> => ({
  ...rest,
  createdAt: timestampFromDate(createdAt),
  endedAt: timestampFromDate(endedAt),
});

const protoNames: Readonly<Record<string, string>> = {
  clearThreshold: 'clear_threshold',
  forMs: 'for',
  clearForMs: 'clear_for',
};

/** A field of a rule as SaveAlertRuleRequest names it. */
export const ruleField = (field: string): string =>
  field === 'revision' ? field : `spec.${protoNames[field] ?? field}`;
