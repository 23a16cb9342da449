import type { Command } from 'commander';
import type { EnrollmentRequestView, EnrollmentTokenView } from '../api/schemas/enrollment.ts';
import { defined } from '../lib/defined.ts';
import { parseLabels } from './agents.ts';
import { type CliContext, type ClientOptions, clientOf, withClientOptions } from './context.ts';
import { collect } from './options.ts';
import { everyPage } from './pages.ts';
import { printTable, since } from './terminal.ts';

/** `viworks enrollments`: machines that ask to be enrolled, and the tokens with which others enrol by themselves. */

interface ListOptions extends ClientOptions {
  all?: boolean;
}

interface ApproveOptions extends ClientOptions {
  fingerprint: string;
  site: string;
  label?: string[];
  again?: boolean;
}

export function enrollmentsCommand(program: Command, context: CliContext): void {
  const enrollments = program
    .command('enrollments')
    .summary('decide which machines are enrolled')
    .description('Shows the machines that ask to be enrolled, decides about them, and looks after tokens.')
    .addHelpText(
      'after',
      `
Examples:
  viworks enrollments
  viworks enrollments approve REQUEST-ID --fingerprint 5647-5aa7-… --site berlin --label role=web
  viworks enrollments reject REQUEST-ID --reason "not one of ours"
  viworks enrollments tokens
  viworks enrollments revoke-token TOKEN-ID`,
    );
  withClientOptions(
    enrollments
      .command('list', { isDefault: true })
      .description('List the machines that ask to be enrolled.')
      .option('--all', 'also those that are decided'),
  ).action((options: ListOptions) => listRequests(context, options));

  withClientOptions(
    enrollments
      .command('approve <request-id>')
      .description('Enrol the machine that asks. Compare the fingerprint with what the machine itself shows.')
      .requiredOption('--fingerprint <fingerprint>', 'of its key, as the machine shows it')
      .requiredOption('--site <site>', 'the site that it belongs to')
      .option('--label <name=value>', 'label to give it; repeat for more', collect)
      .option('--again', 'the identity exists: enrol it anew, and cancel what waits for it'),
  ).action(async (requestId: string, options: ApproveOptions) => {
    const { fingerprint, site, label, again = false } = options;
    const labels = defined({ labels: label && parseLabels(label) });
    const { request } = await clientOf(context, options).enrollment.approve.mutate({
      requestId,
      fingerprint,
      site,
      again,
      ...labels,
    });
    if (options.json) context.terminal.json(request);
    else context.terminal.line(`${request.agentId} is enrolled at site ${site}.`);
  });

  withClientOptions(
    enrollments
      .command('reject <request-id>')
      .description('Refuse the machine that asks. It may ask again after a day.')
      .option('--reason <text>', 'why; the machine shows it'),
  ).action(async (requestId: string, options: ClientOptions & { reason?: string }) => {
    const { reason = '' } = options;
    const { request } = await clientOf(context, options).enrollment.reject.mutate({ requestId, reason });
    if (options.json) context.terminal.json(request);
    else context.terminal.line(`${request.agentId} is refused.`);
  });

  withClientOptions(
    enrollments
      .command('tokens')
      .description(
        'List the tokens with which machines enrol by themselves (made with `viworks token enroll`).',
      )
      .option('--all', 'also those that are spent, expired or revoked'),
  ).action((options: ListOptions) => listTokens(context, options));

  withClientOptions(
    enrollments
      .command('revoke-token <token-id>')
      .description('Have nobody enrol with a token any more. Who did stays enrolled.'),
  ).action(async (tokenId: string, options: ClientOptions) => {
    const { token } = await clientOf(context, options).enrollment.revokeToken.mutate({ tokenId });
    if (options.json) context.terminal.json(token);
    else context.terminal.line(`The token is ${token.state}.`);
  });
}

async function listRequests(context: CliContext, options: ListOptions): Promise<void> {
  const { terminal } = context;
  const client = clientOf(context, options);
  const { all = false } = options;
  const { pages } = await everyPage((page) => client.enrollment.listRequests.query({ all, ...page }));
  const requests = pages.flatMap((page) => page.requests);
  if (options.json) return terminal.json(requests);
  if (requests.length === 0) return terminal.line('No machine asks to be enrolled.');
  const now = Date.now();
  const row = (request: EnrollmentRequestView) => [
    request.requestId,
    request.agentExists && request.state === 'pending' ? `${request.agentId} (exists)` : request.agentId,
    request.keyId.replace(/(.{4})(?=.)/g, '$1-'),
    request.hostname,
    request.remoteAddress,
    request.decidedBy === undefined ? request.state : `${request.state} by ${request.decidedBy}`,
    since(request.requestedAt, now),
  ];
  const heads = ['REQUEST', 'AGENT', 'FINGERPRINT', 'HOST', 'ADDRESS', 'STATE', 'ASKED'];
  printTable(terminal, heads, requests.map(row));
}

async function listTokens(context: CliContext, options: ListOptions): Promise<void> {
  const { terminal } = context;
  const client = clientOf(context, options);
  const { all = false } = options;
  const { pages } = await everyPage((page) => client.enrollment.listTokens.query({ all, ...page }));
  const tokens = pages.flatMap((page) => page.tokens);
  if (options.json) return terminal.json(tokens);
  if (tokens.length === 0)
    return terminal.line('No token is good. Make one: viworks token enroll --site SITE');
  const row = (token: EnrollmentTokenView) => [
    token.tokenId,
    token.site,
    token.agentId ?? 'any new agent',
    `${token.usesLeft} of ${token.uses}`,
    token.state,
    token.expiresAt,
    token.createdBy,
    token.usedBy.slice(0, 3).join(', ') + (token.usedBy.length > 3 ? ', …' : ''),
  ];
  const heads = ['TOKEN', 'SITE', 'FOR', 'LEFT', 'STATE', 'GOOD UNTIL', 'MADE BY', 'USED BY'];
  printTable(terminal, heads, tokens.map(row));
}
