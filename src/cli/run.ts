import { type Command, Option } from 'commander';
import { otherVerb } from '../api/client.ts';
import type { AppInputs } from '../api/trpc/router.ts';
import { priorities } from '../commands/types.ts';
import { defined } from '../lib/defined.ts';
import type { VerbCatalogue } from '../protocol/verbs.ts';
import { noteApproval } from './command-view.ts';
import { type CliContext, type ClientOptions, clientOf, withClientOptions } from './context.ts';
import { exitCodes } from './failure.ts';
import { follow } from './follow.ts';
import { catalogueWith } from './known-verbs.ts';
import { collect, duration, wholeNumber } from './options.ts';
import { showPlan } from './plan.ts';
import { type RolloutOptions, rolloutOf, withRolloutOptions } from './rollout-options.ts';
import { parseArgs } from './run-args.ts';
import { renderedOf, type TemplateOptions, templateOf } from './run-template.ts';
import { targetOf, withTargetOptions } from './target.ts';

/** `viworks run`: submits a command, follows it, and says by its exit code how it ended. */

interface RunOptions extends ClientOptions, TemplateOptions, RolloutOptions {
  arg?: string[];
  args?: string;
  priority?: (typeof priorities)[number];
  timeout?: number;
  ttl?: number;
  retries?: number;
  dryRun?: boolean;
  wait: boolean;
}

export function runCommand(program: Command, context: CliContext, exit: (code: number) => void): void {
  const command = program
    .command('run')
    .summary('run a verb on agents, show progress and output')
    .description(
      'Runs a verb on agents and follows it to its end. Exits 0 only if every execution succeeded.',
    )
    .argument('[verb]', 'what to do; `viworks verbs` lists them')
    .argument('[args...]', "the verb's main argument; put -- before what begins with a dash")
    .option('--template <name>', 'run this template in place of a verb; `viworks templates` lists them')
    .option('--param <name=value>', 'a value for the template; repeat for more', collect)
    .option('--arg <name=value>', 'one arg; repeat for more, or for more items of a list', collect)
    .option('--args <json>', 'args as a JSON object')
    .addOption(new Option('--priority <priority>', 'before or after other commands').choices(priorities))
    .option('--timeout <duration>', "how long it may run (default: the verb's own)", duration)
    .option('--ttl <duration>', 'how long it may wait for its agents (default: 1h)', duration)
    .option('--retries <n>', 'further attempts after a failure, where the verb allows it', wholeNumber(0, 10))
    .option('--idempotency-key <key>', 'the same key and command again give the first one')
    .option('--correlation-id <id>', 'joins the command to your own records')
    .option('--dry-run', 'only show what would run where, and why not elsewhere')
    .option('--no-wait', 'print the id of the command and leave');
  withTargetOptions(command);
  withClientOptions(withRolloutOptions(command, duration))
    .addHelpText(
      'after',
      `
Examples:
  viworks run system.info --all
  viworks run exec --agent web-1 --agent web-2 -- uptime -p
  viworks run docker.ps --select site=berlin --select label.role=web --dry-run
  viworks run exec --site berlin --timeout 5m -- sh -c 'df -h | tail -n +2'
  viworks run service.status nginx --all
  viworks run file.read --all --arg path=/etc/hostname --arg limit=100
  viworks run exec --site berlin --canary 1 --batch 10% --fail-at 20%/10 -- systemctl restart web
  viworks run --template restart --param service=web --site berlin
  viworks run exec --all --arg environment.LANG=C --arg working_directory=/tmp -- ls

Ctrl-C leaves the command running and prints how to follow and how to cancel it.
Exit codes: 0 every execution succeeded, 1 any did not, 2 refused or wrong usage, 130 left by Ctrl-C.
With --json: one JSON document a line, \`{"event": "submitted" | "execution" | "rollout" | "done", …}\`.`,
    )
    .action(async (verb: string | undefined, positional: string[], options: RunOptions) => {
      exit(await run(context, verb, positional, options));
    });
}

async function run(
  context: CliContext,
  verb: string | undefined,
  positional: readonly string[],
  options: RunOptions,
): Promise<number> {
  const { terminal } = context;
  const client = clientOf(context, options);
  const template = templateOf(verb, options);
  const input =
    verb === undefined
      ? undefined
      : submitInputOf(verb, positional, options, await catalogueWith(client, verb));
  if (options.dryRun) {
    const planned = input ?? (await renderedOf(client, template));
    const any = await showPlan(client, terminal, planned, { json: options.json === true });
    return any ? exitCodes.success : exitCodes.usage;
  }
  const { command } =
    input === undefined
      ? await client.templates.run.mutate(template)
      : await client.commands.submit.mutate(input);
  const { commandId } = command;
  if (!options.wait) {
    if (options.json) terminal.json(command);
    else terminal.line(commandId);
    noteApproval(terminal, command);
    return exitCodes.success;
  }
  if (options.json) terminal.json({ event: 'submitted', command });
  return follow(client, terminal, commandId, { json: options.json === true });
}

/** @throws UsageError, verb_unknown */
export function submitInputOf(
  verb: string,
  positional: readonly string[],
  options: Omit<RunOptions, keyof ClientOptions | 'wait' | 'dryRun' | 'template' | 'param'>,
  catalogue?: VerbCatalogue,
): AppInputs['commands']['submit'] {
  const typed = { positional, named: options.arg ?? [], json: options.args };
  const args = parseArgs(verb, typed, catalogue);
  const { priority, timeout, ttl, retries, idempotencyKey, correlationId } = options;
  const rollout = rolloutOf(options);
  return {
    verb: otherVerb(verb),
    args,
    target: targetOf(options),
    ...defined({
      priority,
      timeoutMs: timeout,
      timeToLiveMs: ttl,
      maxRetries: retries,
      idempotencyKey,
      correlationId,
      rollout,
    }),
  };
}
