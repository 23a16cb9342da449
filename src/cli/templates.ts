import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import type { TemplateView } from '../api/schemas/templates.ts';
import type { AppInputs } from '../api/trpc/router.ts';
import type { Client } from './client.ts';
import { type CliContext, type ClientOptions, clientOf, withClientOptions } from './context.ts';
import { failureOf, UsageError } from './failure.ts';
import { collect, wholeNumber } from './options.ts';
import { paramsOf } from './params.ts';
import { optionalTargetOf, type TargetOptions, withTargetOptions } from './target.ts';
import { printable, printTable, since } from './terminal.ts';

/** `viworks templates`: commands with parameters, kept under a name. `viworks run --template` submits one. */

interface ListOptions extends ClientOptions {
  limit: number;
}
interface SaveOptions extends ClientOptions {
  revision?: number;
  force?: boolean;
}
interface RenderOptions extends ClientOptions, TargetOptions {
  param?: string[];
}

type SaveInput = AppInputs['templates']['save'];

const revision = wholeNumber(1, 2_147_483_647);

export function templatesCommand(program: Command, context: CliContext): void {
  const templates = program
    .command('templates')
    .summary('list, look at, save, delete and try templates')
    .description('Commands with parameters, kept under a name. `viworks run --template NAME` submits one.')
    .addHelpText(
      'after',
      `
Examples:
  viworks templates save restart.json
  viworks templates get restart --json > restart.json
  viworks templates render restart --param service=web
  viworks run --template restart --param service=web --site berlin

A template in a file, \`-\` for standard input:
  {"name": "restart",
   "parameters": [{"name": "service", "type": "string", "pattern": "[a-z-]+", "example": "web"}],
   "command": {"verb": "exec", "args": {"argv": ["systemctl", "restart", "{{service}}"]}}}`,
    );
  withClientOptions(
    templates
      .command('list', { isDefault: true })
      .description('List templates by name.')
      .option('--limit <number>', 'at most so many', wholeNumber(1, 1000), 100),
  ).action((options: ListOptions) => list(context, options));

  withClientOptions(templates.command('get <name>').description('Show one template.')).action(
    async (name: string, options: ClientOptions) => {
      const { template } = await clientOf(context, options).templates.get.query({ name });
      show(context, options, template);
    },
  );

  withClientOptions(
    templates
      .command('save <file>')
      .description('Try a template with example values, and store it.')
      .option(
        '--revision <number>',
        'of the template that it replaces (default: what the file says)',
        revision,
      )
      .option('--force', 'replace whatever revision there is'),
  ).action((file: string, options: SaveOptions) => save(context, file, options));

  withClientOptions(
    templates
      .command('delete <name>')
      .description('Delete a template.')
      .option('--revision <number>', 'only if it has this one', revision),
  ).action(async (name: string, options: SaveOptions) => {
    const given = options.revision === undefined ? {} : { revision: options.revision };
    await clientOf(context, options).templates.delete.mutate({ name, ...given });
    if (options.json) context.terminal.json({});
    else context.terminal.note(`deleted ${name}`);
  });

  withClientOptions(
    withTargetOptions(
      templates
        .command('render <name>')
        .description('Show what `run --template` would submit.')
        .option('--param <name=value>', 'a value; repeat for more', collect),
    ),
  ).action(async (name: string, options: RenderOptions) => {
    const { command } = await clientOf(context, options).templates.render.query({
      name,
      params: paramsOf(options.param),
      ...optionalTargetOf(options),
    });
    context.terminal.line(JSON.stringify(command, null, options.json ? 0 : 2));
  });
}

async function list(context: CliContext, options: ListOptions): Promise<void> {
  const { terminal } = context;
  const { templates } = await clientOf(context, options).templates.list.query({ pageSize: options.limit });
  if (options.json) return terminal.json(templates);
  if (templates.length === 0) return terminal.line('No templates. See: viworks templates --help');
  const rows = templates.map(({ name, command, parameters, revision: number, updatedAt, description }) => [
    name,
    command.verb,
    parameters.map((parameter) => parameter.name).join(' ') || '-',
    String(number),
    since(updatedAt, Date.now()),
    description,
  ]);
  const header = ['NAME', 'VERB', 'PARAMETERS', 'REVISION', 'CHANGED', 'DESCRIPTION'];
  printTable(terminal, header, rows);
}

async function save(context: CliContext, file: string, options: SaveOptions): Promise<void> {
  const client = clientOf(context, options);
  const template = readTemplate(file);
  const number = options.force
    ? await revisionOf(client, template.name)
    : (options.revision ?? template.revision);
  const { revision: _, ...rest } = template;
  const input = number === undefined ? rest : { ...rest, revision: number };
  const saved = await client.templates.save.mutate(input);
  show(context, options, saved.template);
}

/** Undefined where there is no such template. */
async function revisionOf(client: Client, name: string): Promise<number | undefined> {
  try {
    return (await client.templates.get.query({ name })).template.revision;
  } catch (error) {
    if (failureOf(error).code === 'template_unknown') return undefined;
    throw error;
  }
}

/** What `get --json` prints is a file that can be saved again. */
function readTemplate(file: string): SaveInput {
  let text: string;
  try {
    text = readFileSync(file === '-' ? 0 : file, 'utf8');
  } catch (error) {
    throw new UsageError(`${file}: cannot be read (${error instanceof Error ? error.message : ''})`);
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new UsageError(`${file}: must be a template in JSON; see viworks templates --help`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new UsageError(`${file}: must be one JSON object`);
  const {
    updatedBy: _by,
    createdAt: _created,
    updatedAt: _updated,
    ...template
  } = value as Partial<TemplateView>;
  // The server says what is wrong with it.
  return template as SaveInput;
}

function show({ terminal }: CliContext, options: ClientOptions, template: TemplateView): void {
  if (options.json) return terminal.json(template);
  const { name, description, command, parameters, revision: number, updatedBy, updatedAt } = template;
  terminal.line(`template  ${name}, revision ${number}, by ${updatedBy} ${since(updatedAt, Date.now())}`);
  if (description !== '') terminal.line(`          ${printable(description)}`);
  const { verb, args, target, ...delivery } = command;
  terminal.line(`command   ${verb} ${JSON.stringify(args)}`);
  terminal.line(`target    ${target === undefined ? 'whoever uses it says where' : JSON.stringify(target)}`);
  if (Object.keys(delivery).length > 0) terminal.line(`delivery  ${JSON.stringify(delivery)}`);
  for (const { name: parameter, type, description: about = '', ...rules } of parameters) {
    const said = Object.keys(rules).length === 0 ? '' : ` ${JSON.stringify(rules)}`;
    terminal.line(`param     ${parameter}: ${type}${said}${about === '' ? '' : `  ${printable(about)}`}`);
  }
}
