import { invalidField } from '../errors.ts';
import type { Clock } from '../lib/clock.ts';
import { decodeToken, encodeToken } from '../lib/page.ts';
import {
  auditBlocksAfter,
  auditEntriesIn,
  auditEntriesOutside,
  auditRangesAfter,
  digestEntries,
  findAuditCheckpoint,
  lastAuditBlock,
  type SeqRange,
} from '../storage/audit-chain.ts';
import type { Database } from '../storage/database.ts';
import { countOf, type TrustedKeys } from './chain.ts';
import { maximumSeq } from './gaps.ts';
import { isInChain } from './seen.ts';
import type { AuditProblem, AuditVerdict } from './types.ts';
import {
  type ChainPosition,
  chainStart,
  checkBlock,
  checkCheckpoint,
  checkEnd,
  checkEntries,
  insertedProblem,
  truncatedProblem,
} from './verify.ts';
import type { Witness } from './witness.ts';

/** Verifies the chain in the database, some blocks at a time, so that neither side needs much memory. */

export interface VerifierDeps {
  database: Pick<Database, 'query'>;
  keys: TrustedKeys;
  witness: Pick<Witness, 'head' | 'lost'>;
  clock: Pick<Clock, 'monotonic'>;
}

const blocksAtOnce = 20;
/** Milliseconds for one look: it is part of a call. */
const lookMs = 2000;
const tokenForm = /^\d+\/[0-9a-f]{64}\/\d+\/-?\d+\/\d*$/;

interface Look extends ChainPosition {
  /** Up to this sequence number it was looked for entries that no block has. */
  searched: number;
}

export function createVerifier({ database, keys, witness, clock }: VerifierDeps) {
  const { query } = database;

  async function begin(): Promise<Look | AuditProblem> {
    const checkpoint = await findAuditCheckpoint(query);
    const [lost] = witness.lost;
    if (lost !== undefined) return truncatedProblem(lost.number, lost.hash);
    const problem = checkCheckpoint(checkpoint, keys);
    return problem ?? { ...chainStart(checkpoint), searched: -maximumSeq };
  }

  /** The entries of a block, told by the digests that the database makes; a row is read only where one is wrong. */
  async function entriesOf(
    block: { number: number; digests: Uint8Array },
    ranges: SeqRange[],
  ): Promise<AuditProblem | undefined> {
    const { islands } = await digestEntries(query, ranges, countOf(ranges) + 1);
    const digests = Buffer.concat(islands.map((island) => island.digests));
    if (Buffer.compare(digests, block.digests) === 0) return undefined;
    return checkEntries(block, ranges, await auditEntriesIn(query, ranges, countOf(ranges) + 1));
  }

  /** Entries between the blocks that were looked at and those before, which no block has. */
  async function insertedIn(
    after: number,
    upTo: number,
    lastNumber: number,
    known: SeqRange[],
  ): Promise<AuditProblem | undefined> {
    const strays = await auditEntriesOutside(query, known, after, upTo);
    const [first] = strays;
    const last = strays.at(-1);
    if (first === undefined || last === undefined) return undefined;
    const settled = (await lastAuditBlock(query))?.settled ?? 0;
    const later = await auditRangesAfter(query, lastNumber, last);
    const stray = strays.find(
      (seq) => seq <= settled && !later.some(([from, to]) => from <= seq && seq <= to),
    );
    return stray === undefined ? undefined : insertedProblem(stray);
  }

  async function look(from: Look): Promise<AuditVerdict> {
    const until = clock.monotonic() + lookMs;
    let at: Look = from;
    let blocks = 0;
    let entries = 0;
    const verdict = (problem: AuditProblem | undefined, more: boolean): AuditVerdict => ({
      problem,
      blocks,
      entries,
      nextToken: more ? tokenOf(at) : undefined,
      block: at.number,
      hash: at.hash,
    });
    for (;;) {
      const rows = await auditBlocksAfter(query, at.number, blocksAtOnce);
      const known: SeqRange[] = [];
      for (const block of rows) {
        const checked = checkBlock(at, block, keys);
        if (checked.problem !== undefined) return verdict(checked.problem, false);
        const problem = await entriesOf(block, checked.ranges);
        if (problem !== undefined) return verdict(problem, false);
        known.push(...checked.ranges);
        blocks += 1;
        entries += countOf(checked.ranges);
        at = { ...checked.next, searched: at.searched };
      }
      const inserted = await insertedIn(at.searched, at.highest, at.number, known);
      at = { ...at, searched: at.highest };
      if (inserted !== undefined) return verdict(inserted, false);
      if (rows.length < blocksAtOnce) break;
      if (clock.monotonic() >= until) return verdict(undefined, true);
    }
    const { head } = witness;
    if (head !== undefined && !(await isInChain(query, head)))
      return verdict(truncatedProblem(head.number, head.hash), false);
    return verdict(checkEnd(at), false);
  }

  return async (token: string | undefined): Promise<AuditVerdict> => {
    const from = token === undefined ? await begin() : positionOf(token);
    if ('kind' in from)
      return {
        problem: from,
        blocks: 0,
        entries: 0,
        nextToken: undefined,
        block: 0,
        hash: new Uint8Array(32),
      };
    return look(from);
  };
}

const tokenOf = ({ number, hash, highest, searched, unsignedSince }: Look) =>
  encodeToken([number, Buffer.from(hash).toString('hex'), highest, searched, unsignedSince ?? ''].join('/'));

/** @throws invalid_request */
function positionOf(token: string): Look {
  const [number, hash = '', highest, searched, unsigned] = decodeToken(token, tokenForm).split('/');
  if (![number, highest, searched, unsigned].map(Number).every(Number.isSafeInteger))
    throw invalidField('pageToken', 'must be the token of the page before');
  return {
    number: Number(number),
    hash: Buffer.from(hash, 'hex'),
    highest: Number(highest),
    searched: Number(searched),
    unsignedSince: unsigned ? Number(unsigned) : undefined,
  };
}
