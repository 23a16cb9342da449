import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { type Command, Option } from 'commander';
import type { AuditEntryView } from '../api/schemas/audit.ts';
import { type AuditOutcome, type AuditProblem, auditOutcomes } from '../audit/types.ts';
import { verifyLines } from '../audit/verify-lines.ts';
import { defined } from '../lib/defined.ts';
import { keyIdOf } from '../protocol/keys.ts';
import { type CliContext, type ClientOptions, clientOf, withClientOptions } from './context.ts';
import { exitCodes, UsageError } from './failure.ts';
import { moment, wholeNumber } from './options.ts';
import { printable, printTable } from './terminal.ts';

/** `viworks audit`: who did what, and whether somebody changed the record of it. */

interface ListOptions extends ClientOptions {
  actor?: string;
  action?: string;
  resource?: string;
  outcome?: AuditOutcome;
  address?: string;
  since?: string;
  until?: string;
  limit: number;
}

interface VerifyOptions extends ClientOptions {
  key?: string;
  head?: string;
}

export function auditCommand(program: Command, context: CliContext, exit: (code: number) => void): void {
  const audit = program
    .command('audit')
    .summary('list, verify and export the audit log')
    .description('Who did what, when and from where; and whether somebody changed the record of it.')
    .addHelpText(
      'after',
      `
Examples:
  viworks audit list --actor ada --since 24h
  viworks audit list --action commands --outcome refused
  viworks audit list --resource command/0197f0c2-7a1b-7c00-8000-000000000000
  viworks audit verify
  viworks audit export > audit.jsonl
  viworks audit verify audit.jsonl --key $(viworks audit head --json | jq -r .publicKey)`,
    );
  withClientOptions(
    audit
      .command('list', { isDefault: true })
      .description('List entries, newest first.')
      .option('--actor <name>', 'of this person, application, agent:ID or system:PART')
      .option('--action <name>', 'of this operation, for example commands.submit, or all of a kind: commands')
      .option('--resource <kind/id>', 'about this, for example agent/web-1 or agent')
      .addOption(new Option('--outcome <outcome>', 'that ended so').choices(auditOutcomes))
      .option('--address <address>', 'from this address')
      .option('--since <when>', 'from then on: 24h ago, or a time', moment)
      .option('--until <when>', 'and before then', moment)
      .option('--limit <number>', 'at most so many', wholeNumber(1, 100_000), 50),
  ).action((options: ListOptions) => list(context, options));

  withClientOptions(
    audit
      .command('verify [file]')
      .description('Find any entry that was changed, removed, reordered or put in later; or of an export.')
      .option('--key <hex>', 'public key that must have signed the export (see `audit head`)')
      .option('--head <hash>', 'a hash that you kept of `audit head`: it must be in the chain of the export'),
  ).action(async (file: string | undefined, options: VerifyOptions) => {
    const intact = await (file === undefined
      ? verifyServer(context, options)
      : verifyFile(context, options, file));
    if (!intact) exit(exitCodes.failure);
  });

  withClientOptions(
    audit.command('export').description('Print all of it with its chain, as lines of JSON.'),
  ).action(async (options: ClientOptions) => {
    const client = clientOf(context, options);
    for (let afterBlock: number | undefined = 0; afterBlock !== undefined; ) {
      const { lines, nextBlock }: { lines: string[]; nextBlock?: number | undefined } =
        await client.audit.export.query({ afterBlock });
      for (const line of lines) context.terminal.line(line);
      afterBlock = nextBlock;
    }
  });

  withClientOptions(
    audit
      .command('head')
      .description('Show the end of the chain. Keep it elsewhere, and nobody can cut the end off unseen.'),
  ).action(async (options: ClientOptions) => {
    const { terminal } = context;
    const head = await clientOf(context, options).audit.head.query();
    if (options.json) return terminal.json(head);
    terminal.line(`block       ${head.block}`);
    terminal.line(`hash        ${head.hash}`);
    terminal.line(`sealed at   ${head.sealedAt ?? '-'}`);
    terminal.line(`key         ${head.keyId}`);
    terminal.line(`public key  ${head.publicKey}`);
    const since = head.oldestPending === undefined ? '' : `, the oldest of ${head.oldestPending}`;
    terminal.line(`pending     ${head.pending} ${head.pending === 1 ? 'entry' : 'entries'}${since}`);
    const { checkpoint } = head;
    if (checkpoint !== undefined) {
      terminal.line(
        `begins      after block ${checkpoint.block}; ${checkpoint.entries} entries were deleted`,
      );
    }
  });
}

async function list(context: CliContext, options: ListOptions): Promise<void> {
  const { terminal } = context;
  const { actor, action, resource, outcome, address, since, until, limit } = options;
  const [kind, ...rest] = resource?.split('/') ?? [];
  const filter = defined({
    actor,
    action,
    outcome,
    address,
    since,
    until,
    resourceKind: kind || undefined,
    resourceId: rest.join('/') || undefined,
  });
  const client = clientOf(context, options);
  const entries: AuditEntryView[] = [];
  for (let pageToken: string | undefined; entries.length < limit; ) {
    const pageSize = Math.min(limit - entries.length, 1000);
    const page = await client.audit.list.query({ filter, pageSize, ...defined({ pageToken }) });
    entries.push(...page.entries);
    pageToken = page.nextPageToken;
    if (pageToken === undefined) break;
  }
  if (options.json) return terminal.json({ entries });
  if (entries.length === 0) return terminal.line('None.');
  printTable(
    terminal,
    ['TIME', 'ACTOR', 'ACTION', 'RESOURCE', 'OUTCOME', 'FROM', 'DETAILS'],
    entries.map(rowOf),
  );
}

function rowOf(entry: AuditEntryView): string[] {
  const { at, actor, role, action, resourceKind, resourceId, outcome, code, count, address } = entry;
  const times = count > 1 ? ` ×${count}` : '';
  return [
    at,
    role === undefined ? actor : `${actor} (${role})`,
    action,
    [resourceKind, resourceId].filter((text) => text !== undefined).join('/') || '-',
    `${outcome}${code === undefined ? '' : `: ${code}`}${times}`,
    address ?? '-',
    cut(JSON.stringify(entry.details)),
  ].map(printable);
}

const shown = 80;
const cut = (text: string) => (text.length > shown ? `${text.slice(0, shown)}…` : text);

async function verifyServer(context: CliContext, options: VerifyOptions): Promise<boolean> {
  if (options.key !== undefined || options.head !== undefined)
    throw new UsageError('--key and --head are for an export: name its file');
  const client = clientOf(context, options);
  let blocks = 0;
  let entries = 0;
  for (let pageToken: string | undefined; ; ) {
    const verdict = await client.audit.verify.query(defined({ pageToken }));
    blocks += verdict.blocks;
    entries += verdict.entries;
    pageToken = verdict.nextPageToken;
    if (pageToken !== undefined && verdict.problem === undefined) continue;
    const { problem, block, hash } = verdict;
    return report(context, options, { problem, blocks, entries, block, hash });
  }
}

async function verifyFile(context: CliContext, options: VerifyOptions, file: string): Promise<boolean> {
  const { key, head } = options;
  const keys = key === undefined ? undefined : trusted(key);
  if (head !== undefined && !/^[0-9a-f]{64}$/i.test(head))
    throw new UsageError('--head: must be the hash of a block, 64 hex digits, as `audit head` shows it');
  const input = file === '-' ? process.stdin : createReadStream(file);
  if (file !== '-') await opened(input, file);
  // Not sooner: lines that come before somebody asks for them are lost.
  const lines = createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY });
  try {
    const { keyIds, ...verdict } = await verifyLines(lines, { keys, head });
    const intact = report(context, options, verdict);
    if (intact && keys === undefined && !options.json) {
      const [keyId] = keyIds;
      context.terminal.note(
        `Signed by ${keyId}, which the export names itself: give --key to know whose it is.`,
      );
    }
    return intact;
  } finally {
    lines.close();
  }
}

function opened(input: NodeJS.ReadableStream, file: string): Promise<void> {
  return new Promise((resolve, reject) => {
    input.once('open', () => resolve());
    input.once('error', (error) => reject(new UsageError(`${file}: cannot be read (${error.message})`)));
  });
}

function trusted(hex: string): Map<string, Uint8Array> {
  if (!/^[0-9a-f]{64}$/i.test(hex))
    throw new UsageError('--key: must be an Ed25519 public key, 64 hex digits');
  const key = new Uint8Array(Buffer.from(hex, 'hex'));
  return new Map([[keyIdOf(key), key]]);
}

interface Report {
  problem?: AuditProblem | { kind: string; message: string } | undefined;
  blocks: number;
  entries: number;
  block: number;
  hash: string;
}

function report({ terminal }: CliContext, { json }: ClientOptions, verdict: Report): boolean {
  const { problem, blocks, entries, block, hash } = verdict;
  const intact = problem === undefined;
  if (json) terminal.json({ intact, ...verdict });
  else if (intact) {
    terminal.line(`intact: ${entries} entries in ${blocks} blocks`);
    terminal.note(`The last one is block ${block}, ${hash}`);
  } else terminal.line(`${problem.kind}: ${problem.message}`);
  return intact;
}
