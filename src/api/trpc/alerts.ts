import {
  acknowledgeInput,
  addWebhookInput,
  addWebhookOutput,
  alertOutput,
  alertView,
  deadLetterView,
  deleteRuleInput,
  endSilenceInput,
  getAlertInput,
  getRuleInput,
  listAlertsInput,
  listAlertsOutput,
  listDeadLettersInput,
  listDeadLettersOutput,
  listRulesInput,
  listRulesOutput,
  listSilencesInput,
  listSilencesOutput,
  listWebhooksInput,
  listWebhooksOutput,
  retryDeadLettersInput,
  retryDeadLettersOutput,
  ruleOutput,
  ruleView,
  saveRuleInput,
  silenceInput,
  silenceOutput,
  silenceView,
  testWebhookOutput,
  webhookNameInput,
  webhookView,
} from '../schemas/alerts.ts';
import { pageRequest } from '../schemas/common.ts';
import { deleteOutput } from '../schemas/templates.ts';
import { procedure, router } from './trpc.ts';

/** Alerts, their rules, and who is told. */
export function alertsRouter() {
  return router({
    list: procedure
      .input(listAlertsInput)
      .output(listAlertsOutput)
      .query(async ({ ctx, input: { pageSize, pageToken, ...filter } }) => {
        const page = await ctx.core.alerts.list(filter, pageRequest({ pageSize, pageToken }));
        return { alerts: page.items.map(alertView), nextPageToken: page.nextToken };
      }),

    get: procedure
      .input(getAlertInput)
      .output(alertOutput)
      .query(async ({ ctx, input }) => ({ alert: alertView(await ctx.core.alerts.get(input.alertId)) })),

    /** Somebody takes care of it. */
    acknowledge: procedure
      .input(acknowledgeInput)
      .output(alertOutput)
      .mutation(async ({ ctx, input: { alertId, note } }) => {
        return { alert: alertView(await ctx.core.alerts.acknowledge(ctx.actor.subject, alertId, note)) };
      }),

    /** Nobody is told of these alerts for a while. */
    silence: procedure
      .input(silenceInput)
      .output(silenceOutput)
      .mutation(async ({ ctx, input }) => {
        return { silence: silenceView(await ctx.core.alerts.silence(ctx.actor.subject, input)) };
      }),

    /** Those that have not ended. */
    listSilences: procedure
      .input(listSilencesInput)
      .output(listSilencesOutput)
      .query(async ({ ctx, input }) => {
        const page = await ctx.core.alerts.listSilences(pageRequest(input));
        return { silences: page.items.map(silenceView), nextPageToken: page.nextToken };
      }),

    endSilence: procedure
      .input(endSilenceInput)
      .output(silenceOutput)
      .mutation(async ({ ctx, input }) => {
        const silence = await ctx.core.alerts.endSilence(ctx.actor.subject, input.silenceId);
        return { silence: silenceView(silence) };
      }),

    listRules: procedure
      .input(listRulesInput)
      .output(listRulesOutput)
      .query(async ({ ctx, input }) => {
        const page = await ctx.core.alerts.listRules(pageRequest(input));
        return { rules: page.items.map(ruleView), nextPageToken: page.nextToken };
      }),

    getRule: procedure
      .input(getRuleInput)
      .output(ruleOutput)
      .query(async ({ ctx, input }) => ({ rule: ruleView(await ctx.core.alerts.getRule(input.name)) })),

    saveRule: procedure
      .input(saveRuleInput)
      .output(ruleOutput)
      .mutation(async ({ ctx, input: { revision, ...rule } }) => {
        return { rule: ruleView(await ctx.core.alerts.saveRule(ctx.actor.subject, rule, revision)) };
      }),

    /** Its alerts are resolved. */
    deleteRule: procedure
      .input(deleteRuleInput)
      .output(deleteOutput)
      .mutation(async ({ ctx, input }) => {
        await ctx.core.alerts.deleteRule(input.name, input.revision);
        return {};
      }),

    listWebhooks: procedure
      .input(listWebhooksInput)
      .output(listWebhooksOutput)
      .query(async ({ ctx, input }) => {
        const page = await ctx.core.alerts.listWebhooks(pageRequest(input));
        return { webhooks: page.items.map(webhookView), nextPageToken: page.nextToken };
      }),

    /** The answer has the secret that signs what is told. */
    addWebhook: procedure
      .input(addWebhookInput)
      .output(addWebhookOutput)
      .mutation(async ({ ctx, input }) => {
        const { webhook, secret } = await ctx.core.alerts.addWebhook(ctx.actor.subject, input);
        return { webhook: webhookView(webhook), secret };
      }),

    /** With all that waits for it. */
    removeWebhook: procedure
      .input(webhookNameInput)
      .output(deleteOutput)
      .mutation(async ({ ctx, input }) => {
        await ctx.core.alerts.removeWebhook(input.name);
        return {};
      }),

    /** Sends one message at once, and says what came of it. */
    testWebhook: procedure
      .input(webhookNameInput)
      .output(testWebhookOutput)
      .mutation(({ ctx, input }) => ctx.core.alerts.testWebhook(input.name)),

    /** Messages that were given up. */
    listDeadLetters: procedure
      .input(listDeadLettersInput)
      .output(listDeadLettersOutput)
      .query(async ({ ctx, input }) => {
        const page = await ctx.core.alerts.listDeadLetters(input.webhook, pageRequest(input));
        return { deadLetters: page.items.map(deadLetterView), nextPageToken: page.nextToken };
      }),

    retryDeadLetters: procedure
      .input(retryDeadLettersInput)
      .output(retryDeadLettersOutput)
      .mutation(async ({ ctx, input }) => ({ count: await ctx.core.alerts.retryDeadLetters(input) })),
  });
}
