import { type Command, InvalidArgumentError, Option } from 'commander';
import { retryableStates } from '../commands/types.ts';
import { defined } from '../lib/defined.ts';
import { countsOf, noteApproval } from './command-view.ts';
import { type CliContext, type ClientOptions, clientOf, withClientOptions } from './context.ts';
import { exitCodes } from './failure.ts';
import { follow } from './follow.ts';

/** What a person decides about a command: to let it go, to refuse it, to try it again. */

type ReasonOptions = ClientOptions & { reason?: string };

export function decisionCommands(commands: Command, context: CliContext, exit: (code: number) => void): void {
  for (const verdict of ['approve', 'reject'] as const) {
    withClientOptions(
      commands
        .command(`${verdict} <command-id>`)
        .description(
          verdict === 'approve'
            ? 'Let a command go that waits for a second person.'
            : 'End a command that waits for a second person.',
        )
        .option('--reason <text>', 'why, for the record'),
    ).action(async (commandId: string, { reason = '', ...options }: ReasonOptions) => {
      const client = clientOf(context, options);
      const { command } = await client.commands[verdict].mutate({ commandId, reason });
      if (options.json) context.terminal.json(command);
      else context.terminal.line(`${command.commandId}: ${countsOf(command)}`);
    });
  }

  withClientOptions(
    commands
      .command('retry <command-id>')
      .description('Submit a finished command again, for the agents on which it did not succeed.')
      .addOption(
        new Option(
          '--state <state>',
          'only where it ended so; repeat for more (default: all that did not succeed)',
        ).argParser((text, before: States | undefined) => [...(before ?? []), stateOf(text)]),
      )
      .option('--idempotency-key <key>', 'the same key and command again give the first answer')
      .option('--no-wait', 'print the id of the new command and leave'),
  ).action(async (commandId: string, options: RetryOptions) => {
    const { terminal } = context;
    const client = clientOf(context, options);
    const { state: states, idempotencyKey } = options;
    const { command } = await client.commands.retry.mutate({
      commandId,
      ...defined({ states, idempotencyKey }),
    });
    if (options.wait) {
      if (options.json) terminal.json({ event: 'submitted', command });
      exit(await follow(client, terminal, command.commandId, { json: options.json === true }));
      return;
    }
    if (options.json) terminal.json(command);
    else terminal.line(command.commandId);
    noteApproval(terminal, command);
    exit(exitCodes.success);
  });
}

type States = (typeof retryableStates)[number][];
type RetryOptions = ClientOptions & { state?: States; idempotencyKey?: string; wait: boolean };

function stateOf(text: string): States[number] {
  const state = retryableStates.find((known) => known === text);
  if (state === undefined) throw new InvalidArgumentError(`must be one of ${retryableStates.join(', ')}`);
  return state;
}
