import type { Command } from 'commander';
import { formatDuration } from '../lib/duration.ts';
import { verbCatalogue } from '../protocol/verbs.ts';
import { type CliContext, type ClientOptions, clientOf, withClientOptions } from './context.ts';
import { describeArgs } from './run-args.ts';
import { table } from './terminal.ts';

/** `viworks verbs`: what can be run, and which args it takes. */
export function verbsCommand(program: Command, context: CliContext): void {
  const command = program
    .command('verbs')
    .summary('list what can be run, and its args')
    .description('Lists the verbs the server knows; with a name, its args.')
    .argument('[verb]', 'show the args of this one');
  withClientOptions(command).action(async (name: string | undefined, options: ClientOptions) => {
    const { terminal } = context;
    const all = (await clientOf(context, options).commands.verbs.query()).verbs;
    const verbs = name === undefined ? all : all.filter((verb) => verb.name === name);
    if (options.json) return terminal.json(verbs);
    if (name !== undefined && verbs.length === 0) return terminal.line(`The server has no verb ${name}.`);
    const rows = verbs.map((verb) => [
      verb.name,
      verb.effect,
      verb.risk,
      formatDuration(verb.defaultTimeoutMs),
      verb.summary,
    ]);
    for (const line of table(['VERB', 'EFFECT', 'RISK', 'TIMEOUT', 'WHAT IT DOES'], rows))
      terminal.line(line);
    const known = name === undefined ? undefined : verbCatalogue.get(name);
    if (known === undefined) return;
    terminal.line();
    const args = describeArgs(known.args).map(({ name: arg, type }) => [
      arg,
      arg === known.positional ? `${type} (also without a name)` : type,
    ]);
    for (const line of table(['ARG', 'TYPE'], args)) terminal.line(line);
  });
}
