import { type Command, InvalidArgumentError } from 'commander';
import type { RuleView } from '../api/schemas/alerts.ts';
import type { AppInputs } from '../api/trpc/router.ts';
import { defined } from '../lib/defined.ts';
import { formatDuration } from '../lib/duration.ts';
import type { Client } from './client.ts';
import { type CliContext, type ClientOptions, clientOf, withClientOptions } from './context.ts';
import { failureOf, UsageError } from './failure.ts';
import { filterText } from './filter-text.ts';
import { collect, duration, wholeNumber } from './options.ts';
import { printable, printTable, since, type Terminal } from './terminal.ts';

/** `viworks alerts rules`: when alerts begin and end. */

interface SetOptions extends ClientOptions {
  metric?: string;
  above?: number;
  below?: number;
  threshold?: number;
  clear?: number;
  for?: number;
  clearFor?: number;
  severity?: string;
  description?: string;
  enable?: boolean;
  disable?: boolean;
  everywhere?: boolean;
  agent?: string[];
  site?: string[];
  label?: string[];
  os?: string[];
  capability?: string[];
}

type SaveInput = AppInputs['alerts']['saveRule'];

const revision = wholeNumber(1, 2_147_483_647);

function number(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value)) throw new InvalidArgumentError('must be a number');
  return value;
}

export function alertRulesCommand(alerts: Command, context: CliContext): void {
  const rules = alerts
    .command('rules')
    .summary('list, look at, make, change and delete rules')
    .description('When alerts begin and end.');
  withClientOptions(rules.command('list', { isDefault: true }).description('List rules by name.')).action(
    async (options: ClientOptions) => {
      const found = await clientOf(context, options).alerts.listRules.query({ pageSize: 1000 });
      list(context.terminal, options, found.rules);
    },
  );

  withClientOptions(rules.command('show <name>').description('Show one rule.')).action(
    async (name: string, options: ClientOptions) => {
      const { rule } = await clientOf(context, options).alerts.getRule.query({ name });
      show(context.terminal, options, rule);
    },
  );

  withClientOptions(
    rules
      .command('set <name>')
      .description('Make a rule, or change what the options say of one.')
      .option('--metric <name>', 'what it looks at, for example cpu.percent or disk.percent')
      .option('--above <value>', 'it begins above this', number)
      .option('--below <value>', 'it begins below this', number)
      .option('--threshold <value>', 'it begins past this, on the side that fits', number)
      .option('--clear <value>', 'it ends at this (default: the threshold)', number)
      .option('--for <duration>', 'for which it must be so, for example 5m', duration)
      .option('--clear-for <duration>', 'for which it must be over', duration)
      .option('--severity <severity>', 'info, warning or critical')
      .option('--description <text>', 'what it is about')
      .option('--enable', 'let it count')
      .option('--disable', 'let it rest; its alerts are resolved')
      .option('--agent <id>', 'only this agent; repeat for more', collect)
      .option('--site <site>', 'only agents of this site; repeat for more', collect)
      .option('--label <name=value>', 'only agents with this label; repeat for more', collect)
      .option('--os <name>', 'only agents with this system; repeat for more', collect)
      .option('--capability <name>', 'only agents that can do this; repeat for more', collect)
      .option('--everywhere', 'all agents again'),
  ).action(async (name: string, options: SetOptions) => {
    const client = clientOf(context, options);
    const before = await ruleOf(client, name);
    if (before !== undefined && saysNothing(options))
      throw new UsageError('say what to change, for example --threshold 90; see `viworks alerts rules show`');
    const { rule } = await client.alerts.saveRule.mutate(inputOf(name, options, before));
    show(context.terminal, options, rule);
  });

  withClientOptions(
    rules
      .command('delete <name>')
      .description('Delete a rule; its alerts are resolved.')
      .option('--revision <number>', 'only if it has this one', revision),
  ).action(async (name: string, options: ClientOptions & { revision?: number }) => {
    const given = defined({ revision: options.revision });
    await clientOf(context, options).alerts.deleteRule.mutate({ name, ...given });
    if (options.json) context.terminal.json({});
    else context.terminal.note(`deleted ${name}`);
  });
}

/** A rule that is saved again unchanged would still get another revision, and whoever asked would think it has changed. */
function saysNothing({ url, token, dataDir, json, ...changes }: SetOptions): boolean {
  return Object.values(changes).every((value) => value === undefined);
}

/** Undefined where there is no such rule. */
async function ruleOf(client: Client, name: string): Promise<RuleView | undefined> {
  try {
    return (await client.alerts.getRule.query({ name })).rule;
  } catch (error) {
    if (failureOf(error).code === 'alert_rule_unknown') return undefined;
    throw error;
  }
}

function inputOf(name: string, options: SetOptions, before: RuleView | undefined): SaveInput {
  const given = [options.above, options.below, options.threshold].filter((value) => value !== undefined);
  if (given.length > 1) throw new UsageError('give one of --above, --below and --threshold');
  if (options.enable && options.disable) throw new UsageError('give one of --enable and --disable');
  const [threshold = before?.threshold] = given;
  if (threshold === undefined) throw new UsageError('a new rule needs --above, --below or --threshold');
  const { metric = before?.metric, severity = before?.severity ?? 'warning' } = options;
  if (metric === undefined) throw new UsageError('a new rule needs --metric');
  const side = options.above !== undefined ? 'above' : options.below !== undefined ? 'below' : undefined;
  const moved = given.length > 0;
  const kept = before && {
    description: before.description,
    enabled: before.enabled,
    // Of another metric the side is another one.
    ...(metric === before.metric && { comparison: before.comparison }),
    // What it ended at belongs to the threshold that it had.
    ...(!moved && { clearThreshold: before.clearThreshold }),
    forMs: before.forMs,
    clearForMs: before.clearForMs,
    selector: before.selector,
    revision: before.revision,
  };
  const changed = defined({
    comparison: side,
    clearThreshold: options.clear,
    forMs: options.for,
    clearForMs: options.clearFor,
    description: options.description,
    enabled: options.enable ? true : options.disable ? false : undefined,
    selector: selectorOf(options),
  });
  // The server says what is wrong with it.
  return { name, metric, severity, threshold, ...kept, ...changed } as SaveInput;
}

/** Undefined where the options say nothing of it. */
function selectorOf({ agent, site, label, os, capability, everywhere }: SetOptions) {
  const labels =
    label &&
    Object.fromEntries(
      label.map((text) => {
        const at = text.indexOf('=');
        if (at < 1) throw new UsageError(`--label ${text}: must be name=value`);
        return [text.slice(0, at), text.slice(at + 1)];
      }),
    );
  const selector = defined({ agents: agent, sites: site, labels, os, capabilities: capability });
  return Object.keys(selector).length > 0 || everywhere ? selector : undefined;
}

const termsOf = ({ metric, comparison, threshold }: RuleView): string =>
  `${metric} ${comparison} ${threshold}`;

function list(terminal: Terminal, options: ClientOptions, rules: readonly RuleView[]): void {
  if (options.json) return terminal.json(rules);
  if (rules.length === 0) return terminal.line('No rules. See: viworks alerts rules set --help');
  const rows = rules.map((rule) => [
    rule.name,
    rule.enabled ? rule.severity : 'off',
    termsOf(rule),
    formatDuration(rule.forMs),
    String(rule.clearThreshold),
    formatDuration(rule.clearForMs),
    filterText(rule.selector) || 'all',
  ]);
  printTable(terminal, ['RULE', 'SEVERITY', 'BEGINS', 'FOR', 'ENDS AT', 'FOR', 'AGENTS'], rows);
}

function show(terminal: Terminal, options: ClientOptions, rule: RuleView): void {
  if (options.json) return terminal.json(rule);
  const { name, description, updatedBy, updatedAt } = rule;
  terminal.line(
    `rule      ${name}, revision ${rule.revision}, by ${updatedBy} ${since(updatedAt, Date.now())}`,
  );
  if (description !== '') terminal.line(`          ${printable(description)}`);
  terminal.line(`severity  ${rule.severity}${rule.enabled ? '' : ', but it is off'}`);
  terminal.line(`begins    ${termsOf(rule)} for ${formatDuration(rule.forMs)}`);
  terminal.line(`ends      at ${rule.clearThreshold} for ${formatDuration(rule.clearForMs)}`);
  terminal.line(`agents    ${filterText(rule.selector) || 'all'}`);
}
