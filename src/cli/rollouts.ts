import { type Command, Option } from 'commander';
import type { CommandView } from '../api/schemas/commands.ts';
import { rolloutStates } from '../commands/rollouts/types.ts';
import { defined } from '../lib/defined.ts';
import { type CliContext, type ClientOptions, clientOf, withClientOptions } from './context.ts';
import { wholeNumber } from './options.ts';
import { noteSteps, planLine, rolloutLine } from './rollout-view.ts';
import { printTable, since } from './terminal.ts';

/** `viworks rollouts`: commands that go to their agents in steps, and what a person may do about them. */

interface ListOptions extends ClientOptions {
  state?: (typeof rolloutStates)[number];
  limit: number;
}

export function rolloutsCommand(program: Command, context: CliContext): void {
  const rollouts = program
    .command('rollouts')
    .summary('list rollouts, look at one, pause, resume or abort it')
    .description('Lists rollouts, looks at one, pauses, resumes or aborts it. `viworks run` begins one.')
    .addHelpText(
      'after',
      `
Examples:
  viworks run exec --all --canary 1 --batch 10% --max-in-flight 5 --fail-at 20%/10 -- uptime
  viworks rollouts list --state running
  viworks rollouts get 01890a5d-ac96-774b-bcce-b302099a8057
  viworks rollouts pause 01890a5d-ac96-774b-bcce-b302099a8057 --reason "looks slow"
  viworks rollouts resume 01890a5d-ac96-774b-bcce-b302099a8057`,
    );
  withClientOptions(
    rollouts
      .command('list', { isDefault: true })
      .description('List rollouts, newest first.')
      .addOption(new Option('--state <state>', 'only in this state').choices(rolloutStates))
      .option('--limit <number>', 'at most so many', wholeNumber(1, 1000), 20),
  ).action((options: ListOptions) => list(context, options));

  withClientOptions(
    rollouts
      .command('get <command-id>')
      .alias('show')
      .description('Show one rollout: its plan and how far it is.'),
  ).action(async (commandId: string, options: ClientOptions) => {
    const { command } = await clientOf(context, options).rollouts.get.query({ commandId });
    show(context, options, command);
  });

  withClientOptions(
    rollouts
      .command('pause <command-id>')
      .description('Let nothing more go; what is under way goes on.')
      .option('--reason <text>', 'why, for the record'),
  ).action(async (commandId: string, options: ClientOptions & { reason?: string }) => {
    const { reason = '' } = options;
    const { command } = await clientOf(context, options).rollouts.pause.mutate({ commandId, reason });
    show(context, options, command);
  });

  withClientOptions(
    rollouts
      .command('resume <command-id>')
      .description('Go on after a pause.')
      .option('--force', 'also after a stop; failures are counted anew from here on'),
  ).action(async (commandId: string, options: ClientOptions & { force?: boolean }) => {
    const { force = false } = options;
    const { command } = await clientOf(context, options).rollouts.resume.mutate({ commandId, force });
    show(context, options, command);
  });

  withClientOptions(
    rollouts
      .command('abort <command-id>')
      .description('End it for good: what no agent has is cancelled.')
      .option('--reason <text>', 'why, for the record')
      .option('--stop-running', 'ask what is under way to stop, too'),
  ).action(async (commandId: string, options: ClientOptions & { reason?: string; stopRunning?: boolean }) => {
    const { reason = '', stopRunning = false } = options;
    const client = clientOf(context, options);
    const { command } = await client.rollouts.abort.mutate({ commandId, reason, stopRunning });
    show(context, options, command);
  });
}

async function list(context: CliContext, options: ListOptions): Promise<void> {
  const { terminal } = context;
  const { commands } = await clientOf(context, options).rollouts.list.query({
    ...defined({ state: options.state }),
    pageSize: options.limit,
  });
  if (options.json) return terminal.json(commands);
  if (commands.length === 0)
    return terminal.line('No rollouts. Try: viworks run system.info --all --canary 1');
  const rows = commands.flatMap(({ commandId, verb, actor, createdAt, rollout }) =>
    rollout === undefined
      ? []
      : [[commandId, verb, actor, since(createdAt, Date.now()), rolloutLine(rollout)]],
  );
  printTable(terminal, ['COMMAND', 'VERB', 'BY', 'WHEN', 'ROLLOUT'], rows);
}

function show({ terminal }: CliContext, options: ClientOptions, command: CommandView): void {
  if (options.json) return terminal.json(command);
  const { rollout } = command;
  if (rollout === undefined) return;
  terminal.line(`command   ${command.commandId}`);
  terminal.line(`verb      ${command.verb} ${JSON.stringify(command.args)}`);
  terminal.line(`plan      ${planLine(rollout)}`);
  terminal.line(`rollout   ${rolloutLine(rollout)}`);
  noteSteps(terminal, command);
}
