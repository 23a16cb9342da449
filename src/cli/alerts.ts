import type { Command } from 'commander';
import type { AlertView, SilenceView } from '../api/schemas/alerts.ts';
import type { AppInputs } from '../api/trpc/router.ts';
import { defined } from '../lib/defined.ts';
import { formatDuration } from '../lib/duration.ts';
import { alertRulesCommand } from './alert-rules.ts';
import { alertWebhooksCommand, deadLettersCommand } from './alert-webhooks.ts';
import { followAlerts } from './alerts-follow.ts';
import { type CliContext, type ClientOptions, clientOf, withClientOptions } from './context.ts';
import { UsageError } from './failure.ts';
import { collect, duration, wholeNumber } from './options.ts';
import { inLine, printTable, since, type Terminal } from './terminal.ts';

/** `viworks alerts`: what rules hold for, who takes care of it, and who is told. */

interface ListOptions extends ClientOptions {
  state?: string[];
  all?: boolean;
  rule?: string;
  agent?: string;
  site?: string;
  minSeverity?: string;
  limit: number;
  follow?: boolean;
}
interface SilenceOptions extends ClientOptions {
  for: number;
  reason: string;
  rule?: string;
  agent?: string;
  site?: string;
  subject?: string;
}

/** Alerts of a silence that are counted. */
const mostCounted = 1000;

type ListInput = NonNullable<AppInputs['alerts']['list']>;
type FollowInput = Extract<AppInputs['live']['alerts'], object>;

export function alertsCommand(program: Command, context: CliContext, exit: (code: number) => void): void {
  const alerts = program
    .command('alerts')
    .summary('see alerts, take care of them, and say who is told of them')
    .description('What rules hold for, who takes care of it, and who is told.')
    .addHelpText(
      'after',
      `
Examples:
  viworks alerts                                    what is not resolved
  viworks alerts --follow                           that, and what changes
  viworks alerts ack ID --note "disk is on its way"
  viworks alerts silence ID --for 2h --reason "being repaired"
  viworks alerts silence --site berlin --for 1h     all of a site
  viworks alerts rules set cpu-high --threshold 90
  viworks alerts webhooks add chat https://chat.example/hook`,
    );
  withClientOptions(
    alerts
      .command('list', { isDefault: true })
      .description('List alerts, the newest first.')
      .option(
        '--state <state>',
        'pending, firing, acknowledged, silenced or resolved; repeat for more',
        collect,
      )
      .option('--all', 'those that are resolved too')
      .option('--rule <name>', 'of this rule')
      .option('--agent <id>', 'of this agent')
      .option('--site <site>', 'of this site')
      .option('--min-severity <severity>', 'info, warning or critical')
      .option('--limit <number>', 'at most so many', wholeNumber(1, 1000), 100)
      .option('--follow', 'a line for each that is not resolved, and for each that changes, until Ctrl-C'),
  ).action((options: ListOptions) => list(context, options));

  withClientOptions(alerts.command('show <alert>').description('Show one alert.')).action(
    async (alertId: string, options: ClientOptions) => {
      const { alert } = await clientOf(context, options).alerts.get.query({ alertId });
      show(context.terminal, options, alert);
    },
  );

  withClientOptions(
    alerts
      .command('ack <alert>')
      .description('Say that you take care of it.')
      .option('--note <text>', 'what is being done', ''),
  ).action(async (alertId: string, options: ClientOptions & { note: string }) => {
    const { note } = options;
    const { alert } = await clientOf(context, options).alerts.acknowledge.mutate({ alertId, note });
    show(context.terminal, options, alert);
  });

  withClientOptions(
    alerts
      .command('silence [alert]')
      .description('Tell nobody of an alert, or of all that the options name, for a while.')
      .requiredOption('--for <duration>', 'for so long, for example 2h', duration)
      .option('--reason <text>', 'why', '')
      .option('--rule <name>', 'of this rule')
      .option('--agent <id>', 'of this agent')
      .option('--site <site>', 'of this site')
      .option('--subject <name>', 'of this mount, container or service'),
  ).action(async (alertId: string | undefined, options: SilenceOptions) => {
    const { for: lifetimeMs, reason, rule, agent: agentId, site, subject } = options;
    const match = defined({ rule, agentId, site, subject });
    if ((alertId === undefined) === (Object.keys(match).length === 0))
      throw new UsageError(
        'name either an alert, or what to silence with --rule, --agent, --site or --subject',
      );
    const of = alertId === undefined ? match : { alertId };
    const client = clientOf(context, options);
    const { silence } = await client.alerts.silence.mutate({ of, lifetimeMs, reason });
    if (options.json) return context.terminal.json(silence);
    context.terminal.note(`silenced ${matchText(silence)} until ${silence.endsAt}: ${silence.silenceId}`);
    const { rule: ofRule, agentId: ofAgent, site: ofSite } = silence;
    const open = await client.alerts.list.query({
      pageSize: mostCounted,
      states: ['firing', 'acknowledged', 'silenced'],
      ...defined({ rule: ofRule, agentId: ofAgent, site: ofSite }),
    });
    const { length } = open.alerts.filter(({ subject }) => (silence.subject ?? subject) === subject);
    const more = open.nextPageToken === undefined ? '' : ' or more';
    // A name that is mistyped silences nothing, and nobody would see it.
    context.terminal.note(
      length === 0
        ? 'nothing of it fires now; what begins to fire meanwhile is silenced'
        : `${length}${more} ${length === 1 ? 'alert fires' : 'alerts fire'} there now`,
    );
  });

  withClientOptions(alerts.command('silences').description('List silences that have not ended.')).action(
    async (options: ClientOptions) => {
      const { silences } = await clientOf(context, options).alerts.listSilences.query({ pageSize: 1000 });
      const { terminal } = context;
      if (options.json) return terminal.json(silences);
      if (silences.length === 0) return terminal.line('No silences.');
      const rows = silences.map((silence) => [
        silence.silenceId,
        matchText(silence),
        formatDuration(Math.max(0, Date.parse(silence.endsAt) - Date.now())),
        silence.createdBy,
        silence.reason,
      ]);
      printTable(terminal, ['SILENCE', 'OF', 'LEFT', 'BY', 'REASON'], rows);
    },
  );

  withClientOptions(
    alerts.command('unsilence <silence>').description('End a silence before its time.'),
  ).action(async (silenceId: string, options: ClientOptions) => {
    const { silence } = await clientOf(context, options).alerts.endSilence.mutate({ silenceId });
    if (options.json) context.terminal.json(silence);
    else context.terminal.note(`ended the silence of ${matchText(silence)}`);
  });

  alertRulesCommand(alerts, context);
  alertWebhooksCommand(alerts, context, exit);
  deadLettersCommand(alerts, context);
}

async function list(context: CliContext, options: ListOptions): Promise<void> {
  const { terminal } = context;
  if (options.follow) return followAlerts(context, options, followInput(options));
  const every = ['pending', 'firing', 'acknowledged', 'silenced', 'resolved'];
  const { alerts } = await clientOf(context, options).alerts.list.query({
    pageSize: options.limit,
    // The server says what is wrong with a word that it does not know.
    ...(defined({
      states: options.state ?? (options.all ? every : undefined),
      rule: options.rule,
      agentId: options.agent,
      site: options.site,
      minSeverity: options.minSeverity,
    }) as Partial<ListInput>),
  });
  if (options.json) return terminal.json(alerts);
  if (alerts.length === 0) return terminal.line('No alerts.');
  const rows = alerts.map((alert) => [
    alert.alertId,
    alert.state,
    alert.severity,
    alert.rule,
    alert.site,
    alert.subject === '' ? alert.agentId : `${alert.agentId} ${alert.subject}`,
    measured(alert),
    since(alert.firedAt ?? alert.pendingSince, Date.now()),
  ]);
  printTable(terminal, ['ALERT', 'STATE', 'SEVERITY', 'RULE', 'SITE', 'WHAT', 'VALUE', 'SINCE'], rows);
}

function followInput({ state, rule, agent, site, minSeverity }: ListOptions): FollowInput {
  const selector = {
    ...(agent !== undefined && { agents: [agent] }),
    ...(site !== undefined && { sites: [site] }),
  };
  return { selector, ...(defined({ states: state, rule, minSeverity }) as FollowInput) };
}

const measured = ({ value }: AlertView): string =>
  value === undefined ? '-' : String(Math.round(value * 100) / 100);

function matchText({ rule, agentId, site, subject }: SilenceView): string {
  const parts = [rule && `rule ${rule}`, agentId && `agent ${agentId}`, site && `site ${site}`];
  return [...parts, subject && `subject ${subject}`].filter(Boolean).join(', ');
}

function show(terminal: Terminal, options: ClientOptions, alert: AlertView): void {
  if (options.json) return terminal.json(alert);
  const { metric, comparison, threshold, acknowledgedBy, acknowledgedAt, note = '', reason } = alert;
  const now = Date.now();
  terminal.line(`alert         ${alert.alertId}`);
  terminal.line(`state         ${alert.state}, ${alert.severity}`);
  terminal.line(`rule          ${alert.rule}: ${metric} ${comparison} ${threshold}`);
  const subject = alert.subject === '' ? '' : `, ${inLine(alert.subject)}`;
  terminal.line(`what          ${alert.agentId} in ${alert.site}${subject}`);
  terminal.line(`value         ${measured(alert)}`);
  terminal.line(`since         ${since(alert.pendingSince, now)}`);
  if (alert.firedAt !== undefined) terminal.line(`fired         ${since(alert.firedAt, now)}`);
  if (acknowledgedBy !== undefined)
    terminal.line(
      `acknowledged  by ${acknowledgedBy} ${since(acknowledgedAt, now)} ${inLine(note)}`.trimEnd(),
    );
  if (alert.resolvedAt !== undefined)
    terminal.line(
      `resolved      ${since(alert.resolvedAt, now)}${reason === undefined ? '' : `: ${inLine(reason)}`}`,
    );
}
