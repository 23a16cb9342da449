import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { type Audit, type AuditDeps, createAudit } from '../../src/audit/audit.ts';
import { rowOf } from '../../src/audit/calls.ts';
import { verifyLines } from '../../src/audit/verify-lines.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { silentLogger } from '../../src/lib/logger.ts';
import { createMetrics } from '../../src/lib/metrics.ts';
import { generateKeyPair } from '../../src/protocol/keys.ts';
import { insertAuditEntries } from '../../src/storage/audit.ts';
import type { Database } from '../../src/storage/database.ts';
import { createProcessRig } from '../support/app-process.ts';
import {
  auditRows,
  createMemoryWitness,
  entryOf,
  exportAll,
  problemOf,
  sealBlocks,
  tamper,
  verifyAll,
} from '../support/audit.ts';
import { openTestDatabase } from '../support/postgres.ts';

/** The chain stays whole whatever happens to those who make it. */

const key = generateKeyPair();
let database: Database;
let drop: () => Promise<void>;

const auditOver = (over: Partial<AuditDeps> = {}): Audit =>
  createAudit({
    database,
    key,
    witness: createMemoryWitness(),
    clock: systemClock,
    log: silentLogger,
    metrics: createMetrics(),
    keepMs: 0,
    ...over,
  });

beforeAll(async () => {
  ({ database, drop } = await openTestDatabase());
});
afterAll(() => drop());
beforeEach(() =>
  tamper(database, 'truncate audit_entries, audit_blocks, audit_checkpoints restart identity'),
);

test('two instances write and seal at once: every entry is in one block', async () => {
  const instances = [auditOver(), auditOver()];
  const writing = instances.flatMap(({ trail }) =>
    Array.from({ length: 300 }, (_, at) => trail.record(entryOf({ resourceId: String(at) }))),
  );
  let writes = true;
  const sealing = instances.map(async ({ sealer }) => {
    while (writes) await sealer.seal();
    await sealer.seal();
  });
  await Promise.all(writing);
  writes = false;
  await Promise.all(sealing);
  for (const audit of instances)
    expect(await verifyAll(audit)).toMatchObject({ problem: undefined, entries: 600 });
  expect((await verifyLines(from(await exportAll(auditOver())))).problem).toBeUndefined();
});

async function* from(lines: readonly string[]): AsyncGenerator<string> {
  yield* lines;
}

test('what commits late and what is rolled back is neither lost nor missed', async () => {
  const audit = auditOver();
  const row = rowOf(entryOf(), Date.now());
  const gate = Promise.withResolvers<void>();
  const taken = Promise.withResolvers<void>();
  const late = database.transaction(async (query) => {
    await insertAuditEntries(query, [row, row]);
    taken.resolve();
    await gate.promise;
  });
  await taken.promise;
  const rolledBack = database.transaction(async (query) => {
    await insertAuditEntries(query, [row]);
    throw new Error('no');
  });
  await expect(rolledBack).rejects.toThrow();
  await sealBlocks(audit, [2]);
  expect(await verifyAll(audit)).toMatchObject({ problem: undefined, entries: 2 });
  gate.resolve();
  await late;
  // Not yet sealed is not put in.
  expect(await problemOf(audit)).toBeUndefined();
  expect((await audit.service.head()).pending).toBe(2);
  await sealBlocks(auditOver(), [1]);
  expect(await verifyAll(audit)).toMatchObject({ problem: undefined, entries: 5 });
  expect((await audit.service.head()).pending).toBe(0);
});

test('after retention the rest verifies, and nothing can be cut off with it', async () => {
  let now = Date.now() - 10 * 86_400_000;
  const clock = { now: () => now, monotonic: () => performance.now() };
  const audit = auditOver({ clock, keepMs: 86_400_000 });
  await sealBlocks(audit, [5, 5, 5]);
  now += 5 * 86_400_000;
  await sealBlocks(audit, [5]);
  expect(await audit.retention.clean()).toBe(15);
  await audit.sealer.seal();
  expect(await verifyAll(audit)).toMatchObject({ problem: undefined, blocks: 2, entries: 6 });
  expect((await audit.service.head()).checkpoint).toMatchObject({ number: 3, entries: 15 });
  expect(await auditRows(database, `action = 'audit.retention'`)).toHaveLength(1);
  expect((await verifyLines(from(await exportAll(audit)))).problem).toBeUndefined();
  now += 5 * 86_400_000;
  await sealBlocks(audit, [1]);
  expect(await audit.retention.clean()).toBe(6);
  expect(await problemOf(audit)).toBeUndefined();
  expect((await audit.service.head()).checkpoint?.entries).toBe(21);
  await tamper(database, 'update audit_checkpoints set entries = 20');
  expect(await problemOf(audit)).toMatchObject({ kind: 'signature' });
  await tamper(database, 'delete from audit_checkpoints');
  expect(await problemOf(audit)).toMatchObject({ kind: 'block_removed', block: 1 });
});

test('what was changed is not deleted when it is old', async () => {
  let now = Date.now() - 10 * 86_400_000;
  const clock = { now: () => now, monotonic: () => performance.now() };
  const audit = auditOver({ clock, keepMs: 86_400_000 });
  await sealBlocks(audit, [2, 2]);
  now += 5 * 86_400_000;
  await sealBlocks(audit, [1]);
  await tamper(database, `update audit_entries set actor = 'eve' where seq = 3`);
  expect(await audit.retention.clean()).toBe(0);
  expect(await problemOf(audit)).toMatchObject({ kind: 'changed', seq: 3 });
});

test('a new key of the server vouches for what the old one signed', async () => {
  const witness = createMemoryWitness();
  await sealBlocks(auditOver({ witness }), [2, 2]);
  const renewed = auditOver({ witness, key: generateKeyPair() });
  expect(await problemOf(renewed)).toMatchObject({ kind: 'signature', block: 1 });
  await sealBlocks(renewed, [1]);
  expect(await problemOf(renewed)).toBeUndefined();
  expect(await auditRows(database, `action = 'keys.replaced'`)).toHaveLength(1);
});

test('a server that is killed again and again loses no entry of what it acknowledged', async () => {
  const rig = createProcessRig();
  await rig.startServer();
  await rig.startAgent();
  const acknowledged: string[] = [];
  for (let kill = 0; kill < 3; kill++) {
    const submits = Array.from({ length: 20 }, () =>
      rig.submit('true').then(
        (id) => void acknowledged.push(id),
        () => undefined,
      ),
    );
    await submits[0];
    await rig.kill(rig.server());
    await Promise.all(submits);
    await rig.startServer();
  }
  const client = rig.client();
  const entries = await client.audit.list.query({ filter: { action: 'commands.submit' }, pageSize: 1000 });
  const commands = await client.commands.list.query({ pageSize: 1000 });
  expect(entries.entries.map(({ resourceId }) => resourceId).sort()).toEqual(
    commands.commands.map(({ commandId }) => commandId).sort(),
  );
  expect(entries.entries.map(({ resourceId }) => resourceId)).toEqual(expect.arrayContaining(acknowledged));
  await expect.poll(async () => (await client.audit.head.query()).pending, { timeout: 10_000 }).toBe(0);
  expect((await client.audit.verify.query()).problem).toBeUndefined();
  const dataDir = join(rig.folder, 'data');
  const witness = JSON.parse(readFileSync(join(dataDir, 'audit-witness.json'), 'utf8'));
  expect(witness.lost).toEqual([]);
}, 120_000);
