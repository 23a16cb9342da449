import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fromBinary } from '@bufbuild/protobuf';
import { expect, onTestFinished, test } from 'vitest';
import { CommandKeySetSchema, type CommandKeys } from '#gen/viworks/agent/v1/handshake_pb.js';
import { createCommandTrust, type TrustStore } from '../../src/agent/command-trust.ts';
import { openTrustStore } from '../../src/agent/trust-store.ts';
import { silentLogger } from '../../src/lib/logger.ts';
import { statement } from '../../src/storage/database.ts';
import { executionIn, startCore, stopAfterTest, submitTo } from '../support/app-core.ts';
import { startFileCore } from '../support/app-core-file.ts';
import { connected } from '../support/fake-agent.ts';
import { createTestDatabase } from '../support/postgres.ts';
import { sdkAgent } from '../support/sdk-agent.ts';

/** Old sets of command keys, truly signed, are served again: nobody believes a key that was revoked since. */

const { core } = await startFileCore();

const keysOf = (message: CommandKeys) =>
  fromBinary(CommandKeySetSchema, message.keySet).keys.map((key) => key.keyId);

async function folder(): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'viworks-trust-'));
  onTestFinished(() => rm(dir, { recursive: true }));
  return dir;
}

/** What it writes is written before its folder goes. */
async function storeIn(dir: string): Promise<TrustStore> {
  const store = await openTrustStore(dir);
  onTestFinished(() => store.save(store.version));
  return store;
}

function trustIn(store: TrustStore) {
  const { keyId, publicKey } = core.serverKey;
  return createCommandTrust({
    identity: { serverKeys: [{ keyId, publicKey, notAfter: undefined }] },
    store,
    log: silentLogger,
    serverNow: () => core.clock.now(),
  });
}

test('a revocation reaches every session before the next command, which another key signs', async () => {
  const { session } = await connected(core, 'told');
  const given = session.welcome.signedCommandKeys;
  if (given === undefined) throw new Error('WELCOME has no keys');
  const [old = ''] = keysOf(given);
  const { commandId } = await submitTo(core, 'told');
  const before = await session.next('command');
  expect(before.signatures[0]?.keyId).toBe(old);
  const { keys } = await core.commandKeys.revoke('admin', old, 'copied');
  const active = keys.find(({ state }) => state === 'active')?.keyId ?? '';
  await submitTo(core, 'told');
  const after = await session.next('command');
  expect(after.signatures[0]?.keyId).toBe(active);
  const pushed = await session.next('commandKeys');
  expect(keysOf(pushed)).toEqual([active]);
  const heard = session.heard.filter((kind) => kind === 'command' || kind === 'commandKeys');
  expect(heard).toEqual(['command', 'commandKeys', 'command']);

  const dir = await folder();
  const trust = trustIn(await storeIn(dir));
  trust.accept(given);
  expect(() => trust.verify(before)).not.toThrow();
  trust.accept(pushed);
  expect(() => trust.verify(before)).toThrow(/revoked/);
  expect(() => trust.verify(after)).not.toThrow();
  // The set of before, again, in this process …
  trust.accept(given);
  expect(() => trust.verify(before)).toThrow(/revoked/);
  await core.engine.cancel('tester', commandId, 'the test is over');
});

test('an agent remembers over its restarts, and does not start on a damaged memory', async () => {
  const dir = await folder();
  const old = core.commandKeys.message;
  await core.commandKeys.rotate('admin', { overlapMs: 0 });
  const store = await storeIn(dir);
  const trust = trustIn(store);
  trust.accept(core.commandKeys.message);
  await store.save(store.version);
  const { session } = await connected(core, 'remembers');
  await submitTo(core, 'remembers');
  const command = await session.next('command');
  expect(() => trust.verify(command)).not.toThrow();

  const again = trustIn(await storeIn(dir));
  again.accept(old);
  expect(() => again.verify(command)).toThrow(/not known/);
  again.accept(core.commandKeys.message);
  expect(() => again.verify(command)).not.toThrow();

  const file = join(dir, 'command-keys.json');
  expect(JSON.parse(await readFile(file, 'utf8')).version).toBe(store.version);
  await writeFile(file, '{"version":"old"}');
  await expect(openTrustStore(dir)).rejects.toMatchObject({ code: 'config_invalid' });
});

test('a database from before a revocation revives no key: agents run nothing until the keys are rotated', async () => {
  const own = await createTestDatabase();
  onTestFinished(own.drop);
  const first = stopAfterTest(await startCore(own.url));
  const { serverKey, clock } = first;
  const old = (await first.commandKeys.list()).keys[0]?.keyId ?? '';
  const dir = await folder();
  const store = await storeIn(dir);
  const { agentId, agent, ran } = await sdkAgent(first, 'restored', { trustStore: store });
  await first.commandKeys.revoke('admin', old, 'copied');
  const { commandId } = await submitTo(first, agentId);
  await executionIn(first.engine, commandId, 'succeeded');
  await agent.stop(0);
  const newest = 'select max(version) from command_key_sets';
  await first.database.query(
    statement('restore', `delete from command_key_sets where version = (${newest})`),
    [],
  );
  await first.stop();

  const second = stopAfterTest(await startCore(own.url, { serverKey, clock }));
  const back = await sdkAgent(second, 'restored-too', { trustStore: store });
  const refused = await submitTo(second, back.agentId);
  const execution = await executionIn(second.engine, refused.commandId, 'failed');
  expect(execution.result?.failure?.code).toBe('signature_invalid');
  // Versions go by the clock, which has gone on since.
  clock.advance(1000);
  await second.commandKeys.rotate('admin');
  const accepted = await submitTo(second, back.agentId);
  await executionIn(second.engine, accepted.commandId, 'succeeded');
  expect([ran, back.ran]).toEqual([['true'], ['true']]);
});
