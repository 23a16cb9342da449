import { type Command, Option } from 'commander';
import { type Role, roles } from '../identity/types.ts';
import { defined } from '../lib/defined.ts';
import { parseLabels } from './agents.ts';
import { type CliContext, type ClientOptions, clientOf, withClientOptions } from './context.ts';
import { collect, duration, wholeNumber } from './options.ts';

/** `viworks token`: tokens for applications and people, and tokens with which agents enrol. */

interface CreateOptions extends ClientOptions {
  subject: string;
  role: Role;
  lifetime?: number;
}

interface EnrollOptions extends ClientOptions {
  site: string;
  uses: number;
  lifetime?: number;
  agent?: string;
  label?: string[];
}

export function tokenCommand(program: Command, context: CliContext): void {
  const token = program
    .command('token')
    .summary('make tokens for the API and for enrolling agents')
    .description('Makes tokens. A token is shown once and not stored.')
    .addHelpText(
      'after',
      `
Examples:
  viworks token create --subject backend --role operator --lifetime 30d
  viworks token enroll --site berlin --uses 10 --lifetime 1h
  viworks token enroll --site berlin --agent web-1`,
    );
  withClientOptions(
    token
      .command('create')
      .description('Make a token with which an application or a person calls the API.')
      .requiredOption('--subject <name>', 'whose token it is; shown in records')
      .addOption(new Option('--role <role>', 'what it may do').choices(roles).makeOptionMandatory())
      .option('--lifetime <duration>', 'how long it is good for, for example 12h', duration),
  ).action(async (options: CreateOptions) => {
    const { subject, role, lifetime } = options;
    const made = await clientOf(context, options).tokens.createApi.mutate({
      subject,
      role,
      ...defined({ lifetimeMs: lifetime }),
    });
    print(context, options, made);
  });

  withClientOptions(
    token
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
    print(context, options, made);
  });
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
