import { z } from 'zod';
import {
  type Alert,
  alertStates,
  comparisons,
  type DeadLetter,
  durationProblem,
  longestDurationMs,
  type Rule,
  type Silence,
  severities,
  type Webhook,
} from '../../alerts/types.ts';
import {
  agentIdSchema,
  anyOf,
  countSchema,
  labelsSchema,
  nextPageToken,
  optionalTimeView,
  pageInput,
  reasonSchema,
  siteSchema,
  timeSchema,
  timeView,
} from './common.ts';
import { descriptionSchema, nameSchema, revisionSchema } from './templates.ts';

/** Alerts, their rules, silences and webhooks. */

const severitySchema = z.enum(severities);
const uuid = z.uuid({ error: 'must be an id, a UUID' });
const subjectSchema = z.string().max(255);

const alertSchema = z.strictObject({
  alertId: z.string(),
  rule: z.string(),
  agentId: z.string(),
  /** A mount, container or service; empty for the machine itself. */
  subject: z.string(),
  site: z.string(),
  severity: severitySchema,
  metric: z.string(),
  comparison: z.enum(comparisons),
  threshold: z.number(),
  state: z.enum(alertStates),
  /** When the state changed last; absent where nothing was measured. */
  value: z.number().optional(),
  pendingSince: timeSchema,
  firedAt: timeSchema.optional(),
  resolvedAt: timeSchema.optional(),
  /** Why it was resolved. */
  reason: z.string().optional(),
  acknowledgedAt: timeSchema.optional(),
  acknowledgedBy: z.string().optional(),
  note: z.string().optional(),
  updatedAt: timeSchema,
});
export type AlertView = z.output<typeof alertSchema>;

export const alertView = ({
  pendingSince,
  firedAt,
  resolvedAt,
  acknowledgedAt,
  updatedAt,
  ...rest
}: Alert): AlertView => ({
  ...rest,
  pendingSince: timeView(pendingSince),
  firedAt: optionalTimeView(firedAt),
  resolvedAt: optionalTimeView(resolvedAt),
  acknowledgedAt: optionalTimeView(acknowledgedAt),
  updatedAt: timeView(updatedAt),
});

/** Every part that is set must match. */
export const alertFilterInput = z.strictObject({
  /** Absent: those that are not resolved. */
  states: anyOf(z.enum(alertStates)),
  rule: nameSchema.optional(),
  agentId: agentIdSchema.optional(),
  site: siteSchema.optional(),
  minSeverity: severitySchema.optional(),
});
export const listAlertsInput = alertFilterInput.extend(pageInput).prefault({});
export const listAlertsOutput = z.strictObject({ alerts: z.array(alertSchema), nextPageToken });
export const getAlertInput = z.strictObject({ alertId: uuid });
export const acknowledgeInput = z.strictObject({ alertId: uuid, note: z.string().max(1024).default('') });
export const alertOutput = z.strictObject({ alert: alertSchema });

const matchFields = {
  rule: nameSchema.optional(),
  agentId: agentIdSchema.optional(),
  site: siteSchema.optional(),
  /** A mount, container or service; empty for the machine itself. */
  subject: subjectSchema.optional(),
};
const silenceSchema = z.strictObject({
  silenceId: z.string(),
  rule: z.string().optional(),
  agentId: z.string().optional(),
  site: z.string().optional(),
  subject: z.string().optional(),
  reason: z.string(),
  createdBy: z.string(),
  createdAt: timeSchema,
  endsAt: timeSchema,
  /** Who ended it before its time. */
  endedBy: z.string().optional(),
});
export type SilenceView = z.output<typeof silenceSchema>;

export const silenceView = ({ createdAt, endsAt, ...rest }: Silence): SilenceView => ({
  ...rest,
  createdAt: timeView(createdAt),
  endsAt: timeView(endsAt),
});

export const silenceInput = z.strictObject({
  /** An alert, or what is to be silenced: every part that is set must match. */
  of: z.union([z.strictObject({ alertId: uuid }), z.strictObject(matchFields)], {
    error: 'must be {alertId: …}, or name a rule, agentId, site or subject',
  }),
  /** Milliseconds, up to a year. */
  lifetimeMs: z.int().min(1000).max(31_622_400_000),
  reason: reasonSchema.default(''),
});
export const silenceOutput = z.strictObject({ silence: silenceSchema });
export const listSilencesInput = z.strictObject(pageInput).prefault({});
export const listSilencesOutput = z.strictObject({ silences: z.array(silenceSchema), nextPageToken });
export const endSilenceInput = z.strictObject({ silenceId: uuid });

/** Every part that is set must match; of several values any, of labels and capabilities all. */
const selectorInput = z.strictObject({
  agents: anyOf(agentIdSchema),
  sites: anyOf(siteSchema),
  labels: labelsSchema.optional(),
  capabilities: anyOf(z.string().min(1).max(64)),
  os: anyOf(z.string().min(1).max(64)),
});
const texts = z.array(z.string()).optional();
const ruleSchema = z.strictObject({
  name: z.string(),
  description: z.string(),
  enabled: z.boolean(),
  severity: severitySchema,
  metric: z.string(),
  comparison: z.enum(comparisons),
  threshold: z.number(),
  clearThreshold: z.number(),
  forMs: countSchema,
  clearForMs: countSchema,
  selector: z.strictObject({
    agents: texts,
    sites: texts,
    labels: z.record(z.string(), z.string()).optional(),
    capabilities: texts,
    os: texts,
  }),
  revision: countSchema,
  updatedBy: z.string(),
  createdAt: timeSchema,
  updatedAt: timeSchema,
});
export type RuleView = z.output<typeof ruleSchema>;

export const ruleView = ({ selector, createdAt, updatedAt, ...rest }: Rule): RuleView => ({
  ...rest,
  selector: structuredClone(selector) as RuleView['selector'],
  createdAt: timeView(createdAt),
  updatedAt: timeView(updatedAt),
});

const duration = z
  .int({ error: durationProblem })
  .min(0, { error: durationProblem })
  .max(longestDurationMs, { error: durationProblem })
  .optional();
export const saveRuleInput = z.strictObject({
  name: nameSchema,
  description: descriptionSchema.default(''),
  /** Absent: true. */
  enabled: z.boolean().optional(),
  severity: severitySchema,
  /** For example `cpu.percent`, or `metrics.` and the name of a metric of the machine's own. */
  metric: z.string().min(1).max(80),
  /** Absent: what fits the metric. */
  comparison: z.enum(comparisons).optional(),
  threshold: z.number(),
  /** What a value must be back at or beyond for the alert to end. Absent: the threshold. */
  clearThreshold: z.number().optional(),
  /** Milliseconds for which the value must be past the threshold, up to 24 days. Absent: 0. */
  forMs: duration,
  /** Milliseconds for which it must be back, up to 24 days. Absent: 0. */
  clearForMs: duration,
  /** Absent: all agents. */
  selector: selectorInput.optional(),
  /** Of the rule that it replaces; absent for a new one. */
  revision: revisionSchema.optional(),
});
export const listRulesInput = z.strictObject(pageInput).prefault({});
export const listRulesOutput = z.strictObject({ rules: z.array(ruleSchema), nextPageToken });
export const ruleOutput = z.strictObject({ rule: ruleSchema });
export const getRuleInput = z.strictObject({ name: nameSchema });
export const deleteRuleInput = z.strictObject({
  name: nameSchema,
  /** That it must have. */
  revision: revisionSchema.optional(),
});

const filterInput = z.strictObject({
  minSeverity: severitySchema.optional(),
  sites: anyOf(siteSchema),
  rules: anyOf(nameSchema),
});
const webhookSchema = z.strictObject({
  name: z.string(),
  url: z.string(),
  filter: z.strictObject({ minSeverity: severitySchema.optional(), sites: texts, rules: texts }),
  createdBy: z.string(),
  createdAt: timeSchema,
  /** Messages that wait for it, and those that were given up. */
  waiting: countSchema,
  dead: countSchema,
});
export type WebhookView = z.output<typeof webhookSchema>;

export const webhookView = ({ filter, createdAt, ...rest }: Webhook): WebhookView => ({
  ...rest,
  filter: structuredClone(filter) as WebhookView['filter'],
  createdAt: timeView(createdAt),
});

export const listWebhooksInput = z.strictObject(pageInput).prefault({});
export const listWebhooksOutput = z.strictObject({ webhooks: z.array(webhookSchema), nextPageToken });
export const addWebhookInput = z.strictObject({
  name: nameSchema,
  /** https, or http on the machine of the server. */
  url: z.string().min(1).max(2048),
  /** What it is told; absent: everything. */
  filter: filterInput.optional(),
  /** `whsec_` and base64 of 24 to 64 bytes. Absent: one is made. */
  secret: z.string().max(128).optional(),
});
/** The secret is told this once. */
export const addWebhookOutput = z.strictObject({ webhook: webhookSchema, secret: z.string() });
export const webhookNameInput = z.strictObject({ name: nameSchema });
export const testWebhookOutput = z.strictObject({
  delivered: z.boolean(),
  /** Of the answer. */
  status: z.number().optional(),
  error: z.string().optional(),
  milliseconds: z.number(),
});

const deadLetterSchema = z.strictObject({
  deliveryId: z.string(),
  webhook: z.string(),
  rule: z.string(),
  site: z.string(),
  /** Exactly what was sent, in JSON. */
  body: z.string(),
  attempts: countSchema,
  lastError: z.string(),
  createdAt: timeSchema,
  endedAt: timeSchema,
});
export type DeadLetterView = z.output<typeof deadLetterSchema>;

export const deadLetterView = ({ createdAt, endedAt, ...rest }: DeadLetter): DeadLetterView => ({
  ...rest,
  createdAt: timeView(createdAt),
  endedAt: timeView(endedAt),
});

export const listDeadLettersInput = z
  .strictObject({ webhook: nameSchema.optional(), ...pageInput })
  .prefault({});
export const listDeadLettersOutput = z.strictObject({
  deadLetters: z.array(deadLetterSchema),
  nextPageToken,
});
export const retryDeadLettersInput = z.union(
  [z.strictObject({ deliveryId: uuid }), z.strictObject({ webhook: nameSchema })],
  { error: 'must have a deliveryId or a webhook' },
);
export const retryDeadLettersOutput = z.strictObject({ count: countSchema });
