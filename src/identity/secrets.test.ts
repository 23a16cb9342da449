import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { generateKeyPair, keyPairToPem, signBytes, verifyBytes } from '../protocol/keys.ts';
import { loadSecrets } from './secrets.ts';

async function folder() {
  const dataDir = await mkdtemp(join(tmpdir(), 'viworks-secrets-'));
  onTestFinished(() => rm(dataDir, { recursive: true }));
  return { dataDir, serverKeyPath: undefined, tokenSecretPath: undefined };
}

test('secrets are made once, for their owner alone, and are the same at the next start', async () => {
  const sources = await folder();
  const first = await loadSecrets(sources);
  const second = await loadSecrets(sources);
  expect(second.serverKey.keyId).toBe(first.serverKey.keyId);
  expect(Buffer.compare(second.tokenSecret, first.tokenSecret)).toBe(0);
  expect(first.tokenSecret.byteLength).toBe(32);
  expect(Buffer.compare(second.commandSecret, first.commandSecret)).toBe(0);
  expect(first.commandSecret.byteLength).toBe(32);
  const keys = join(sources.dataDir, 'keys');
  expect((await stat(keys)).mode & 0o777).toBe(0o700);
  for (const name of await readdir(keys)) expect((await stat(join(keys, name))).mode & 0o777).toBe(0o600);
  const text = new Uint8Array([1, 2, 3]);
  expect(verifyBytes(first.serverKey.publicKey, text, signBytes(second.serverKey, text))).toBe(true);
});

test('two instances never share secrets that were made', async () => {
  const [one, two] = [await loadSecrets(await folder()), await loadSecrets(await folder())];
  expect(one.serverKey.keyId).not.toBe(two.serverKey.keyId);
  expect(Buffer.compare(one.tokenSecret, two.tokenSecret)).not.toBe(0);
});

test('what is configured is taken, and nothing is made in its place', async () => {
  const sources = await folder();
  const pair = generateKeyPair();
  const serverKeyPath = join(sources.dataDir, 'own.pem');
  await writeFile(serverKeyPath, keyPairToPem(pair));
  const tokenSecretPath = join(sources.dataDir, 'token-secret');
  const secret = Buffer.alloc(32, 7).toString('base64');
  await writeFile(tokenSecretPath, secret);
  const commandSecretPath = join(sources.dataDir, 'own-secret');
  const commandSecret = Buffer.alloc(32, 5);
  await writeFile(commandSecretPath, `${commandSecret.toString('base64')}\n`);
  const given = { ...sources, serverKeyPath, tokenSecretPath, commandSecretPath };
  const secrets = await loadSecrets(given);
  expect(Buffer.from(secrets.commandSecret)).toEqual(commandSecret);
  expect(secrets.serverKey.keyId).toBe(pair.keyId);
  expect(Buffer.from(secrets.tokenSecret).toString('base64')).toBe(secret);
  expect((await readdir(sources.dataDir)).sort()).toEqual(['own-secret', 'own.pem', 'token-secret']);
  await writeFile(tokenSecretPath, 'short');
  const refusal = { code: 'config_invalid', message: expect.stringContaining('token_secret_path') };
  await expect(loadSecrets(given)).rejects.toMatchObject(refusal);
});

test('a key that is missing, or none, stops the start by the name of its setting, and is not replaced', async () => {
  const sources = await folder();
  const serverKeyPath = join(sources.dataDir, 'own.pem');
  const refusal = {
    code: 'config_invalid',
    message: expect.stringContaining('security.backend_private_key_path'),
  };
  await expect(loadSecrets({ ...sources, serverKeyPath })).rejects.toMatchObject(refusal);
  await writeFile(serverKeyPath, 'no key');
  await expect(loadSecrets({ ...sources, serverKeyPath })).rejects.toMatchObject(refusal);
  expect(await readFile(serverKeyPath, 'utf8')).toBe('no key');
  await loadSecrets(sources);
  const own = join(sources.dataDir, 'keys', 'server.pem');
  await writeFile(own, 'damaged');
  await expect(loadSecrets(sources)).rejects.toMatchObject({ code: 'config_invalid' });
  expect(await readFile(own, 'utf8')).toBe('damaged');
});

test('a command secret that is missing, or too short, stops the start by the name of its setting', async () => {
  const sources = await folder();
  const commandSecretPath = join(sources.dataDir, 'own-secret');
  const refusal = {
    code: 'config_invalid',
    message: expect.stringContaining('security.command_secret_path'),
  };
  await expect(loadSecrets({ ...sources, commandSecretPath })).rejects.toMatchObject(refusal);
  await writeFile(commandSecretPath, Buffer.alloc(31).toString('base64'));
  await expect(loadSecrets({ ...sources, commandSecretPath })).rejects.toMatchObject(refusal);
});

test('a file in PEM is no secret, as everybody may have it; lines of base64 are one', async () => {
  const sources = await folder();
  const commandSecretPath = join(sources.dataDir, 'own-secret');
  await writeFile(commandSecretPath, keyPairToPem(generateKeyPair()));
  await expect(loadSecrets({ ...sources, commandSecretPath })).rejects.toMatchObject({
    message: expect.stringContaining('random bytes in base64'),
  });
  const bytes = Buffer.alloc(64, 3);
  await writeFile(commandSecretPath, bytes.toString('base64').replace(/(.{64})/g, '$1\n'));
  const { commandSecret } = await loadSecrets({ ...sources, commandSecretPath });
  expect(Buffer.from(commandSecret)).toEqual(bytes);
});

test('a data folder that cannot hold them is named', async () => {
  const sources = await folder();
  const file = join(sources.dataDir, 'file');
  await writeFile(file, '');
  await expect(loadSecrets({ ...sources, dataDir: file })).rejects.toMatchObject({
    code: 'config_invalid',
    message: expect.stringContaining('server.data_dir'),
  });
});
