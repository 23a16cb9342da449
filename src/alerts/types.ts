import type { Page, PageRequest } from '../lib/page.ts';

/**
 * An alert says that a rule holds for one thing on one agent: the machine itself, a mount, a container or a service.
 * These are the shapes in which the rest of the service sees it.
 */

export const alertStates = ['pending', 'firing', 'acknowledged', 'silenced', 'resolved'] as const;
export type AlertState = (typeof alertStates)[number];

/** From the least. */
export const severities = ['info', 'warning', 'critical'] as const;
export type Severity = (typeof severities)[number];

/** Where a severity is among them: the higher, the worse. */
export const rank = (severity: string): number => (severities as readonly string[]).indexOf(severity);

/** For how long a rule may wait for an alert to begin, and to end. */
const longestDays = 24;
export const longestDurationMs = longestDays * 86_400_000;
export const durationProblem = `must be whole milliseconds from 0 to ${longestDays} days`;

export const comparisons = ['above', 'below'] as const;
export type Comparison = (typeof comparisons)[number];

/** Every part that is set must match; of several values any, of labels and capabilities all. */
export interface RuleSelector {
  agents?: readonly string[] | undefined;
  sites?: readonly string[] | undefined;
  labels?: Readonly<Record<string, string>> | undefined;
  capabilities?: readonly string[] | undefined;
  os?: readonly string[] | undefined;
}

export interface RuleInput {
  name: string;
  description?: string | undefined;
  /** Absent: true. */
  enabled?: boolean | undefined;
  severity: Severity;
  metric: string;
  /** Absent: what fits the metric. */
  comparison?: Comparison | undefined;
  threshold: number;
  /** What a value must be back at or beyond for the alert to end. Absent: the threshold. */
  clearThreshold?: number | undefined;
  /** Milliseconds for which the value must be past the threshold, up to 24 days. Absent: 0. */
  forMs?: number | undefined;
  /** Milliseconds for which it must be back, up to 24 days. Absent: 0. */
  clearForMs?: number | undefined;
  /** Absent: all agents. */
  selector?: RuleSelector | undefined;
}

export interface Rule extends Required<RuleInput> {
  description: string;
  enabled: boolean;
  comparison: Comparison;
  clearThreshold: number;
  forMs: number;
  clearForMs: number;
  selector: RuleSelector;
  /** Grows with each change. */
  revision: number;
  updatedBy: string;
  createdAt: Date;
  updatedAt: Date;
}

export interface Alert {
  alertId: string;
  rule: string;
  agentId: string;
  /** A mount, container or service; empty for the machine itself. */
  subject: string;
  site: string;
  severity: Severity;
  metric: string;
  comparison: Comparison;
  threshold: number;
  state: AlertState;
  /** When the state changed last; undefined where nothing was measured. */
  value: number | undefined;
  pendingSince: Date;
  firedAt: Date | undefined;
  resolvedAt: Date | undefined;
  /** Why it was resolved, in words for a person. */
  reason: string | undefined;
  acknowledgedAt: Date | undefined;
  acknowledgedBy: string | undefined;
  note: string | undefined;
  updatedAt: Date;
}

/** Every part that is set must match; without states those that are not resolved. */
export interface AlertFilter {
  states?: readonly AlertState[] | undefined;
  rule?: string | undefined;
  agentId?: string | undefined;
  site?: string | undefined;
  minSeverity?: Severity | undefined;
  /** Any of these; set by what its caller is limited to. */
  sites?: readonly string[] | undefined;
}

/** Every part that is set must match, and one must be set. */
export interface SilenceMatch {
  rule?: string | undefined;
  agentId?: string | undefined;
  site?: string | undefined;
  subject?: string | undefined;
}

export interface Silence extends SilenceMatch {
  silenceId: string;
  reason: string;
  createdBy: string;
  createdAt: Date;
  endsAt: Date;
  /** Who ended it before its time. */
  endedBy: string | undefined;
}

export interface SilenceInput {
  /** An alert, or what is to be silenced. */
  of: { alertId: string } | SilenceMatch;
  /** Milliseconds, up to a year. */
  lifetimeMs: number;
  reason: string;
}

/** What a webhook is told; each part that is set must match. */
export interface WebhookFilter {
  minSeverity?: Severity | undefined;
  sites?: readonly string[] | undefined;
  rules?: readonly string[] | undefined;
}

export interface Webhook {
  name: string;
  url: string;
  filter: WebhookFilter;
  createdBy: string;
  createdAt: Date;
  /** Messages that wait for it, and those that were given up. */
  waiting: number;
  dead: number;
}

export interface WebhookInput {
  name: string;
  url: string;
  filter?: WebhookFilter | undefined;
  /** `whsec_` and base64 of 24 to 64 bytes. Absent: one is made. */
  secret?: string | undefined;
}

/** A message that was given up. */
export interface DeadLetter {
  deliveryId: string;
  webhook: string;
  rule: string;
  site: string;
  body: string;
  attempts: number;
  lastError: string;
  createdAt: Date;
  endedAt: Date;
}

/** What came of one try to deliver something. */
export interface Attempt {
  delivered: boolean;
  /** Of the answer; undefined where there was none. */
  status: number | undefined;
  /** Why it was not delivered. */
  error: string | undefined;
  milliseconds: number;
}

/** What the API calls. */
export interface AlertService {
  /** The newest first. */
  list(filter: AlertFilter, page: PageRequest): Promise<Page<Alert>>;
  /** @throws alert_unknown */
  get(alertId: string): Promise<Alert>;
  /** @throws alert_unknown, alert_state where it does not fire */
  acknowledge(actor: string, alertId: string, note: string): Promise<Alert>;
  /** @throws alert_unknown, invalid_request, queue_full where there are too many */
  silence(actor: string, input: SilenceInput): Promise<Silence>;
  /** Those that have not ended, by the time they were made. */
  listSilences(page: PageRequest): Promise<Page<Silence>>;
  /** @throws silence_unknown where there is none, or it has ended */
  endSilence(actor: string, silenceId: string): Promise<Silence>;
  /** By name. */
  listRules(page: PageRequest): Promise<Page<Rule>>;
  /** @throws alert_rule_unknown */
  getRule(name: string): Promise<Rule>;
  /**
   * @param revision of the rule that it replaces; undefined for a new one
   * @throws invalid_request, alert_rule_unknown, revision_conflict, queue_full
   */
  saveRule(actor: string, input: RuleInput, revision: number | undefined): Promise<Rule>;
  /** Its alerts are resolved. @param revision undefined for any @throws alert_rule_unknown, revision_conflict */
  deleteRule(name: string, revision: number | undefined): Promise<void>;
  /** By name. */
  listWebhooks(page: PageRequest): Promise<Page<Webhook>>;
  /** The secret is told this once. @throws invalid_request, webhook_exists, queue_full */
  addWebhook(actor: string, input: WebhookInput): Promise<{ webhook: Webhook; secret: string }>;
  /** With all that waits for it. @throws webhook_unknown */
  removeWebhook(name: string): Promise<void>;
  /** Sends it one message at once. @throws webhook_unknown */
  testWebhook(name: string): Promise<Attempt>;
  /** The newest first. */
  listDeadLetters(webhook: string | undefined, page: PageRequest): Promise<Page<DeadLetter>>;
  /** Tries those again; answers with how many there were. @throws dead_letter_unknown, webhook_unknown */
  retryDeadLetters(of: { deliveryId: string } | { webhook: string }): Promise<number>;
}
