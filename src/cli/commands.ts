import { type Command, Option } from 'commander';
import type { CommandView } from '../api/schemas/commands.ts';
import { executionStates, priorities } from '../commands/types.ts';
import { defined } from '../lib/defined.ts';
import { approvalLine, countsOf, noteApproval, stateOf } from './command-view.ts';
import { type CliContext, type ClientOptions, clientOf, withClientOptions } from './context.ts';
import { decisionCommands } from './decisions.ts';
import { follow } from './follow.ts';
import { moment, wholeNumber } from './options.ts';
import { outputCommand } from './output.ts';
import { everyPage } from './pages.ts';
import { progressLine, widthOf } from './progress.ts';
import { printResults } from './results.ts';
import { noteSteps, rolloutLine } from './rollout-view.ts';
import { statisticsCommand } from './statistics.ts';
import { printable, printTable, since } from './terminal.ts';

/** `viworks commands`: the history, one command, following and cancelling it. */

interface ListOptions extends ClientOptions {
  verb?: string;
  agent?: string;
  actor?: string;
  state?: (typeof executionStates)[number];
  priority?: (typeof priorities)[number];
  site?: string;
  correlationId?: string;
  origin?: string;
  awaitingApproval?: boolean;
  since?: string;
  until?: string;
  limit: number;
}

export function commandsCommand(program: Command, context: CliContext, exit: (code: number) => void): void {
  const commands = program
    .command('commands')
    .summary('list commands, look at one, follow, cancel, approve or retry it')
    .description('Lists commands, looks at one, follows, cancels, approves or tries it again.')
    .addHelpText(
      'after',
      `
Examples:
  viworks commands
  viworks commands list --state failed --limit 10
  viworks commands list --awaiting-approval
  viworks commands statistics --by agent --since 7d
  viworks commands get 01890a5d-ac96-774b-bcce-b302099a8057
  viworks commands cancel 01890a5d-ac96-774b-bcce-b302099a8057 --reason "wrong site"`,
    );
  withClientOptions(
    commands
      .command('list', { isDefault: true })
      .description('List commands, newest first.')
      .option('--verb <verb>', 'only of this verb')
      .option('--agent <id>', 'only those that reached this agent')
      .option('--actor <name>', 'only those of this caller')
      .addOption(
        new Option('--state <state>', 'only with an execution in this state').choices(executionStates),
      )
      .addOption(new Option('--priority <priority>', 'only of this priority').choices(priorities))
      .option('--site <site>', 'only those that reached an agent of this site')
      .option('--correlation-id <id>', 'only those that were submitted with it')
      .option('--origin <origin>', 'only what this submitted, for example schedule:nightly')
      .option('--awaiting-approval', 'only those that wait for a second person')
      .option('--since <when>', 'only from then on: 24h ago, or a time', moment)
      .option('--until <when>', 'only before then', moment)
      .option('--limit <number>', 'at most so many', wholeNumber(1, 1000), 20),
  ).action((options: ListOptions) => list(context, options));

  withClientOptions(
    commands.command('get <command-id>').description('Show one command and its executions.'),
  ).action((commandId: string, options: ClientOptions) => get(context, options, commandId));

  withClientOptions(
    commands.command('watch <command-id>').description('Follow a command to its end.'),
  ).action(async (commandId: string, options: ClientOptions) => {
    const client = clientOf(context, options);
    exit(await follow(client, context.terminal, commandId, { json: options.json === true }));
  });

  outputCommand(commands, context);
  decisionCommands(commands, context, exit);
  statisticsCommand(commands, context);

  withClientOptions(
    commands
      .command('cancel <command-id>')
      .description('Ask every execution that is not final to stop.')
      .option('--reason <text>', 'why, for the record'),
  ).action(async (commandId: string, options: ClientOptions & { reason?: string }) => {
    const { reason = '' } = options;
    const { command } = await clientOf(context, options).commands.cancel.mutate({ commandId, reason });
    if (options.json) context.terminal.json(command);
    else context.terminal.line(`${command.commandId}: ${countsOf(command)}`);
  });
}

async function list(context: CliContext, options: ListOptions): Promise<void> {
  const { terminal } = context;
  const { verb, agent, actor, state, priority, site, correlationId, origin } = options;
  const { awaitingApproval, since: from, until } = options;
  const { commands } = await clientOf(context, options).commands.list.query({
    filter: defined({
      verb,
      agentId: agent,
      actor,
      state,
      priority,
      site,
      correlationId,
      origin,
      awaitingApproval,
      createdAfter: from,
      createdBefore: until,
    }),
    pageSize: options.limit,
  });
  if (options.json) return terminal.json(commands);
  if (commands.length === 0) return terminal.line('No commands. Try: viworks run system.info --all');
  const rows = commands.map((command) => [
    command.commandId,
    command.verb,
    command.actor,
    since(command.createdAt, Date.now()),
    stateOf(command),
  ]);
  printTable(terminal, ['COMMAND', 'VERB', 'BY', 'WHEN', 'EXECUTIONS'], rows);
}

async function get(context: CliContext, options: ClientOptions, commandId: string): Promise<void> {
  const { terminal } = context;
  const client = clientOf(context, options);
  const { pages, last } = await everyPage((page) => client.commands.get.query({ commandId, ...page }));
  const { command } = last;
  const executions = pages.flatMap((page) => page.executions);
  if (options.json) return terminal.json({ command, executions });
  for (const line of describe(command)) terminal.line(printable(line));
  terminal.line();
  for (const execution of executions) {
    terminal.line(progressLine(execution, Date.now(), widthOf(executions)).trimEnd());
    for (const { at, state, cause } of execution.transitions) {
      terminal.line(terminal.style('dim', `  ${at}  ${state.padEnd(15)} ${printable(cause)}`.trimEnd()));
    }
  }
  terminal.line();
  printResults(terminal, command.verb, executions);
  noteApproval(terminal, command);
  noteSteps(terminal, command);
}

function describe(command: CommandView): string[] {
  const { commandId, verb, args, actor, createdAt, expiresAt, priority, retryOf, origin } = command;
  return [
    `command   ${commandId}`,
    `verb      ${verb} ${JSON.stringify(args)}`,
    `by        ${actor} at ${createdAt}, expires ${expiresAt}`,
    `priority  ${priority}`,
    `state     ${countsOf(command)}`,
    ...(retryOf === undefined ? [] : [`retry of  ${retryOf}`]),
    ...(origin === undefined ? [] : [`origin    ${origin}`]),
    ...(command.approval === undefined ? [] : [`approval  ${approvalLine(command.approval)}`]),
    ...(command.rollout === undefined ? [] : [`rollout   ${rolloutLine(command.rollout)}`]),
  ];
}
