import { invalidField } from '../errors.ts';
import type { Clock } from '../lib/clock.ts';
import { keyBefore, type Page, pageOf } from '../lib/page.ts';
import { findUnstorable } from '../lib/text.ts';
import type { KeyPair } from '../protocol/keys.ts';
import {
  type AuditListFilter,
  listAuditEntries,
  readAuditBounds,
  type StoredAuditRow,
} from '../storage/audit.ts';
import {
  auditBlocksAfter,
  auditEntriesIn,
  auditRangesAbove,
  digestEntries,
  findAuditCheckpoint,
  lastAuditBlock,
  type SeqRange,
} from '../storage/audit-chain.ts';
import type { Database } from '../storage/database.ts';
import { countOf, genesisHash, rangesOf, type TrustedKeys } from './chain.ts';
import { openRanges, stateFrom } from './gaps.ts';
import type { AuditRecord, AuditService, SealedBlock } from './types.ts';
import { createVerifier } from './verifier.ts';
import type { Witness } from './witness.ts';

/** What can be asked of the audit log. */
export interface AuditServiceDeps {
  database: Pick<Database, 'query'>;
  key: KeyPair;
  keys: TrustedKeys;
  witness: Pick<Witness, 'head' | 'lost'>;
  clock: Clock;
}

/** Sequence numbers that one statement looks through. */
const span = 100_000;
/** Milliseconds that one look for rare entries takes at most. */
const lookMs = 2000;
/** By how much an entry may have been sealed after its time, or clocks may differ. */
const slackMs = 300_000;
/** Of one page of an export. */
const exportedEntries = 5000;
const exportedBlocks = 50;
/** Pending entries are counted as far as this. */
const countedPending = 100_000;

export function createAuditService(deps: AuditServiceDeps): AuditService {
  const { database, key, keys, witness, clock } = deps;
  const { query } = database;
  const verify = createVerifier({ database, keys, witness, clock });

  /** The sequence numbers among which the entries of a span of time are. */
  async function boundsOf({ since, until }: AuditListFilter): Promise<{ from: number; before: number }> {
    const sealedBefore = since && new Date(since.getTime() - slackMs);
    const sealedAfter = until && new Date(until.getTime() + slackMs);
    const { lowest, highest, before, after } = await readAuditBounds(query, sealedBefore, sealedAfter);
    return {
      from: Math.max(lowest ?? 0, before === null ? 0 : before - span),
      before: Math.min((highest ?? -1) + 1, after === null ? Number.MAX_SAFE_INTEGER : after + 1),
    };
  }

  return {
    verify,

    async list(filter, page): Promise<Page<AuditRecord>> {
      const unstorable = findUnstorable(filter);
      if (unstorable !== undefined) throw invalidField(`filter.${unstorable}`, 'must be text without NUL');
      const bounds = await boundsOf(filter);
      const token = keyBefore(page, /^\d{1,16}$/);
      const deadline = clock.monotonic() + lookMs;
      const rows: StoredAuditRow[] = [];
      let before = Math.min(bounds.before, token === undefined ? bounds.before : Number(token));
      while (before > bounds.from && rows.length <= page.size) {
        const from = Math.max(bounds.from, before - span);
        rows.push(...(await listAuditEntries(query, filter, { from, before }, page.size + 1 - rows.length)));
        before = from;
        if (clock.monotonic() >= deadline) break;
      }
      const found = pageOf(rows, page.size, (row) => String(row.seq));
      const items = found.items.map(recordOf);
      if (found.nextToken !== undefined || before <= bounds.from) return { ...found, items };
      // There was no time to look further.
      return { items, nextToken: Buffer.from(String(before), 'utf8').toString('base64url') };
    },

    async export(afterBlock) {
      const rows = await auditBlocksAfter(query, afterBlock, exportedBlocks + 1);
      const blocks: SealedBlock[] = [];
      let count = 0;
      for (const row of rows.slice(0, exportedBlocks)) {
        // What is not as a sealer writes it has no entries here, and does not verify there.
        const ranges = rangesOf(row.ranges) ?? [];
        if (count > 0 && count + countOf(ranges) > exportedEntries) break;
        const entries = await auditEntriesIn(query, ranges, exportedEntries);
        count += entries.length;
        blocks.push({ ...row, entries });
      }
      return { blocks, more: blocks.length < rows.length };
    },

    async head() {
      const [last, checkpoint] = await Promise.all([lastAuditBlock(query), findAuditCheckpoint(query)]);
      const ranges: SeqRange[] = last === undefined ? [] : await auditRangesAbove(query, last.settled);
      const open = openRanges(stateFrom(last ?? checkpoint, ranges, clock.monotonic()));
      const { islands } = await digestEntries(query, open, countedPending);
      const [oldest] = islands;
      return {
        block: last?.number ?? checkpoint?.number ?? 0,
        hash: last?.hash ?? checkpoint?.hash ?? genesisHash,
        sealedAt: last?.sealedAt,
        keyId: key.keyId,
        publicKey: key.publicKey,
        pending: countOf(islands.map((island): SeqRange => [island.first, island.last])),
        oldestPending: oldest?.oldest,
        checkpoint,
      };
    },
  };
}

function recordOf({ details, ...row }: StoredAuditRow): AuditRecord {
  return { ...row, details: parsed(details) };
}

/** What is stored is a JSON object, unless somebody changed it. */
function parsed(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return { ...value };
  } catch {}
  return { text };
}
