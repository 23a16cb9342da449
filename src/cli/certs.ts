import { closeSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Command } from 'commander';
import type { CertificateStatusView, CertificateView, PinsView } from '../api/schemas/certs.ts';
import { defined } from '../lib/defined.ts';
import { type CliContext, type ClientOptions, clientOf, withClientOptions } from './context.ts';
import { UsageError } from './failure.ts';
import { collect, duration } from './options.ts';
import { everyPage } from './pages.ts';
import { printable, printTable, since } from './terminal.ts';

/** `viworks certs`: TLS between agents and the server. */

interface ForceOptions extends ClientOptions {
  force?: boolean;
}
interface ListOptions extends ClientOptions {
  agent?: string;
}
interface IssueOptions extends ClientOptions {
  agent?: string;
  name?: string[];
  lifetime?: number;
  out: string;
}
interface RevokeOptions extends ClientOptions {
  reason: string;
}

export function certsCommand(program: Command, context: CliContext): void {
  const certs = program
    .command('certs')
    .summary('look after certificates, the authority that issues them, and pins')
    .description('TLS between agents and the server: certificates, the authority that issues them, and pins.')
    .addHelpText(
      'after',
      `
Examples:
  viworks certs status
  viworks certs ca prepare                            # replace the authority: first let everybody know it
  viworks certs ca activate                           # then let it issue
  viworks certs ca retire                             # and, when everybody followed, drop the one before
  viworks certs pins rotate
  viworks certs issue --agent web-1 --out web-1.pem
  viworks certs issue --name control.example --out control.pem --lifetime 90d`,
    );
  withClientOptions(
    certs
      .command('status', { isDefault: true })
      .description('Show how TLS between agents and the server is set up, and who still has to follow.'),
  ).action(async (options: ClientOptions) =>
    show(context, options, await clientOf(context, options).certs.status.query()),
  );
  withClientOptions(
    certs
      .command('list')
      .description('List the certificates that are not over, newest first.')
      .option('--agent <id>', 'those of one agent'),
  ).action((options: ListOptions) => list(context, options));
  withClientOptions(
    certs
      .command('issue')
      .description('Make a key here, and a certificate for it: for an agent, or for a server.')
      .option('--agent <id>', 'the agent that it is for')
      .option('--name <name>', 'host name or address of the server that it is for; repeat for more', collect)
      .option(
        '--lifetime <duration>',
        'how long it is good for (agent: as configured; server: 90d)',
        duration,
      )
      .requiredOption('--out <file>', 'where key and certificates go, for their owner alone'),
  ).action((options: IssueOptions) => issue(context, options));
  withClientOptions(
    certs
      .command('revoke <serial>')
      .description(
        'Let nobody in with a certificate any more. To bar its agent, see `viworks agents revoke`: until then it gets another one with the key of its identity.',
      )
      .option('--reason <text>', 'why; shown in the list', ''),
  ).action(async (serial: string, options: RevokeOptions) => {
    const { certificate } = await clientOf(context, options).certs.revoke.mutate({
      serial,
      reason: options.reason,
    });
    if (options.json) return context.terminal.json({ certificate });
    context.terminal.line(`${certificate.serial} is revoked.`);
  });
  authorityCommands(certs, context);
  pinCommands(certs, context);
}

function authorityCommands(certs: Command, context: CliContext): void {
  const authority = certs
    .command('ca')
    .description('Replace the authority that issues certificates, in steps that strand nobody.');
  withClientOptions(
    authority
      .command('show', { isDefault: true })
      .description(
        'Print the authorities that are believed, as PEM, for software that wants a file of them.',
      ),
  ).action(async (options: ClientOptions) => {
    const { authorities } = await clientOf(context, options).certs.status.query();
    if (options.json) return context.terminal.json({ authorities });
    for (const { certificate } of authorities) context.terminal.write(pemOf(certificate));
  });
  const step = (name: 'prepare' | 'drop' | 'activate', text: string) =>
    withClientOptions(authority.command(name).description(text)).action(async (options: ClientOptions) => {
      const { certs: calls } = clientOf(context, options);
      const call = {
        prepare: calls.prepareAuthority,
        drop: calls.dropAuthority,
        activate: calls.activateAuthority,
      }[name];
      show(context, options, await call.mutate());
    });
  step('prepare', 'Make a new authority, and let every agent know it. It does not issue yet.');
  step('drop', 'Take a prepared authority back.');
  step('activate', 'Let the prepared authority issue. Agents get new certificates; the old ones stay good.');
  withClientOptions(
    authority
      .command('retire')
      .description('Believe the authority before no more. Refused while somebody still needs it.')
      .option('--force', 'those who still need it come back by the key of their identity'),
  ).action(async (options: ForceOptions) => {
    const force = options.force === true;
    show(context, options, await clientOf(context, options).certs.retireAuthority.mutate({ force }));
  });
}

const pemOf = (base64: string): string =>
  `-----BEGIN CERTIFICATE-----\n${base64.replace(/(.{64})(?=.)/g, '$1\n')}\n-----END CERTIFICATE-----\n`;

function pinCommands(certs: Command, context: CliContext): void {
  const pins = certs.command('pins').description('The keys by which agents know the server.');
  withClientOptions(
    pins.command('show', { isDefault: true }).description('Show the key in use and those that may follow.'),
  ).action(async (options: ClientOptions) => {
    const view = await clientOf(context, options).certs.pins.query();
    if (options.json) return context.terminal.json(view);
    for (const line of pinLines(view)) context.terminal.line(line);
  });
  withClientOptions(
    pins
      .command('rotate')
      .description('Use the backup key from now on, and make a new backup.')
      .option('--force', 'also where agents do not know the backup yet; they refuse the server then'),
  ).action(async (options: ForceOptions) => {
    const force = options.force === true;
    show(context, options, await clientOf(context, options).certs.rotatePins.mutate({ force }));
  });
}

async function issue(context: CliContext, options: IssueOptions): Promise<void> {
  const { agent: agentId, name: names, lifetime: lifetimeMs } = options;
  if ((agentId === undefined) === (names === undefined))
    throw new UsageError('give --agent for an agent, or --name for a server');
  const x509 = await import('../protocol/certificates/x509.ts');
  const key = x509.newTlsKey();
  const file = resolve(options.out);
  // Before anything is issued. What is there already is somebody's key.
  const opened = openNew(file);
  let certificate: CertificateView;
  try {
    const issued = await clientOf(context, options).certs.issue.mutate({
      request: Buffer.from(x509.writeRequest(key)).toString('base64'),
      ...defined({ agentId, names, lifetimeMs }),
    });
    const pem = x509.chainPem(issued.chain.map((text) => new Uint8Array(Buffer.from(text, 'base64'))));
    writeFileSync(opened, x509.privateKeyPem(key) + pem);
    ({ certificate } = issued);
  } catch (error) {
    rmSync(file, { force: true });
    throw error;
  } finally {
    closeSync(opened);
  }
  if (options.json) return context.terminal.json({ certificate, file });
  context.terminal.line(`${file}: key and certificate, good until ${certificate.notAfter}`);
}

/** @throws UsageError */
function openNew(file: string): number {
  try {
    return openSync(file, 'wx', 0o600);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new UsageError(`--out: ${code === 'EEXIST' ? `${file} is there already` : message}`);
  }
}

async function list(context: CliContext, options: ListOptions): Promise<void> {
  const { terminal } = context;
  const client = clientOf(context, options);
  const { pages } = await everyPage((page: { pageSize: number; pageToken?: string }) =>
    client.certs.list.query({ ...defined({ agentId: options.agent }), ...page }),
  );
  const certificates = pages.flatMap((page) => page.certificates);
  if (options.json) return terminal.json({ certificates });
  const now = Date.now();
  printTable(
    terminal,
    ['SERIAL', 'FOR', 'ISSUED', 'TO', 'STATE'],
    certificates.map((one) => [
      one.serial,
      one.agentId ?? one.names.join(' '),
      since(one.issuedAt, now),
      printable(one.issuedTo),
      stateOf(one),
    ]),
  );
}

const stateOf = ({ notAfter, revokedAt, revokedBy, revokeReason }: CertificateView): string =>
  revokedAt === undefined
    ? `until ${notAfter}`
    : `revoked by ${printable(revokedBy ?? '')}${revokeReason ? `: ${printable(revokeReason)}` : ''}`;

function show({ terminal }: CliContext, { json }: ClientOptions, view: CertificateStatusView): void {
  if (json) return terminal.json(view);
  const { serverCertificate: server, trust, waiting } = view;
  const shown =
    server === undefined
      ? 'none; agents connect in clear text, or through a proxy'
      : `${server.source === 'files' ? 'of your files' : 'made here'}, until ${server.notAfter}`;
  terminal.line(`agents' certificates    ${view.clientCertificates}, spiffe://${view.trustDomain}/agent/…`);
  terminal.line(`server's certificate    ${shown}`);
  terminal.line(`trust document          ${trustText(trust)}`);
  for (const line of pinLines(view.pins)) terminal.line(line);
  if (view.authorities.length > 0) terminal.line();
  if (view.authorities.length > 0)
    printTable(
      terminal,
      ['AUTHORITY', 'STATE', 'UNTIL', 'KEY', 'SHA-256'],
      view.authorities.map((one) => [
        one.authorityId,
        one.state,
        one.notAfter,
        one.hasKey ? 'here' : 'elsewhere',
        one.fingerprint,
      ]),
    );
  tellWaiting(terminal, waiting.withoutTrust, 'without the authorities of now');
  tellWaiting(terminal, waiting.withOldCertificate, 'with a certificate of the authority that is retiring');
}

const trustText = ({ version, expiresAt }: CertificateStatusView['trust']): string =>
  version === 0 ? 'none' : `version ${version}, until ${expiresAt ?? ''}`;

const pinLines = ({ primary, backups }: PinsView): string[] => [
  `pin in use              ${primary ?? 'none'}`,
  ...backups.map((pin) => `pin that may follow     ${pin}`),
];

function tellWaiting(
  terminal: CliContext['terminal'],
  { total, agentIds }: CertificateStatusView['waiting']['withoutTrust'],
  what: string,
): void {
  if (total === 0) return;
  const more = total > agentIds.length ? ` and ${total - agentIds.length} more` : '';
  terminal.line(`${total} ${total === 1 ? 'agent' : 'agents'} ${what}: ${agentIds.join(', ')}${more}`);
}
