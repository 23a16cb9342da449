import { ViworksError } from '../errors.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/logger.ts';
import type { Metrics } from '../lib/metrics.ts';
import { createTicker, type Ticker } from '../lib/ticker.ts';
import type { KeyPair } from '../protocol/keys.ts';
import {
  type AuditBlockRow,
  auditRangesAbove,
  digestEntries,
  findAuditCheckpoint,
  hasAuditBlock,
  insertAuditBlock,
  lastAuditBlock,
  type SeqRange,
} from '../storage/audit-chain.ts';
import type { Database } from '../storage/database.ts';
import { genesisHash, sealBlock } from './chain.ts';
import { afterFound, openRanges, type SealState, settle, settledOf, stateFrom } from './gaps.ts';
import { isInChain } from './seen.ts';
import type { AuditTrail } from './trail.ts';
import type { Witness } from './witness.ts';

/**
 * Sealing: again and again, what has been committed since goes into a block. An entry takes its place in the chain
 * there and not when it is written, so that writers wait for nobody. Instances seal in turns: a block is stored only
 * where it follows the last one, and of two only one is.
 */
export interface Sealer extends Ticker {
  /** Seals what there is now; answers with how many entries. */
  seal(): Promise<number>;
}

export interface SealerDeps {
  database: Database;
  key: KeyPair;
  witness: Witness;
  trail: Pick<AuditTrail, 'record'>;
  clock: Clock;
  log: Logger;
  metrics: Pick<Metrics, 'auditSealed' | 'auditSealSeconds' | 'auditHeadsLost'>;
  /** Milliseconds between blocks. */
  intervalMs: number;
}

const maximumEntries = 5000;
/** Blocks in one look; what is left waits for the next. */
const maximumBlocks = 100;

type Head = Pick<AuditBlockRow, 'number' | 'hash'>;

export function createSealer(deps: SealerDeps): Sealer {
  const { database, key, witness, trail, clock, log, metrics, intervalMs } = deps;
  const { query } = database;
  let head: Head = { number: 0, hash: genesisHash };
  let state: SealState | undefined;
  let stopped = false;
  let sealing: Promise<number> | undefined;

  /** Takes up the chain as it is in the database, and looks whether what was seen before is in it. */
  async function load(): Promise<SealState> {
    const last = (await lastAuditBlock(query)) ?? (await findAuditCheckpoint(query));
    const seen = witness.head;
    if (seen !== undefined && !(await isInChain(query, seen))) {
      log.error({ block: seen.number, hash: seen.hash }, 'the end of the audit log is not what it was');
      await witness.lose();
      metrics.auditHeadsLost.inc();
      await trail.record({
        actor: 'system:audit',
        action: 'audit.headLost',
        resourceKind: 'audit_block',
        resourceId: String(seen.number),
        outcome: 'failed',
        code: 'truncated',
        details: () => ({ hash: seen.hash, found: last?.number ?? 0 }),
      });
    }
    if (last !== undefined && last.keyId !== key.keyId) {
      await trail.record({
        actor: 'system:audit',
        action: 'keys.replaced',
        resourceKind: 'server_key',
        resourceId: key.keyId,
        outcome: 'done',
        details: () => ({ before: last.keyId }),
      });
    }
    const ranges = last === undefined ? [] : await auditRangesAbove(query, last.settled);
    head = last ?? { number: 0, hash: genesisHash };
    state = stateFrom(last, ranges, clock.monotonic());
    return state;
  }

  /** Undefined if another instance was first. */
  async function sealOne(before: SealState): Promise<number | undefined> {
    const { islands, xmin, xmax } = await digestEntries(query, openRanges(before), maximumEntries);
    const found = islands.map(({ first, last }): SeqRange => [first, last]);
    const now = clock.monotonic();
    const count = found.reduce((sum, [first, last]) => sum + last - first + 1, 0);
    let after = afterFound(before, found, now);
    // What was cut off at the bound may be in a gap; all of it was looked through otherwise.
    if (count < maximumEntries) after = settle(after, { xmin, xmax }, now);
    if (count === 0) {
      state = after;
      return 0;
    }
    const sealedAt = new Date(clock.now());
    const block = sealBlock(
      {
        number: head.number + 1,
        previous: head.hash,
        ranges: JSON.stringify(found),
        highest: after.highest,
        settled: settledOf(after),
        sealedAt,
        digests: Buffer.concat(islands.map(({ digests }) => digests)),
      },
      key,
    );
    if (!(await insertAuditBlock(query, block))) return undefined;
    head = block;
    state = after;
    await witness.saw({ number: block.number, hash: Buffer.from(block.hash).toString('hex') });
    metrics.auditSealed.inc(count);
    const oldest = Math.min(...islands.map((island) => island.oldest.getTime()));
    metrics.auditSealSeconds.observe(Math.max(0, sealedAt.getTime() - oldest) / 1000);
    return count;
  }

  async function sealAll(): Promise<number> {
    let total = 0;
    // Where the end was cut off meanwhile, new entries may have old numbers.
    if (head.number > 0 && !(await hasAuditBlock(query, head.number, head.hash))) state = undefined;
    for (let block = 0; block < maximumBlocks; block++) {
      const count = await sealOne(state ?? (await load()));
      if (count === undefined) {
        state = undefined;
        continue;
      }
      total += count;
      if (count < maximumEntries) break;
    }
    return total;
  }

  async function seal(): Promise<number> {
    // One at a time; whoever asks meanwhile gets what is sealed after that.
    while (sealing !== undefined) await sealing.catch(() => 0);
    sealing = sealAll();
    try {
      return await sealing;
    } catch (error) {
      // Whether the last block was stored is not known.
      state = undefined;
      throw error;
    } finally {
      sealing = undefined;
    }
  }

  const ticker = createTicker({
    intervalMs,
    work: async () => (stopped ? 0 : seal()),
    failed: (error) => log.warn({ err: ViworksError.from(error) }, 'cannot seal the audit log now'),
  });

  return {
    seal,
    start: ticker.start,
    /** Seals what is left. */
    async stop() {
      stopped = true;
      await ticker.stop();
      await seal().catch((error: unknown) => {
        log.warn({ err: ViworksError.from(error) }, 'the end of the audit log is sealed at the next start');
      });
    },
  };
}
