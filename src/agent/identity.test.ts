import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { create } from '@bufbuild/protobuf';
import { expect, onTestFinished, test } from 'vitest';
import { type EnrollRequest, EnrollResponseSchema } from '#gen/viworks/agent/v1/agent_service_pb.js';
import { ViworksError } from '../errors.ts';
import { generateKeyPair, verifyBytes } from '../protocol/keys.ts';
import { enrollInput } from '../protocol/signed.ts';
import { enrolled, enrollIdentity, loadIdentity } from './identity.ts';
import { agentIdFromHost } from './run.ts';

async function newDir(): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'viworks-identity-'));
  onTestFinished(() => rm(dir, { recursive: true }));
  return join(dir, 'agent');
}

const serverKey = generateKeyPair();
const answer = (request: EnrollRequest) =>
  Promise.resolve(
    create(EnrollResponseSchema, {
      agentId: request.agentId,
      incarnation: 3,
      keyId: 'unused',
      site: 'berlin',
      serverKeys: [{ keyId: serverKey.keyId, publicKey: serverKey.publicKey }],
    }),
  );

test('enrolment makes a key, proves it, and stores what the server says', async () => {
  const dir = await newDir();
  expect(await enrolled(dir)).toBe(false);
  const asked: EnrollRequest[] = [];
  const identity = await enrollIdentity(
    dir,
    { token: 't', agentId: 'a-1', labels: { role: 'web' } },
    (request) => {
      asked.push(request);
      return answer(request);
    },
  );
  const [request] = asked;
  expect(request).toMatchObject({ token: 't', agentId: 'a-1', labels: { role: 'web' } });
  if (request === undefined) throw new Error('nothing was asked');
  const input = enrollInput('t', 'a-1', request.publicKey);
  expect(verifyBytes(identity.key.publicKey, input, request.signature)).toBe(true);
  expect(await enrolled(dir)).toBe(true);
  const loaded = await loadIdentity(dir);
  expect(loaded).toMatchObject({ agentId: 'a-1', incarnation: 3, site: 'berlin' });
  expect(loaded.key.keyId).toBe(identity.key.keyId);
  expect(loaded.serverKeys).toEqual([
    { keyId: serverKey.keyId, publicKey: serverKey.publicKey, notAfter: undefined },
  ]);
});

test('the key is readable by its owner only, and lies in no other file', async () => {
  const dir = await newDir();
  await enrollIdentity(dir, { token: 't', agentId: 'a-1' }, answer);
  expect((await stat(join(dir, 'agent.key'))).mode & 0o777).toBe(0o600);
  expect((await readdir(dir)).sort()).toEqual(['agent.key', 'identity.json']);
  expect(await readFile(join(dir, 'identity.json'), 'utf8')).not.toContain('PRIVATE');
});

test('an enrolment that broke off is repeated with the same key', async () => {
  const dir = await newDir();
  const keys: Uint8Array[] = [];
  const failing = (request: EnrollRequest) => {
    keys.push(request.publicKey);
    return Promise.reject(new ViworksError('unavailable', 'gone'));
  };
  await expect(enrollIdentity(dir, { token: 't', agentId: 'a-1' }, failing)).rejects.toMatchObject({
    code: 'unavailable',
  });
  expect(await enrolled(dir)).toBe(false);
  const identity = await enrollIdentity(dir, { token: 't', agentId: 'a-1' }, answer);
  expect(keys).toEqual([identity.key.publicKey]);
});

test('a wrong name is refused before anybody is asked, and a damaged identity says so', async () => {
  const dir = await newDir();
  await expect(enrollIdentity(dir, { token: 't', agentId: 'Not OK' }, answer)).rejects.toMatchObject({
    code: 'invalid_request',
  });
  await expect(loadIdentity(dir)).rejects.toMatchObject({ code: 'config_invalid' });
  await enrollIdentity(dir, { token: 't', agentId: 'a-1' }, answer);
  await writeFile(join(dir, 'identity.json'), '{');
  await expect(loadIdentity(dir)).rejects.toMatchObject({ code: 'config_invalid' });
});

test('a name is made of any host name', () => {
  expect(['Web-01.Example.org', '___', 'Büro PC', 'x'.repeat(80)].map(agentIdFromHost)).toEqual([
    'web-01.example.org',
    'agent',
    'b-ro-pc',
    'x'.repeat(63),
  ]);
});
