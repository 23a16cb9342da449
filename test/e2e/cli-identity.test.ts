import { join } from 'node:path';
import { expect, test } from 'vitest';
import { agentId, createProcessRig } from '../support/app-process.ts';
import { runCli } from '../support/process.ts';

/** What operators type about who may call and who is an agent, against a running control plane. */

async function started() {
  const rig = createProcessRig();
  await rig.startServer();
  const cli = (...args: string[]) => runCli(args, { env: { VIWORKS_DATA_DIR: rig.dataDir } });
  const json = async (...args: string[]) => JSON.parse((await cli(...args, '--json')).stdout);
  return { rig, cli, json };
}

test('an agent makes itself a new key, is revoked, removed, and enrolled anew', async () => {
  const { rig, cli, json } = await started();
  await rig.startAgent();
  await rig.agent().stderr.match(/connected session/);
  const { agent: before } = await json('agents', 'get', agentId);
  const changed = rig.agent().stderr.match(/new key/);
  // It is sent back for that, and may be on its way at this moment.
  expect(await cli('agents', 'rotate-key', agentId)).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(new RegExp(`^${agentId} is (online|offline)\\.\n$`)),
  });
  await changed;
  const { agent: after } = await json('agents', 'get', agentId);
  expect(after.keyId).not.toBe(before.keyId);

  expect(await cli('agents', 'remove', agentId)).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('revoke'),
  });
  expect(await json('agents', 'revoke', agentId, '--reason', 'stolen')).toMatchObject({ status: 'revoked' });
  expect((await cli('agents', 'get', agentId)).stdout).toMatch(/status +revoked \(stolen\)/);
  // It lets go who is held, and nobody else.
  expect(await cli('agents', 'release', agentId)).toMatchObject({ stdout: `${agentId} is now revoked.\n` });
  expect(await cli('agents', 'remove', agentId)).toMatchObject({
    code: 0,
    stdout: `${agentId} is removed.\n`,
  });
  expect(await json('agents')).toEqual([]);

  // What was removed is forgotten, with the number of its enrolments.
  const { token } = await json('token', 'enroll', '--site', 'test', '--agent', agentId);
  const anew = ['enroll', '--url', rig.agentUrl(), '--id', agentId, '--data-dir', join(rig.folder, 'anew')];
  const enrolled = {
    code: 0,
    stdout: expect.stringContaining(`Enrolled as ${agentId} at site test (incarnation 1)`),
  };
  expect(await runCli([...anew, '--token', token])).toMatchObject({ ...enrolled, stderr: '' });
  const spent = await runCli([...anew, '--token', token]);
  expect(spent).toMatchObject({ ...enrolled, stderr: expect.stringContaining('give an empty folder') });
}, 120_000);

test('an address that is none of the agents’ port is told apart from a server that is away', async () => {
  const { rig } = await started();
  const asked = async (url: string) => {
    const options = ['--id', 'lost', '--data-dir', join(rig.folder, 'lost'), '--token', 'vwe_x'];
    return (await runCli(['enroll', '--url', url, ...options])).stderr;
  };
  expect(await asked('127.0.0.1:8081')).toMatch(/^error: --url: must be an http or https URL/);
  expect(await asked(rig.apiUrl())).toMatch(/^error: No agents' port answers at .*: HTTP 404/);
  expect(await asked(rig.agentUrl().replace('http:', 'https:'))).toMatch(
    /No TLS with .*: what answers there speaks none/,
  );
}, 120_000);

test('tokens are revoked by their id or themselves, and all that a key signed with it', async () => {
  const { rig, cli, json } = await started();
  const asks = async (token: string) =>
    (await runCli(['agents', '--url', rig.apiUrl(), '--token', token])).code;
  const shop = await json('tokens', 'create', 'shop', '--role', 'viewer');
  const ada = await json('tokens', 'create', '--subject', 'ada', '--role', 'viewer');
  const bob = await json('tokens', 'create', '--subject', 'bob', '--role', 'viewer');
  for (const { token } of [shop, ada, bob]) expect(await asks(token)).toBe(0);

  expect((await cli('tokens', 'list')).stdout).toMatch(/shop +viewer +- +.* +until revoked/);
  expect((await cli('tokens', 'revoke', shop.token)).stderr).toContain('revoked by its id');
  expect((await cli('tokens', 'revoke', shop.details.tokenId)).stderr).toContain('revoked shop');
  expect(await cli('tokens', 'revoke', ada.token)).toMatchObject({ code: 0 });
  expect(await Promise.all([shop, ada, bob].map(({ token }) => asks(token)))).toEqual([2, 2, 0]);
  expect((await cli('tokens', 'list')).stdout).not.toContain('shop');
  expect((await cli('tokens', 'list', '--revoked')).stdout).toMatch(/shop .* revoked by operator/);

  const { keys } = await json('jwt-keys');
  expect(keys).toMatchObject([{ state: 'active' }]);
  const [{ keyId }] = keys;
  expect((await cli('jwt-keys', 'rotate')).stdout).toMatch(/^ID +STATE .*\n.* active .*\n.* retired /);
  // The one before is believed until its last token has expired.
  expect(await asks(bob.token)).toBe(0);
  expect((await json('jwt-keys', 'revoke', keyId)).keys).toMatchObject([
    { state: 'active' },
    { keyId, state: 'revoked' },
  ]);
  expect(await asks(bob.token)).toBe(2);
  // The command line beside the server has another token by now.
  await expect.poll(async () => (await cli('agents')).code, { timeout: 20_000 }).toBe(0);
  expect(await cli('jwt-keys', 'revoke', 'nothing')).toMatchObject({ code: 2 });
}, 120_000);
