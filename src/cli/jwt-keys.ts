import type { Command } from 'commander';
import type { IssuerKeyView } from '../api/schemas/tokens.ts';
import { type CliContext, type ClientOptions, clientOf, withClientOptions } from './context.ts';
import { printable, printTable, since } from './terminal.ts';

/** `viworks jwt-keys`: the keys that sign tokens of the API. */

export function jwtKeysCommand(program: Command, context: CliContext): void {
  const keys = program
    .command('jwt-keys')
    .summary('list, rotate and revoke the keys that sign tokens')
    .description('The keys that sign tokens of the API. Their public halves are at /.well-known/jwks.json.');

  withClientOptions(keys.command('list', { isDefault: true }).description('List keys, newest first.')).action(
    async (options: ClientOptions) => {
      show(context, options, (await clientOf(context, options).issuer.listKeys.query()).keys);
    },
  );
  withClientOptions(
    keys
      .command('rotate')
      .description(
        'Sign with a new key from now on; the one before is believed until its tokens have expired.',
      ),
  ).action(async (options: ClientOptions) => {
    show(context, options, (await clientOf(context, options).issuer.rotateKey.mutate()).keys);
  });
  withClientOptions(
    keys.command('revoke <id>').description('Believe no token any more that the key signed.'),
  ).action(async (keyId: string, options: ClientOptions) => {
    show(context, options, (await clientOf(context, options).issuer.revokeKey.mutate({ keyId })).keys);
  });
}

function show({ terminal }: CliContext, { json }: ClientOptions, keys: IssuerKeyView[]): void {
  if (json) return terminal.json({ keys });
  const now = Date.now();
  printTable(
    terminal,
    ['ID', 'STATE', 'MADE', 'BY', 'BELIEVED UNTIL'],
    keys.map(({ keyId, state, createdAt, createdBy, believedUntil }) => [
      keyId,
      state,
      since(createdAt, now),
      printable(createdBy),
      believedUntil ?? '-',
    ]),
  );
}
