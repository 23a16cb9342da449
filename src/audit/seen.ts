import { auditBlocksAfter, findAuditCheckpoint } from '../storage/audit-chain.ts';
import type { Database } from '../storage/database.ts';
import type { WitnessedHead } from './witness.ts';

/** Whether a block that was seen is in the chain of the database, or was before where that begins now. */
export async function isInChain(query: Database['query'], { number, hash }: WitnessedHead): Promise<boolean> {
  const [block] = await auditBlocksAfter(query, number - 1, 1);
  if (block?.number === number) return Buffer.from(block.hash).toString('hex') === hash;
  const checkpoint = await findAuditCheckpoint(query);
  return checkpoint !== undefined && checkpoint.number >= number;
}
