import { exportView } from '../../src/api/schemas/audit.ts';
import type { Audit } from '../../src/audit/audit.ts';
import type { AuditEntry, AuditProblem, AuditVerdict } from '../../src/audit/types.ts';
import { createWitness, type Witness } from '../../src/audit/witness.ts';
import { type Database, statement } from '../../src/storage/database.ts';

/** An entry that somebody left. */
export const entryOf = (change: Partial<AuditEntry> = {}): AuditEntry => ({
  actor: 'ada',
  role: 'operator',
  action: 'commands.cancel',
  resourceKind: 'command',
  resourceId: '0197f0c2-7a1b-7c00-8000-000000000000',
  outcome: 'done',
  address: '127.0.0.1',
  userAgent: 'test',
  requestId: 'r-1',
  correlationId: 'c-1',
  details: () => ({ reason: 'it was tüchtig wrong' }),
  ...change,
});

/** Blocks with so many entries each. */
export async function sealBlocks(audit: Audit, sizes: readonly number[]): Promise<void> {
  for (const size of sizes) {
    for (let at = 0; at < size; at++)
      await audit.trail.record(entryOf({ resourceId: `r-${at}`, outcome: at % 2 ? 'refused' : 'done' }));
    await audit.sealer.seal();
  }
}

/** Verifies the whole chain. */
export async function verifyAll({ service }: Pick<Audit, 'service'>) {
  const total = { blocks: 0, entries: 0 };
  for (let token: string | undefined; ; ) {
    const verdict: AuditVerdict = await service.verify(token);
    total.blocks += verdict.blocks;
    total.entries += verdict.entries;
    if (verdict.problem !== undefined || verdict.nextToken === undefined)
      return { ...total, problem: verdict.problem, hash: verdict.hash };
    token = verdict.nextToken;
  }
}

export const problemOf = async (audit: Pick<Audit, 'service'>): Promise<AuditProblem | undefined> =>
  (await verifyAll(audit)).problem;

/** All lines of an export. */
export async function exportAll({ service }: Pick<Audit, 'service'>): Promise<string[]> {
  const all: string[] = [];
  for (let after: number | undefined = 0; after !== undefined; ) {
    const { lines, nextBlock }: Awaited<ReturnType<typeof exportView>> = await exportView(service, after);
    all.push(...lines);
    after = nextBlock;
  }
  return all;
}

/** Runs what somebody with a hand in the database would. */
export async function tamper({ query }: Pick<Database, 'query'>, sql: string): Promise<void> {
  // No name: it is planned anew each time.
  await query(statement('', sql), []);
}

/** Rows of the audit log, as they are. */
export async function auditRows({ query }: Pick<Database, 'query'>, where = 'true') {
  return query<Record<string, unknown> & { seq: string; action: string; outcome: string; actor: string }>(
    statement('', `select *, xmin::text as written_by from audit_entries where ${where} order by seq`),
    [],
  );
}

/** A witness that is forgotten with the process. */
export const createMemoryWitness = (): Witness =>
  createWitness({ head: undefined, lost: [] }, async () => {});
