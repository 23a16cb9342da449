import { ViworksError } from '../errors.ts';
import { type Cleaner, createCleaner } from '../lib/cleaner.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/logger.ts';
import type { Metrics } from '../lib/metrics.ts';
import type { KeyPair } from '../protocol/keys.ts';
import {
  digestEntries,
  dropAuditBlocks,
  findAuditCheckpoint,
  oldAuditBlocks,
  type SeqRange,
} from '../storage/audit-chain.ts';
import type { Database } from '../storage/database.ts';
import { countOf, signCheckpoint, type TrustedKeys } from './chain.ts';
import type { AuditTrail } from './trail.ts';
import type { AuditProblem } from './types.ts';
import { chainStart, checkBlock, checkCheckpoint } from './verify.ts';

/**
 * Retention forgets whole blocks from the beginning, and leaves a signed checkpoint from which the rest verifies. What
 * does not verify is kept: deleting it would hide what was done to it.
 */
export type AuditRetention = Cleaner;

export interface AuditRetentionDeps {
  database: Database;
  trail: Pick<AuditTrail, 'append'>;
  key: KeyPair;
  keys: TrustedKeys;
  clock: Clock;
  log: Logger;
  metrics: Pick<Metrics, 'auditDeleted'>;
  /** Milliseconds that an entry is kept after it was sealed; 0 keeps it for ever. */
  keepMs: number;
}

const intervalMs = 60_000;
const blocksAtOnce = 20;
/** In one look; what is left waits for the next. */
const batchesAtOnce = 500;

export function createAuditRetention(deps: AuditRetentionDeps): AuditRetention {
  const { database, trail, key, keys, clock, log, metrics, keepMs } = deps;
  function keep(problem: AuditProblem): void {
    log.error({ ...problem }, 'old entries of the audit log do not verify, and are not deleted');
  }

  async function cleanBlocks(): Promise<{ entries: number; more: boolean }> {
    const { query } = database;
    const now = clock.now();
    const rows = await oldAuditBlocks(query, new Date(now - keepMs), blocksAtOnce);
    const nothing = { entries: 0, more: false };
    if (rows.length === 0) return nothing;
    const checkpoint = await findAuditCheckpoint(query);
    const wrong = checkCheckpoint(checkpoint, keys);
    // A checkpoint of a key that was replaced is renewed with those blocks that the new one vouches for.
    if (wrong !== undefined && checkpoint !== undefined && keys.has(checkpoint.keyId)) {
      keep(wrong);
      return nothing;
    }
    let at = chainStart(checkpoint);
    const ranges: SeqRange[] = [];
    for (const block of rows) {
      const checked = checkBlock(at, block, keys);
      if (checked.problem !== undefined) {
        keep(checked.problem);
        return nothing;
      }
      const { islands } = await digestEntries(query, checked.ranges, countOf(checked.ranges) + 1);
      if (Buffer.compare(Buffer.concat(islands.map((island) => island.digests)), block.digests) !== 0) {
        keep({
          kind: 'changed',
          block: block.number,
          seq: undefined,
          message: `Entries of block ${block.number} are not what was sealed.`,
        });
        return nothing;
      }
      ranges.push(...checked.ranges);
      at = checked.next;
    }
    const last = rows.at(-1);
    if (last === undefined) return nothing;
    const entries = countOf(ranges);
    const point = signCheckpoint(
      {
        number: last.number,
        hash: last.hash,
        highest: last.highest,
        settled: last.settled,
        entries: (checkpoint?.entries ?? 0) + entries,
        at: new Date(now),
      },
      key,
    );
    await database.transaction(async (within) => {
      await dropAuditBlocks(within, ranges, point);
      await trail.append(within, {
        actor: 'system:retention',
        action: 'audit.retention',
        resourceKind: 'audit_block',
        resourceId: String(last.number),
        outcome: 'done',
        details: () => ({ entries, blocks: rows.length, hash: Buffer.from(last.hash).toString('hex') }),
      });
    });
    return { entries, more: rows.length === blocksAtOnce };
  }

  return createCleaner({
    intervalMs,
    batchesAtOnce,
    async cleanSome() {
      if (keepMs === 0) return { count: 0, more: false };
      const { entries, more } = await cleanBlocks();
      metrics.auditDeleted.inc(entries);
      return { count: entries, more };
    },
    cleaned: (count) =>
      log.info({ count }, 'entries of the audit log were kept for as long as they had to be'),
    failed: (error) =>
      log.warn({ err: ViworksError.from(error) }, 'cannot delete old entries of the audit log now'),
  });
}
