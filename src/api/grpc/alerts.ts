import { durationMs } from '@bufbuild/protobuf/wkt';
import type { z } from 'zod';
import { ControlService } from '#gen/viworks/control/v1/control_service_pb.js';
import { defined } from '../../lib/defined.ts';
import {
  addWebhookInput,
  alertFilterInput,
  retryDeadLettersInput,
  saveRuleInput,
  silenceInput,
  webhookNameInput,
} from '../schemas/alerts.ts';
import { invalidRequest } from '../schemas/problems.ts';
import {
  alertMessage,
  deadLetterMessage,
  readAlertFilter,
  readFilter,
  readMatch,
  readRule,
  ruleField,
  ruleMessage,
  silenceMessage,
  webhookMessage,
} from './alert-convert.ts';
import { pageRequest } from './convert.ts';
import type { Guard } from './guard.ts';
import { withFieldsNamed } from './submit.ts';

/** The methods of ControlService for alerts. */
export function alertMethods({ unary }: Pick<Guard, 'unary'>) {
  const { method } = ControlService;
  return {
    listAlerts: unary(method.listAlerts, async (request, { core }) => {
      const filter = parse(alertFilterInput, readAlertFilter(request.filter), filterNames);
      const page = await core.alerts.list(filter, pageRequest(request));
      return { alerts: page.items.map(alertMessage), nextPageToken: page.nextToken ?? '' };
    }),

    getAlert: unary(method.getAlert, async ({ alertId }, { core }) => {
      return { alert: alertMessage(await core.alerts.get(alertId)) };
    }),

    acknowledgeAlert: unary(method.acknowledgeAlert, async ({ alertId, note }, { actor, core }) => {
      return { alert: alertMessage(await core.alerts.acknowledge(actor.subject, alertId, note)) };
    }),

    silenceAlerts: unary(method.silenceAlerts, async ({ of, lifetime, reason }, { actor, core }) => {
      const named = of.case === 'alertId' ? { alertId: of.value } : of.value && readMatch(of.value);
      const input = parse(
        silenceInput,
        { of: named, lifetimeMs: lifetime && Math.ceil(durationMs(lifetime)), reason },
        { lifetimeMs: 'lifetime' },
      );
      return { silence: silenceMessage(await core.alerts.silence(actor.subject, input)) };
    }),

    listSilences: unary(method.listSilences, async (request, { core }) => {
      const page = await core.alerts.listSilences(pageRequest(request));
      return { silences: page.items.map(silenceMessage), nextPageToken: page.nextToken ?? '' };
    }),

    endSilence: unary(method.endSilence, async ({ silenceId }, { actor, core }) => {
      return { silence: silenceMessage(await core.alerts.endSilence(actor.subject, silenceId)) };
    }),

    listAlertRules: unary(method.listAlertRules, async (request, { core }) => {
      const page = await core.alerts.listRules(pageRequest(request));
      return { rules: page.items.map(ruleMessage), nextPageToken: page.nextToken ?? '' };
    }),

    getAlertRule: unary(method.getAlertRule, async ({ name }, { core }) => {
      return { rule: ruleMessage(await core.alerts.getRule(name)) };
    }),

    saveAlertRule: unary(method.saveAlertRule, async ({ spec, revision: given }, { actor, core }) => {
      try {
        const { revision, ...rule } = parse(saveRuleInput, readRule(spec, given));
        return { rule: ruleMessage(await core.alerts.saveRule(actor.subject, rule, revision)) };
      } catch (thrown) {
        throw withFieldsNamed(thrown, ruleField);
      }
    }),

    deleteAlertRule: unary(method.deleteAlertRule, async ({ name, revision }, { core }) => {
      await core.alerts.deleteRule(name, revision || undefined);
      return {};
    }),

    listWebhooks: unary(method.listWebhooks, async (request, { core }) => {
      const page = await core.alerts.listWebhooks(pageRequest(request));
      return { webhooks: page.items.map(webhookMessage), nextPageToken: page.nextToken ?? '' };
    }),

    addWebhook: unary(method.addWebhook, async ({ name, url, filter, secret }, { actor, core }) => {
      const given = defined({ name, url, filter: readFilter(filter), secret: secret || undefined });
      const input = parse(addWebhookInput, given, { 'filter.minSeverity': 'filter.min_severity' });
      const added = await core.alerts.addWebhook(actor.subject, input);
      return { webhook: webhookMessage(added.webhook), secret: added.secret };
    }),

    removeWebhook: unary(method.removeWebhook, async ({ name }, { core }) => {
      await core.alerts.removeWebhook(name);
      return {};
    }),

    testWebhook: unary(method.testWebhook, async ({ name }, { core }) => {
      const { status = 0, error = '', ...rest } = await core.alerts.testWebhook(name);
      return { ...rest, status, error };
    }),

    listDeadLetters: unary(method.listDeadLetters, async (request, { core }) => {
      const { webhook } = request;
      if (webhook !== '') parse(webhookNameInput, { name: webhook }, { name: 'webhook' });
      const page = await core.alerts.listDeadLetters(webhook || undefined, pageRequest(request));
      return { deadLetters: page.items.map(deadLetterMessage), nextPageToken: page.nextToken ?? '' };
    }),

    retryDeadLetters: unary(method.retryDeadLetters, async ({ of }, { core }) => {
      const named = of.case === 'deliveryId' ? { deliveryId: of.value } : { webhook: of.value };
      return { count: await core.alerts.retryDeadLetters(parse(retryDeadLettersInput, named)) };
    }),
  };
}

const filterNames = {
  rule: 'filter.rule',
  agentId: 'filter.agent_id',
  site: 'filter.site',
  states: 'filter.states',
};

function parse<S extends z.ZodType>(
  schema: S,
  input: unknown,
  names?: Readonly<Record<string, string>>,
): z.output<S> {
  const parsed = schema.safeParse(input);
  if (!parsed.success) throw invalidRequest(parsed.error, names);
  return parsed.data;
}
