import { checkRule } from '../../src/alerts/rules.ts';
import type { Alert, AlertService, Rule, Silence, Webhook } from '../../src/alerts/types.ts';
import { ViworksError } from '../../src/errors.ts';
import { newId } from '../../src/lib/ids.ts';
import type { PageRequest } from '../../src/lib/page.ts';

/** Alerts of a core in memory: kept as they are said, and nothing happens by itself. */

const then = new Date('2030-01-01T00:00:00.000Z');

const page = <T>(items: Iterable<T>, { size }: PageRequest) => ({
  items: [...items].slice(0, size),
  nextToken: undefined,
});

export const firingAlert: Alert = {
  alertId: '01990000-0000-7000-8000-000000000001',
  rule: 'disk-high',
  agentId: 'alpha',
  subject: '/data',
  site: 'berlin',
  severity: 'warning',
  metric: 'disk.percent',
  comparison: 'above',
  threshold: 85,
  state: 'firing',
  value: 91.5,
  pendingSince: then,
  firedAt: then,
  resolvedAt: undefined,
  reason: undefined,
  acknowledgedAt: undefined,
  acknowledgedBy: undefined,
  note: undefined,
  updatedAt: then,
};

export function memoryAlerts(): AlertService {
  const alert: Alert = { ...firingAlert };
  const rules = new Map<string, Rule>();
  const silences = new Map<string, Silence>();
  const webhooks = new Map<string, Webhook>();
  const find = <T>(
    items: Map<string, T>,
    key: string,
    code: 'alert_rule_unknown' | 'silence_unknown' | 'webhook_unknown',
  ) => {
    const item = items.get(key);
    if (item === undefined) throw new ViworksError(code, `There is no ${key}.`);
    return item;
  };
  const get: AlertService['get'] = async (alertId) => {
    if (alertId === alert.alertId) return alert;
    throw new ViworksError('alert_unknown', `There is no alert ${alertId}.`);
  };
  return {
    get,
    async list({ states, rule, agentId, site, sites, minSeverity }, request) {
      const is =
        (states === undefined ? alert.state !== 'resolved' : states.includes(alert.state)) &&
        (rule === undefined || rule === alert.rule) &&
        (agentId === undefined || agentId === alert.agentId) &&
        (site === undefined || site === alert.site) &&
        (sites === undefined || sites.includes(alert.site)) &&
        minSeverity !== 'critical';
      return page(is ? [alert] : [], request);
    },
    async acknowledge(actor, alertId, note) {
      const found = await get(alertId);
      return Object.assign(found, {
        state: 'acknowledged',
        acknowledgedAt: then,
        acknowledgedBy: actor,
        note,
      });
    },
    async silence(actor, { of, lifetimeMs, reason }) {
      const match =
        'alertId' in of ? { rule: alert.rule, agentId: alert.agentId, subject: alert.subject } : of;
      const times = { createdAt: then, endsAt: new Date(then.getTime() + lifetimeMs) };
      const made = { ...match, silenceId: newId(), reason, createdBy: actor, ...times, endedBy: undefined };
      silences.set(made.silenceId, made);
      return made;
    },
    listSilences: async (request) => page(silences.values(), request),
    endSilence: async (actor, silenceId) =>
      Object.assign(find(silences, silenceId, 'silence_unknown'), { endsAt: then, endedBy: actor }),
    listRules: async (request) => page(rules.values(), request),
    getRule: async (name) => find(rules, name, 'alert_rule_unknown'),
    async saveRule(actor, input, revision = 0) {
      const times = { createdAt: then, updatedAt: then };
      const rule = { ...checkRule(input), revision: revision + 1, updatedBy: actor, ...times };
      rules.set(rule.name, rule);
      return rule;
    },
    async deleteRule(name) {
      find(rules, name, 'alert_rule_unknown');
      rules.delete(name);
    },
    listWebhooks: async (request) => page(webhooks.values(), request),
    async addWebhook(actor, { name, url, filter = {}, secret = 'whsec_made' }) {
      const webhook = { name, url, filter, createdBy: actor, createdAt: then, waiting: 2, dead: 1 };
      webhooks.set(name, webhook);
      return { webhook, secret };
    },
    async removeWebhook(name) {
      find(webhooks, name, 'webhook_unknown');
      webhooks.delete(name);
    },
    async testWebhook(name) {
      find(webhooks, name, 'webhook_unknown');
      return { delivered: false, status: 500, error: 'it answered 500', milliseconds: 7 };
    },
    async listDeadLetters(webhook, request) {
      const letter = {
        deliveryId: firingAlert.alertId,
        webhook: webhook ?? 'chat',
        rule: 'disk-high',
        site: 'berlin',
        body: '{}',
        attempts: 12,
        lastError: 'it answered 500',
        createdAt: then,
        endedAt: then,
      };
      return page([letter], request);
    },
    retryDeadLetters: async (of) => ('webhook' in of ? 3 : 1),
  };
}
