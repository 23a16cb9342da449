import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import type { AppInputs } from '../api/trpc/router.ts';
import { defined } from '../lib/defined.ts';
import { type CliContext, type ClientOptions, clientOf, withClientOptions } from './context.ts';
import { exitCodes, UsageError } from './failure.ts';
import { filterText } from './filter-text.ts';
import { collect, wholeNumber } from './options.ts';
import { printTable, since } from './terminal.ts';

/** `viworks alerts webhooks` and `dead-letters`: who is told of alerts, and what could not be told. */

interface AddOptions extends ClientOptions {
  minSeverity?: string;
  site?: string[];
  rule?: string[];
  secretFile?: string;
}

type AddInput = AppInputs['alerts']['addWebhook'];

export function alertWebhooksCommand(
  alerts: Command,
  context: CliContext,
  exit: (code: number) => void,
): void {
  const { terminal } = context;
  const webhooks = alerts
    .command('webhooks')
    .summary('list, add, remove and test webhooks')
    .description('Who is told of alerts.');
  withClientOptions(
    webhooks.command('list', { isDefault: true }).description('List webhooks by name.'),
  ).action(async (options: ClientOptions) => {
    const { webhooks: found } = await clientOf(context, options).alerts.listWebhooks.query({
      pageSize: 1000,
    });
    if (options.json) return terminal.json(found);
    if (found.length === 0) return terminal.line('No webhooks. See: viworks alerts webhooks add --help');
    const rows = found.map(({ name, url, filter, waiting, dead }) => [
      name,
      String(waiting),
      String(dead),
      filterText(filter) || 'everything',
      url,
    ]);
    printTable(terminal, ['WEBHOOK', 'WAITING', 'GIVEN UP', 'IS TOLD', 'URL'], rows);
  });

  withClientOptions(
    webhooks
      .command('add <name> <url>')
      .description('Tell this address of alerts. The secret that signs what is told is shown this once.')
      .option('--min-severity <severity>', 'only from info, warning or critical on')
      .option('--site <site>', 'only of this site; repeat for more', collect)
      .option('--rule <name>', 'only of this rule; repeat for more', collect)
      .option('--secret-file <file>', 'a secret of your own, - for standard input (default: one is made)'),
  ).action(async (name: string, url: string, options: AddOptions) => {
    const { minSeverity, site: sites, rule: rules, secretFile } = options;
    const secret = secretFile === undefined ? undefined : readSecret(secretFile);
    const filter = defined({ minSeverity, sites, rules });
    const input = { name, url, filter, ...defined({ secret }) } as AddInput;
    const added = await clientOf(context, options).alerts.addWebhook.mutate(input);
    if (options.json) return terminal.json(added);
    terminal.note(`added ${name}; try it: viworks alerts webhooks test ${name}`);
    terminal.note('The secret of its signatures, which is not shown again:');
    terminal.line(added.secret);
  });

  withClientOptions(
    webhooks.command('remove <name>').description('Tell it no more; what waits for it is deleted.'),
  ).action(async (name: string, options: ClientOptions) => {
    await clientOf(context, options).alerts.removeWebhook.mutate({ name });
    if (options.json) terminal.json({});
    else terminal.note(`removed ${name}`);
  });

  withClientOptions(webhooks.command('test <name>').description('Send it one message now.')).action(
    async (name: string, options: ClientOptions) => {
      const done = await clientOf(context, options).alerts.testWebhook.mutate({ name });
      if (!done.delivered) exit(exitCodes.failure);
      if (options.json) return terminal.json(done);
      if (!done.delivered) return terminal.note(`not delivered to ${name}: ${done.error}`);
      terminal.note(`delivered to ${name} in ${done.milliseconds} ms: it answered ${done.status}`);
    },
  );
}

export function deadLettersCommand(alerts: Command, context: CliContext): void {
  const { terminal } = context;
  const letters = alerts
    .command('dead-letters')
    .summary('list and retry messages that were given up')
    .description('Messages that were given up.');
  withClientOptions(
    letters
      .command('list', { isDefault: true })
      .description('List them, the newest first.')
      .option('--webhook <name>', 'of this webhook')
      .option('--limit <number>', 'at most so many', wholeNumber(1, 1000), 100),
  ).action(async (options: ClientOptions & { webhook?: string; limit: number }) => {
    const { deadLetters } = await clientOf(context, options).alerts.listDeadLetters.query({
      pageSize: options.limit,
      ...defined({ webhook: options.webhook }),
    });
    if (options.json) return terminal.json(deadLetters);
    if (deadLetters.length === 0) return terminal.line('No dead letters.');
    const rows = deadLetters.map(({ deliveryId, webhook, rule, site, attempts, endedAt, lastError }) => [
      deliveryId,
      webhook,
      rule,
      site,
      String(attempts),
      since(endedAt, Date.now()),
      lastError,
    ]);
    printTable(terminal, ['MESSAGE', 'WEBHOOK', 'RULE', 'SITE', 'ATTEMPTS', 'GIVEN UP', 'WHY'], rows);
  });

  withClientOptions(
    letters
      .command('retry [message]')
      .description('Try one again, or all of a webhook.')
      .option('--webhook <name>', 'all of this webhook'),
  ).action(async (deliveryId: string | undefined, options: ClientOptions & { webhook?: string }) => {
    const { webhook } = options;
    if ((deliveryId === undefined) === (webhook === undefined))
      throw new UsageError('name either a message or a --webhook');
    const of = deliveryId === undefined ? { webhook: webhook ?? '' } : { deliveryId };
    const { count } = await clientOf(context, options).alerts.retryDeadLetters.mutate(of);
    if (options.json) terminal.json({ count });
    else terminal.note(`${count} ${count === 1 ? 'message is' : 'messages are'} tried again`);
  });
}

function readSecret(file: string): string {
  try {
    return readFileSync(file === '-' ? 0 : file, 'utf8').trim();
  } catch (error) {
    throw new UsageError(`${file}: cannot be read (${error instanceof Error ? error.message : ''})`);
  }
}
