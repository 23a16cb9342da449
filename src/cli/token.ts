import { type Command, Option } from 'commander';
import type { ServiceTokenView } from '../api/schemas/tokens.ts';
import { type Role, roles } from '../identity/types.ts';
import { defined } from '../lib/defined.ts';
import { parseLabels } from './agents.ts';
import { type CliContext, type ClientOptions, clientOf, withClientOptions } from './context.ts';
import { UsageError } from './failure.ts';
import { collect, duration, wholeNumber } from './options.ts';
import { everyPage } from './pages.ts';
import { printable, printTable, since } from './terminal.ts';

/** `viworks tokens`: tokens for applications and people, and tokens with which agents enrol. */

interface CreateOptions extends ClientOptions {
  subject?: string;
  role: Role;
  lifetime?: number;
  site?: string[];
  verb?: string[];
  rateLimit?: number;
}

interface EnrollOptions extends ClientOptions {
  site: string;
  uses: number;
  lifetime?: number;
  agent?: string;
  label?: string[];
}

interface ListOptions extends ClientOptions {
  revoked?: boolean;
}

export function tokenCommand(program: Command, context: CliContext): void {
  const tokens = program
    .command('token')
    .alias('tokens')
    .summary('make, list and revoke tokens for the API, and make those for enrolling agents')
    .description('Makes, lists and revokes tokens. The text of a token is shown once and not stored.')
    .addHelpText(
      'after',
      `
Examples:
  viworks tokens create shop --role operator --site bern --verb "docker.*"
  viworks tokens create shop --role operator --rate-limit 6000
  viworks tokens create --subject ada --role viewer --lifetime 12h
  viworks tokens list
  viworks tokens revoke 019a2b3c-4d5e-7f60-8192-a3b4c5d6e7f8
  viworks tokens enroll --site berlin --uses 10 --lifetime 1h
  viworks tokens enroll --site berlin --agent web-1`,
    );
  withClientOptions(
    tokens
      .command('create [name]')
      .description(
        'Make a token for an application, which is good until it is revoked; or with --subject a signed one, for a while.',
      )
      .option('--subject <name>', 'whose signed token it is; shown in records')
      .addOption(new Option('--role <role>', 'what it may do').choices(roles).makeOptionMandatory())
      .option('--lifetime <duration>', 'how long it is good for, for example 12h', duration)
      .option('--site <site>', 'it sees and reaches this site alone; repeat for more', collect)
      .option(
        '--verb <verb>',
        'it may use this verb alone, or those that begin so with a * at the end; repeat for more',
        collect,
      )
      .option(
        '--rate-limit <number>',
        'calls it may make in a minute, or as long as security.rate_limit_window is; 0: any number',
        wholeNumber(0, 1_000_000_000),
      ),
  ).action((name: string | undefined, options: CreateOptions) => create(context, name, options));

  withClientOptions(
    tokens
      .command('list')
      .description('List the tokens of applications, newest first.')
      .option('--revoked', 'also those that were revoked'),
  ).action((options: ListOptions) => list(context, options));

  withClientOptions(
    tokens
      .command('revoke <id>')
      .description('End a token at once: by its id, by the jti of a signed one, or by a signed one itself.'),
  ).action((id: string, options: ClientOptions) => revoke(context, id, options));

  withClientOptions(
    tokens
      .command('enroll')
      .description('Make a token with which new agents enrol.')
      .requiredOption('--site <site>', 'the site that the agents belong to')
      .option('--uses <number>', 'how many agents may use it', wholeNumber(1, 100_000), 1)
      .option('--lifetime <duration>', 'how long it is good for (default: 1h)', duration)
      .option('--agent <id>', 'only this identity may use it; one that exists is enrolled anew')
      .option('--label <name=value>', 'label of the agents; repeat for more', collect),
  ).action(async (options: EnrollOptions) => {
    const { site, uses, lifetime, agent, label } = options;
    const made = await clientOf(context, options).tokens.createEnrollment.mutate({
      site,
      uses,
      ...defined({ lifetimeMs: lifetime, agentId: agent, labels: label && parseLabels(label) }),
    });
    const serverPin = await pinOf(context, options);
    print(context, options, { ...made, ...defined({ serverPin }) });
    if (serverPin !== undefined && !options.json)
      context.terminal.note(`agents know the server by --server-pin ${serverPin}`);
  });
}

/** Undefined where the server is not pinned. */
async function pinOf(context: CliContext, options: ClientOptions): Promise<string | undefined> {
  return (await clientOf(context, options).certs.pins.query()).primary;
}

async function create(context: CliContext, name: string | undefined, options: CreateOptions): Promise<void> {
  const { subject, role, lifetime, site: sites, verb: verbs, rateLimit } = options;
  const { tokens } = clientOf(context, options);
  const limits = defined({ lifetimeMs: lifetime, sites, verbs });
  if ((name === undefined) === (subject === undefined))
    throw new UsageError('give a name for a token of an application, or --subject for a signed one');
  if (name === undefined && rateLimit !== undefined)
    throw new UsageError('--rate-limit is for a token of an application');
  if (name === undefined)
    return print(
      context,
      options,
      await tokens.createApi.mutate({ subject: subject ?? '', role, ...limits }),
    );
  const { token, details } = await tokens.create.mutate({ name, role, ...limits, ...defined({ rateLimit }) });
  const { terminal } = context;
  if (options.json) return terminal.json({ token, details });
  terminal.line(token);
  terminal.note(`id ${details.tokenId}; good until ${details.expiresAt ?? 'it is revoked'}`);
}

async function list(context: CliContext, options: ListOptions): Promise<void> {
  const { terminal } = context;
  const client = clientOf(context, options);
  const read = (page: { pageSize: number; pageToken?: string }) =>
    client.tokens.list.query({ withRevoked: options.revoked === true, ...page });
  const { pages } = await everyPage(read);
  const tokens = pages.flatMap((page) => page.tokens);
  if (options.json) return terminal.json({ tokens });
  const now = Date.now();
  printTable(
    terminal,
    ['ID', 'NAME', 'ROLE', 'LIMITS', 'USED', 'STATE'],
    tokens.map((token) => [
      token.tokenId,
      printable(token.name),
      token.role,
      limitsText(token),
      since(token.lastUsedAt, now),
      stateText(token),
    ]),
  );
}

function limitsText({ scope, rateLimit }: ServiceTokenView): string {
  const calls = rateLimit === undefined ? [] : [rateLimit === 0 ? 'any calls' : `${rateLimit} calls`];
  return [...(scope?.sites ?? []), ...(scope?.verbs ?? []), ...calls].join(' ') || '-';
}

function stateText({ expiresAt, revokedAt, revokedBy }: ServiceTokenView): string {
  if (revokedAt !== undefined) return `revoked by ${printable(revokedBy ?? '')}`;
  return expiresAt === undefined ? 'until revoked' : `until ${expiresAt}`;
}

async function revoke(context: CliContext, given: string, options: ClientOptions): Promise<void> {
  const { terminal } = context;
  const tokenId = idOf(given);
  const { revoked } = await clientOf(context, options).tokens.revoke.mutate({ tokenId });
  if (options.json) return terminal.json(defined({ tokenId, revoked }));
  terminal.note(
    revoked === undefined
      ? `no application's token has the id ${tokenId}; a signed token with it counts no more`
      : `revoked ${printable(revoked.name)} (${tokenId})`,
  );
}

/** The `jti` of a signed token; any other text is an id. The token itself stays here. */
function idOf(given: string): string {
  if (given.startsWith('vwk_'))
    throw new UsageError('an application’s token is revoked by its id: see `viworks tokens list`');
  const parts = given.split('.');
  if (parts.length !== 3) return given;
  try {
    const { jti } = JSON.parse(Buffer.from(parts[1] ?? '', 'base64url').toString('utf8'));
    if (typeof jti === 'string') return jti;
  } catch {}
  throw new UsageError('this is no signed token with a jti');
}

/** The token alone on stdout, so that a script can take it from there. */
function print(
  { terminal }: CliContext,
  { json }: ClientOptions,
  made: { token: string; expiresAt: string },
) {
  if (json) return terminal.json(made);
  terminal.line(made.token);
  terminal.note(`good until ${made.expiresAt}`);
}
