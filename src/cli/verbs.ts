import type { Command } from 'commander';
import type { AppOutputs } from '../api/trpc/router.ts';
import { formatDuration } from '../lib/duration.ts';
import { type CliContext, type ClientOptions, clientOf, withClientOptions } from './context.ts';
import { printable, printTable, type Terminal } from './terminal.ts';

type Verb = AppOutputs['verbs']['get']['verb'];
type Field = Verb['args'][number];

/** `viworks verbs`: what can be run, and which args it takes. */
export function verbsCommand(program: Command, context: CliContext): void {
  const command = program
    .command('verbs')
    .summary('list what can be run, and explain its args')
    .description(
      'Lists the verbs the server knows; with a name, explains that one: its args, its result, an example.',
    )
    .argument('[verb]', 'explain this one');
  withClientOptions(command).action(async (name: string | undefined, options: ClientOptions) => {
    const { terminal } = context;
    const client = clientOf(context, options);
    if (name !== undefined) {
      const { verb } = await client.verbs.get.query({ name });
      if (options.json) return terminal.json(verb);
      for (const line of explained(verb, terminal)) terminal.line(line);
      return;
    }
    const { verbs } = await client.verbs.list.query();
    if (options.json) return terminal.json(verbs);
    const rows = verbs.map((verb) => [
      verb.name,
      verb.effect,
      verb.risk,
      formatDuration(verb.defaultTimeoutMs),
      verb.capability,
      verb.summary,
    ]);
    const header = ['VERB', 'EFFECT', 'RISK', 'TIMEOUT', 'NEEDS', 'WHAT IT DOES'];
    printTable(terminal, header, rows);
  });
}

const effects: Record<Verb['effect'], string> = {
  read: 'changes nothing',
  idempotent: 'twice is the same as once',
  once: 'must not happen twice, and is never tried again once it has begun',
};

/** A verb for a person. Names and texts may come from a plug-in. */
export function explained(verb: Verb, terminal: Pick<Terminal, 'style'>): string[] {
  const heading = (text: string) => ['', terminal.style('bold', text)];
  return [
    `${terminal.style('bold', printable(verb.name))}  ${printable(verb.summary)}`,
    '',
    `  effect   ${verb.effect}: ${effects[verb.effect]}`,
    `  risk     ${verb.risk}`,
    `  timeout  ${formatDuration(verb.defaultTimeoutMs)}`,
    `  needs    agents with the capability ${printable(verb.capability)}`,
    ...heading('Args'),
    ...(verb.args.length === 0
      ? ['  none']
      : verb.args.flatMap((field) => described(field, verb)).map(printable)),
    ...heading('Result'),
    ...(verb.result.length === 0
      ? ['  none']
      : verb.result.map(({ name, type }) => printable(`  ${name}  ${type}`))),
    ...heading('Example'),
    `  ${printable(verb.example)}`,
  ];
}

function described(field: Field, verb: Verb): string[] {
  const { name, type, required, choices, rule, help } = field;
  const facts = [
    choices.length > 0 ? choices.join(' | ') : type,
    ...(required ? ['required'] : []),
    ...(field.default === '' ? [] : [`default: ${field.default}`]),
    ...(name === verb.positional ? ['also without a name'] : []),
    ...(type.startsWith('map') ? [`write --arg ${name}.KEY=VALUE`] : []),
    ...(type.startsWith('list') ? ['may be repeated'] : []),
  ];
  return [
    `  ${name}  (${facts.join('; ')})`,
    ...(help === '' ? [] : [`      ${help}`]),
    ...(rule === '' ? [] : [`      rule: ${rule}`]),
  ];
}
