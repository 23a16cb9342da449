import type { Command } from 'commander';
import type { KeysView } from '../api/schemas/keys.ts';
import { defined } from '../lib/defined.ts';
import { type CliContext, type ClientOptions, clientOf, withClientOptions } from './context.ts';
import { duration } from './options.ts';
import { printTable, since } from './terminal.ts';

/** `viworks keys`: the keys that sign commands. */

interface RotateOptions extends ClientOptions {
  delay?: number;
  overlap?: number;
}
interface RevokeOptions extends ClientOptions {
  reason: string;
}

export function keysCommand(program: Command, context: CliContext): void {
  const keys = program
    .command('keys')
    .summary('look at, rotate and revoke the keys that sign commands')
    .description('The keys that sign commands. Agents run only what one of them signed.')
    .addHelpText(
      'after',
      `
Examples:
  viworks keys list
  viworks keys rotate --delay 1h --overlap 24h
  viworks keys revoke 56475aa75463474c0285df5dbf2bcab7 --reason "copied with a backup"`,
    );
  withClientOptions(
    keys
      .command('list', { isDefault: true })
      .description('List the keys, and show the identity of the server, which vouches for them.'),
  ).action(async (options: ClientOptions) => {
    show(context, options, await clientOf(context, options).keys.list.query());
  });

  withClientOptions(
    keys
      .command('rotate')
      .description('Have a new key sign. The keys before it are believed for a while longer.')
      .option(
        '--delay <duration>',
        'until the new key signs; agents know it from now on (default: 0s)',
        duration,
      )
      .option(
        '--overlap <duration>',
        'how long the keys before it are believed after that (default: 1h)',
        duration,
      ),
  ).action(async (options: RotateOptions) => {
    const input = defined({ delayMs: options.delay, overlapMs: options.overlap });
    show(context, options, await clientOf(context, options).keys.rotate.mutate(input));
  });

  withClientOptions(
    keys
      .command('revoke <key-id>')
      .description('Have no agent believe a key any more, from now on. Another one signs what is queued.')
      .option('--reason <text>', 'why; shown in the list', ''),
  ).action(async (keyId: string, options: RevokeOptions) => {
    const { reason } = options;
    show(context, options, await clientOf(context, options).keys.revoke.mutate({ keyId, reason }));
  });
}

function show({ terminal }: CliContext, { json }: ClientOptions, view: KeysView): void {
  if (json) return terminal.json(view);
  terminal.line(`server key  ${view.serverKey.keyId}`);
  terminal.line(`key set     version ${view.version}`);
  terminal.line();
  const now = Date.now();
  printTable(
    terminal,
    ['KEY', 'STATE', 'CREATED', 'BY', 'BELIEVED UNTIL'],
    view.keys.map((key) => [key.keyId, key.state, since(key.createdAt, now), key.createdBy, until(key)]),
  );
}

function until({ state, notBefore, notAfter, revokedBy, revokeReason }: KeysView['keys'][number]): string {
  if (state === 'revoked')
    return `revoked by ${revokedBy ?? ''}${revokeReason === undefined || revokeReason === '' ? '' : `: ${revokeReason}`}`;
  if (state === 'next') return `signs from ${notBefore ?? ''}`;
  if (notBefore === undefined) return 'over';
  return notAfter ?? 'it is rotated or revoked';
}
