import { create, toBinary } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { describe, expect, test } from 'vitest';
import { ErrorSchema } from '#gen/viworks/agent/v1/flow_pb.js';
import { CommandKeySetSchema } from '#gen/viworks/agent/v1/handshake_pb.js';
import { newId } from '../../src/lib/ids.ts';
import { generateKeyPair, signBytes } from '../../src/protocol/keys.ts';
import { commandKeysInput } from '../../src/protocol/signed.ts';
import { statement } from '../../src/storage/database.ts';
import { type Core, executionIn, startCore, submitTo, watchUntil } from '../support/app-core.ts';
import { startFileCore } from '../support/app-core-file.ts';
import { connected } from '../support/fake-agent.ts';
import { createTestDatabase } from '../support/postgres.ts';
import { sdkAgent } from '../support/sdk-agent.ts';

/** Whoever writes into the database, whatever it is, has no agent run anything. */

const { core, database } = await startFileCore();

let statements = 0;
/** Whatever somebody with the password of the database may write. */
function sql(text: string, values: unknown[] = [], on: Pick<Core, 'database'> = core): Promise<unknown[]> {
  statements += 1;
  return on.database.query(statement(`forged_${statements}`, text), values);
}
const run = (program: string) => ({ args: { argv: [program] } });

/** A held command for the agent, whose row waits to be altered. */
async function waiting(agentId: string, program: string): Promise<string> {
  await core.agents.setMaintenance(agentId, true, 'for the test');
  const { commandId } = await submitTo(core, agentId, run(program));
  return commandId;
}
const letGo = (agentId: string) => core.agents.setMaintenance(agentId, false, '');

async function columnsOf(table: string): Promise<string[]> {
  const text = 'select column_name as name from information_schema.columns where table_name = $1';
  return ((await sql(text, [table])) as { name: string }[]).map((row) => row.name);
}

/** Copies a true command and its execution under new ids, with all else as it is, but what is changed. */
async function copyRows(from: string, change: Record<string, string> = {}): Promise<string> {
  const [commandId, executionId] = [newId(), newId()];
  const own: Record<string, string> = { command_id: `'${commandId}'`, execution_id: `'${executionId}'` };
  for (const table of ['commands', 'executions']) {
    const columns = await columnsOf(table);
    const values = columns.map((name) => change[`${table}.${name}`] ?? own[name] ?? name);
    const select = `select ${values.join(', ')} from ${table} where command_id = $1`;
    await sql(`insert into ${table} (${columns.join(', ')}) ${select}`, [from]);
  }
  return commandId;
}

/** Resolves with its state when the only execution has ended, also where the command itself cannot be read. */
async function endOf(commandId: string): Promise<string> {
  for (;;) {
    const changed = Promise.withResolvers<void>();
    const unsubscribe = core.bus.subscribe('command.changed', commandId, changed.resolve);
    const text = `select state from executions where command_id = $1 and deadline_at is null`;
    const [row] = (await sql(text, [commandId])) as { state: string }[];
    if (row === undefined) await changed.promise;
    unsubscribe();
    if (row !== undefined) return row.state;
  }
}

describe('rows that are written by hand', () => {
  test('are never sent, however true they look, and end with the reason', async () => {
    const { agentId, ran } = await sdkAgent(core, 'copied');
    const true1 = await waiting(agentId, 'first');
    const forged = [await copyRows(true1), await copyRows(true1, { 'executions.binding': 'null' })];
    await letGo(agentId);
    await executionIn(core.engine, true1, 'succeeded');
    for (const commandId of forged) {
      const execution = await executionIn(core.engine, commandId, 'failed');
      expect(execution.result?.failure).toMatchObject({ code: 'not_authentic' });
      expect(execution.transitions.at(-1)?.cause).toMatch(/not submitted here/);
    }
    const { commandId } = await submitTo(core, agentId, run('second'));
    await executionIn(core.engine, commandId, 'succeeded');
    expect(ran).toEqual(['first', 'second']);
  });

  test('of sizes and times that no submit makes harm nobody else’s', async () => {
    const { agentId, ran } = await sdkAgent(core, 'monsters');
    const one = await waiting(agentId, 'true');
    const forged = [
      await copyRows(one, { 'commands.actor': `repeat('a', 100000)` }),
      await copyRows(one, { 'commands.max_retries': '-1::int2' }),
      await copyRows(one, { 'commands.timeout_ms': '-9007199254740993' }),
      await copyRows(one, { 'commands.expires_at': `'infinity'::timestamptz` }),
      await copyRows(one, { 'executions.binding': `decode(repeat('00', 5000), 'hex')` }),
    ];
    await letGo(agentId);
    await executionIn(core.engine, one, 'succeeded');
    for (const commandId of forged) expect(await endOf(commandId)).toBe('failed');
    expect(ran).toEqual(['true']);
  });

  test.each([
    ['args', `update commands set args_bytes = args_bytes || '\\x0a0178' where command_id = $1`],
    ['verb', `update executions set verb = 'system.info' where command_id = $1`],
    ['time limit', 'update commands set timeout_ms = timeout_ms * 2 where command_id = $1'],
    ['retries', 'update commands set max_retries = 9 where command_id = $1'],
    ['actor', `update commands set actor = 'root' where command_id = $1`],
    ['time to live', `update commands set expires_at = expires_at + interval '1 day' where command_id = $1`],
    [
      'own time to live',
      `update executions set expires_at = expires_at + interval '1 day' where command_id = $1`,
    ],
  ])('no altered %s is sent', async (what, change) => {
    const { agentId, ran } = await sdkAgent(core, `altered-${what.replaceAll(' ', '-')}`);
    const commandId = await waiting(agentId, 'false');
    await sql(change, [commandId]);
    await letGo(agentId);
    await executionIn(core.engine, commandId, 'failed');
    expect(ran).toEqual([]);
  });

  test.each([
    ['the same attempt', ''],
    ['another attempt', ', attempt = 2'],
    ['another attempt, vouched for by that of another', ', attempt = 2, attempt_binding = binding'],
  ])('what has run does not run again as %s', async (what, change) => {
    const { agentId, ran } = await sdkAgent(core, `again-${what.length}`);
    const { commandId } = await submitTo(core, agentId, run('once'));
    await executionIn(core.engine, commandId, 'succeeded');
    const again = `state = 'queued', epoch = null, deadline_at = expires_at, exit_code = null ${change}`;
    await sql(`update executions set ${again} where command_id = $1`, [commandId]);
    core.engine.dispatcher.wake(agentId);
    expect(await endOf(commandId)).toBe(change === '' ? 'outcome_unknown' : 'failed');
    expect(ran).toEqual(['once']);
  });

  test.each([
    ['another program', `update commands set args_bytes = args_bytes || '\\x0a0178' where command_id = $1`],
    ['another verb', `update commands set verb = 'system.info' where command_id = $1`],
    ['another agent', `update executions set agent_id = 'not-meant-again' where command_id = $1`],
    ['no binding', 'update executions set binding = null where command_id = $1'],
  ])('nobody tries %s again because a row says so', async (what, change) => {
    const { agentId } = await sdkAgent(core, `retried-${what.replaceAll(' ', '-')}`);
    const commandId = await waiting(agentId, 'first');
    await core.engine.cancel('ada', commandId, '');
    await executionIn(core.engine, commandId, 'cancelled');
    // What is shown is not what is submitted.
    await sql(`update commands set args = '{"argv":["evil"]}' where command_id = $1`, [commandId]);
    const again = await core.engine.retry('ada', commandId, {});
    expect(again.args).toEqual({ argv: ['first'] });
    await sql(change, [commandId]);
    await expect(core.engine.retry('ada', commandId, {})).rejects.toMatchObject({ code: 'not_authentic' });
  });

  test('nothing is sent to another agent than it was submitted for', async () => {
    const [one, other] = [await sdkAgent(core, 'meant'), await sdkAgent(core, 'not-meant')];
    const commandId = await waiting(one.agentId, 'true');
    await core.agents.setMaintenance(other.agentId, true, 'for the test');
    await sql('update executions set agent_id = $2 where command_id = $1', [commandId, other.agentId]);
    await letGo(other.agentId);
    await executionIn(core.engine, commandId, 'failed');
    expect([...one.ran, ...other.ran]).toEqual([]);
  });
});

test('an approval that is written by hand approves nothing', async () => {
  const own = await createTestDatabase();
  const strict = await startCore(own.url, { approval: 'elevated' });
  try {
    const { agentId, ran } = await sdkAgent(strict, 'unapproved');
    const { commandId } = await submitTo(strict, agentId, run('false'));
    const byHand = (text: string) => sql(text, [commandId], strict);
    await byHand(`update approvals set state = 'approved', decided_by = 'bob' where command_id = $1`);
    await byHand(`update executions set state = 'queued', hold = null where command_id = $1`);
    strict.engine.dispatcher.wake(agentId);
    await executionIn(strict.engine, commandId, 'failed');
    const second = await submitTo(strict, agentId, run('approved'));
    await strict.engine.decide('bob', second.commandId, 'approved', '');
    await executionIn(strict.engine, second.commandId, 'succeeded');
    expect(ran).toEqual(['approved']);
  } finally {
    await strict.stop();
    await own.drop();
  }
});

describe('keys that are written by hand', () => {
  test('sign nothing that is believed, with a set that somebody else signed', async () => {
    const before = core.commandKeys.message;
    const [forger, key] = [generateKeyPair(), generateKeyPair()];
    const version = core.clock.now() + 1_000_000;
    const keySet = toBinary(
      CommandKeySetSchema,
      create(CommandKeySetSchema, {
        version: BigInt(version),
        issuedAt: timestampFromMs(core.clock.now()),
        keys: [{ keyId: key.keyId, publicKey: key.publicKey }],
      }),
    );
    const insertSet = `insert into command_key_sets (version, key_set, signature, signed_by, created_at)
      values ($1, $2, $3, $4, now())`;
    const signature = signBytes(forger, commandKeysInput(keySet));
    await sql(insertSet, [version, keySet, signature, core.serverKey.keyId]);
    await sql(
      `insert into command_keys (key_id, public_key, sealed_private_key, created_at, created_by)
       values ($1, $2, $3, now(), 'system')`,
      [key.keyId, key.publicKey, Buffer.alloc(100)],
    );
    const rotated = await core.commandKeys.rotate('admin');
    expect(rotated.keys.find(({ keyId }) => keyId === key.keyId)?.state).toBe('retired');
    expect(core.commandKeys.message.keySet).not.toEqual(keySet);
    expect(core.commandKeys.message).not.toEqual(before);
    // A restart reads the same rows.
    const again = await startCore(database.url, { serverKey: core.serverKey });
    expect(Buffer.from(again.commandKeys.message.keySet)).toEqual(
      Buffer.from(core.commandKeys.message.keySet),
    );
    await again.stop();
  });

  test('are opened with the command secret alone, and a server that lost it makes a new one', async () => {
    const own = await createTestDatabase();
    try {
      const first = await startCore(own.url);
      const { keys } = await first.commandKeys.list();
      await first.stop();
      const secret = new Uint8Array(32).fill(9);
      const second = await startCore(own.url, { serverKey: first.serverKey, commandSecret: secret });
      const after = await second.commandKeys.list();
      expect(after.keys.find(({ state }) => state === 'active')?.keyId).not.toBe(keys[0]?.keyId);
      const { agentId, ran } = await sdkAgent(second, 'anew');
      const { commandId } = await submitTo(second, agentId);
      await executionIn(second.engine, commandId, 'succeeded');
      expect(ran).toEqual(['true']);
      await second.stop();
    } finally {
      await own.drop();
    }
  });
});

test('an agent that does not believe a command says so, and its execution ends', async () => {
  const { session } = await connected(core, 'refuses');
  const { commandId } = await submitTo(core, 'refuses');
  await session.next('command');
  const refusal = { code: 'signature_invalid', message: 'The command is not believed.' };
  // What names no command of this session ends nothing.
  session.send({ case: 'error', value: create(ErrorSchema, { ...refusal, sequence: 99n }) });
  session.send({ case: 'error', value: create(ErrorSchema, { ...refusal, sequence: 1n }) });
  const execution = await executionIn(core.engine, commandId, 'failed');
  expect(execution.result?.failure).toEqual(refusal);
  const next = await submitTo(core, 'refuses');
  session.result(await session.order());
  await executionIn(core.engine, next.commandId, 'succeeded');
});

test('keys rotate under load, and no command is dropped or runs twice', async () => {
  const { agentId, ran } = await sdkAgent(core, 'busy');
  const names = Array.from({ length: 300 }, (_, n) => `c${n}`);
  const submitted: string[] = [];
  for (let at = 0; at < names.length; at += 20) {
    const batch = names.slice(at, at + 20).map((name) => submitTo(core, agentId, run(name)));
    const change = at % 60 === 0 ? core.commandKeys.rotate('admin', { overlapMs: 0 }) : undefined;
    for (const { commandId } of await Promise.all(batch)) submitted.push(commandId);
    const list = await change;
    const active = list?.keys.find(({ state }) => state === 'active')?.keyId ?? '';
    if (at % 120 === 0) await core.commandKeys.revoke('admin', active, 'in the test');
  }
  for (const commandId of submitted)
    await watchUntil(core.engine, commandId, (_, event) => event.command.done);
  for (const commandId of submitted) {
    const { command } = await core.engine.get(commandId, { size: 1, token: undefined });
    expect(command.counts).toEqual({ succeeded: 1 });
  }
  expect([...ran].sort()).toEqual([...names].sort());
});
