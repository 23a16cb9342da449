import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Audit, createAudit } from '../../src/audit/audit.ts';
import { verifyLines } from '../../src/audit/verify-lines.ts';
import type { Witness } from '../../src/audit/witness.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { silentLogger } from '../../src/lib/logger.ts';
import { createMetrics } from '../../src/lib/metrics.ts';
import { generateKeyPair } from '../../src/protocol/keys.ts';
import type { Database } from '../../src/storage/database.ts';
import {
  auditRows,
  createMemoryWitness,
  exportAll,
  problemOf,
  sealBlocks,
  tamper,
  verifyAll,
} from '../support/audit.ts';
import { openTestDatabase } from '../support/postgres.ts';

/** Whatever somebody with a hand in the database does to sealed entries is found, and told as what it is. */

const key = generateKeyPair();
let database: Database;
let drop: () => Promise<void>;
let witness: Witness;
let audit: Audit;

const auditOver = (own: Witness, ownKey = key, keepMs = 0) =>
  createAudit({
    database,
    key: ownKey,
    witness: own,
    clock: systemClock,
    log: silentLogger,
    metrics: createMetrics(),
    keepMs,
  });

beforeAll(async () => {
  ({ database, drop } = await openTestDatabase());
});
afterAll(() => drop());

beforeEach(async () => {
  await tamper(database, 'truncate audit_entries, audit_blocks, audit_checkpoints restart identity');
  witness = createMemoryWitness();
  audit = auditOver(witness);
  // 1 to 4, 5 to 8, 9 to 12.
  await sealBlocks(audit, [4, 4, 4]);
});
afterEach(() => audit.trail.stop());

test('what nobody touched is intact', async () => {
  expect(await verifyAll(audit)).toMatchObject({ problem: undefined, blocks: 3, entries: 12 });
});

const columns: Record<string, string> = {
  at: `at + interval '1 millisecond'`,
  actor: `'eve'`,
  role: `'admin'`,
  action: `'commands.submit'`,
  resource_kind: `'agent'`,
  resource_id: `'r-9'`,
  outcome: `'failed'`,
  code: `'internal'`,
  count: 'count + 1',
  address: `'10.0.0.1'`,
  user_agent: 'null',
  request_id: `''`,
  correlation_id: `correlation_id || ' '`,
  details: `replace(details, 'wrong', 'right')`,
};

test('every column is tried', async () => {
  const [row = {}] = await auditRows(database);
  expect(
    Object.keys(row)
      .filter((name) => name !== 'seq' && name !== 'written_by')
      .sort(),
  ).toEqual(Object.keys(columns).sort());
});

test.each(Object.entries(columns))('a changed %s', async (column, value) => {
  await tamper(database, `update audit_entries set ${column} = ${value} where seq = 6`);
  expect(await problemOf(audit)).toMatchObject({ kind: 'changed', block: 2, seq: 6 });
});

test.each([1, 4, 5, 12])('entry %d is removed', async (seq) => {
  await tamper(database, `delete from audit_entries where seq = ${seq}`);
  expect(await problemOf(audit)).toMatchObject({ kind: 'removed', seq, block: Math.ceil(seq / 4) });
});

test('two entries change places', async () => {
  // Who owns the table writes the other columns: the numbers themselves are always generated.
  const names = Object.keys(columns).join(', ');
  await tamper(
    database,
    `update audit_entries e set (${names}) = (select ${names} from audit_entries o where o.seq = 13 - e.seq)
     where seq in (6, 7)`,
  );
  expect(await problemOf(audit)).toMatchObject({ kind: 'reordered', block: 2, seq: 6 });
});

const copy = (seq: number) => `insert into audit_entries (seq, ${Object.keys(columns).join(', ')})
  overriding system value select ${seq}, ${Object.keys(columns).join(', ')} from audit_entries where seq = 5`;

describe('an entry that is put in', () => {
  test('before the first', async () => {
    await tamper(database, copy(0));
    expect(await problemOf(audit)).toMatchObject({ kind: 'inserted', seq: 0 });
    await tamper(database, 'delete from audit_entries where seq = 0');
    await tamper(database, copy(-5));
    expect(await problemOf(audit)).toMatchObject({ kind: 'inserted', seq: -5 });
  });

  test('where one was removed', async () => {
    await tamper(database, 'delete from audit_entries where seq = 7');
    await tamper(database, copy(7));
    expect(await problemOf(audit)).toMatchObject({ kind: 'changed', seq: 7 });
  });

  test('where none ever was, once nothing can come there any more', async () => {
    // A transaction that was rolled back leaves a hole.
    await tamper(database, `select nextval(pg_get_serial_sequence('audit_entries', 'seq'))`);
    let now = 0;
    const late = createAudit({
      database,
      key,
      witness,
      clock: { now: Date.now, monotonic: () => now },
      log: silentLogger,
      metrics: createMetrics(),
      keepMs: 0,
    });
    for (; now < 200_000; now += 61_000) await sealBlocks(late, [1]);
    expect(await problemOf(late)).toBeUndefined();
    await tamper(database, copy(13));
    expect(await problemOf(late)).toMatchObject({ kind: 'inserted', seq: 13 });
  });
});

describe('blocks', () => {
  const hash = `'\\x${'00'.repeat(32)}'`;
  test.each([
    ['previous', hash],
    ['ranges', `'[[5,9]]'`],
    ['ranges', `'no'`],
    ['highest', '9'],
    ['settled', '7'],
    ['sealed_at', `sealed_at + interval '1 millisecond'`],
    ['digests', `digests || ${hash}`],
    ['hash', hash],
  ])('a changed %s', async (column, value) => {
    await tamper(database, `update audit_blocks set ${column} = ${value} where number = 2`);
    expect(await problemOf(audit)).toMatchObject({ kind: 'block_changed', block: 2 });
  });

  test('another signature, or another key', async () => {
    await tamper(database, `update audit_blocks set signature = '\\x${'00'.repeat(64)}' where number = 2`);
    expect(await problemOf(audit)).toMatchObject({ kind: 'signature', block: 2 });
    await tamper(database, `update audit_blocks set key_id = 'another' where number = 3`);
    expect(await problemOf(audit)).toMatchObject({ kind: 'signature', block: 2 });
  });

  test('one is removed, with its entries', async () => {
    await tamper(database, 'delete from audit_entries where seq between 5 and 8');
    await tamper(database, 'delete from audit_blocks where number = 2');
    expect(await problemOf(audit)).toMatchObject({ kind: 'block_removed', block: 2 });
  });

  test('the first ones are removed', async () => {
    await tamper(database, 'delete from audit_entries where seq <= 8');
    await tamper(database, 'delete from audit_blocks where number <= 2');
    expect(await problemOf(audit)).toMatchObject({ kind: 'block_removed', block: 1 });
  });

  test('all of it is made anew with another key', async () => {
    const forger = auditOver(createMemoryWitness(), generateKeyPair());
    await tamper(database, 'truncate audit_blocks');
    await tamper(database, `update audit_entries set actor = 'eve'`);
    await forger.sealer.seal();
    await forger.trail.stop();
    const fresh = auditOver(createMemoryWitness());
    expect(await problemOf(fresh)).toMatchObject({ kind: 'signature', block: 1 });
  });
});

describe('the end is cut off', () => {
  const cut = async () => {
    await tamper(database, 'delete from audit_entries where seq > 8');
    await tamper(database, 'delete from audit_blocks where number > 2');
  };

  test('is found by what the instance remembers', async () => {
    await cut();
    expect(await problemOf(audit)).toMatchObject({ kind: 'truncated', block: 3 });
  });

  test('is found after a restart, and after the chain went on', async () => {
    await cut();
    const again = auditOver(witness);
    await sealBlocks(again, [3, 2]);
    expect(await problemOf(again)).toMatchObject({ kind: 'truncated', block: 3 });
    expect(await auditRows(database, `action = 'audit.headLost'`)).toHaveLength(1);
    await again.trail.stop();
  });

  test('is found by who seals, who goes on with new entries all the same', async () => {
    await tamper(database, 'truncate audit_entries, audit_blocks restart identity');
    await sealBlocks(audit, [2]);
    expect(await auditRows(database, `action = 'audit.headLost'`)).toHaveLength(1);
    expect((await audit.service.head()).pending).toBe(0);
    expect(await problemOf(audit)).toMatchObject({ kind: 'truncated', block: 3 });
  });

  test('is found in an export by whoever kept the head', async () => {
    const { hash } = await audit.service.head();
    const head = Buffer.from(hash).toString('hex');
    const keys = new Map([[key.keyId, key.publicKey]]);
    expect((await verifyLines(from(await exportAll(audit)), { keys, head })).problem).toBeUndefined();
    await cut();
    const verdict = await verifyLines(from(await exportAll(audit)), { keys, head });
    expect(verdict.problem).toMatchObject({ kind: 'truncated' });
  });
});

async function* from(lines: readonly string[]): AsyncGenerator<string> {
  yield* lines;
}

describe('an export', () => {
  const keys = new Map([[key.keyId, key.publicKey]]);

  test('verifies by itself', async () => {
    const verdict = await verifyLines(from(await exportAll(audit)), { keys });
    expect(verdict).toMatchObject({ problem: undefined, blocks: 3, entries: 12 });
  });

  test('by another key does not', async () => {
    const other = generateKeyPair();
    const trusted = new Map([[other.keyId, other.publicKey]]);
    const { problem } = await verifyLines(from(await exportAll(audit)), { keys: trusted });
    expect(problem).toMatchObject({ kind: 'signature' });
  });

  test('in which any line is left out, doubled, moved or changed does not', async () => {
    const lines = await exportAll(audit);
    const at = fc.integer({ min: 0, max: lines.length - 1 });
    await fc.assert(
      fc.asyncProperty(at, at, fc.constantFrom('drop', 'double', 'move', 'change'), async (i, j, how) => {
        const changed = [...lines];
        const [line = ''] = changed.splice(i, 1);
        if (how === 'double') changed.splice(i, 0, line, line);
        if (how === 'move') changed.splice(j, 0, line);
        if (how === 'change') changed.splice(i, 0, line.replace(/"(actor|hash|ranges)":"./, '"$1":"7'));
        fc.pre(changed.join('\n') !== lines.join('\n'));
        const verdict = await verifyLines(from(changed), { keys }).catch(() => ({ problem: 'unreadable' }));
        expect(verdict.problem).toBeDefined();
      }),
    );
  });
});

test('whatever is done to one row, it is found', async () => {
  const names = Object.keys(columns);
  const rows = await auditRows(database);
  const seq = fc.integer({ min: 1, max: 12 });
  const change = fc.record({
    seq,
    how: fc.constantFrom('update', 'delete', 'swap'),
    column: fc.constantFrom('actor', 'action', 'resource_id', 'details', 'user_agent', 'request_id'),
    value: fc.option(
      fc.string({ unit: 'grapheme', maxLength: 20 }).map((text) => text.replaceAll(/[\0\\$]/g, '')),
    ),
    other: seq,
  });
  await fc.assert(
    fc.asyncProperty(change, async ({ seq: at, how, column, value, other }) => {
      await tamper(database, 'create table kept as select * from audit_entries');
      try {
        if (how === 'delete') await tamper(database, `delete from audit_entries where seq = ${at}`);
        if (how === 'update') {
          const old = rows[at - 1]?.[column] ?? null;
          const nullable = column === 'user_agent' || column === 'request_id' || column === 'resource_id';
          const text = value === null && !nullable ? '' : value;
          fc.pre(old !== text);
          const sql = text === null ? 'null' : `$v$${text}$v$`;
          await tamper(database, `update audit_entries set ${column} = ${sql} where seq = ${at}`);
        }
        if (how === 'swap') {
          fc.pre(
            JSON.stringify({ ...rows[at - 1], seq: 0 }) !== JSON.stringify({ ...rows[other - 1], seq: 0 }),
          );
          await tamper(
            database,
            `update audit_entries e set (${names}) = (select ${names} from kept o where o.seq = ${at} + ${other} - e.seq)
             where seq in (${at}, ${other})`,
          );
        }
        expect(await problemOf(audit)).toMatchObject({ seq: how === 'swap' ? Math.min(at, other) : at });
      } finally {
        await tamper(database, 'delete from audit_entries');
        await tamper(database, 'insert into audit_entries overriding system value select * from kept');
        await tamper(database, 'drop table kept');
      }
    }),
    { numRuns: 60 },
  );
  expect(await problemOf(audit)).toBeUndefined();
});
