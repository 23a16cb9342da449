import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { agentId, createProcessRig, type ProcessRig } from '../support/app-process.ts';
import { runCli } from '../support/process.ts';

/** What docs/security.md says of each secret of the server that is lost, or replaced because somebody copied it. */

async function started(): Promise<ProcessRig> {
  const rig = createProcessRig();
  await rig.startServer();
  await rig.startAgent();
  return rig;
}

async function without(rig: ProcessRig, secret: string): Promise<void> {
  await rig.kill(rig.server());
  rmSync(join(rig.dataDir, 'keys', secret));
  await rig.startServer();
}

const cliOf =
  (rig: ProcessRig) =>
  (...args: string[]) =>
    runCli(args, { env: { VIWORKS_DATA_DIR: rig.dataDir } });

const runs = (rig: ProcessRig) => cliOf(rig)('run', 'exec', '--agent', agentId, '--', 'true');

test('without the token secret no token counts; new ones are made', async () => {
  const rig = await started();
  const cli = cliOf(rig);
  const { stdout } = await cli('tokens', 'create', 'shop', '--role', 'viewer', '--json');
  const { stdout: signed } = await cli('tokens', 'create', '--subject', 'ada', '--role', 'viewer', '--json');
  const before = [JSON.parse(stdout).token, JSON.parse(signed).token];
  const asks = (token: string) => runCli(['agents', '--url', rig.apiUrl(), '--token', token]);
  for (const token of before) expect(await asks(token)).toMatchObject({ code: 0 });
  await without(rig, 'token-secret');
  for (const token of before) {
    expect(await asks(token)).toMatchObject({ code: 2, stderr: expect.stringContaining('token') });
  }
  // The command line beside the server has got another one.
  const { stdout: after } = await cli('tokens', 'create', 'shop', '--role', 'viewer', '--json');
  expect(await asks(JSON.parse(after).token)).toMatchObject({ code: 0 });
  expect(await runs(rig)).toMatchObject({ code: 0 });
}, 120_000);

test('without the command secret what was queued ends as failed; a new key signs what comes then', async () => {
  const rig = await started();
  const cli = cliOf(rig);
  const keys = async () => JSON.parse((await cli('keys', '--json')).stdout).keys;
  const [{ keyId: lost }] = await keys();
  await rig.kill(rig.agent());
  const queued = await rig.submit('true');
  await without(rig, 'command-secret');
  // Nobody who has a copy of the secret has a key that is believed, without anything more.
  expect(await keys()).toMatchObject([{ state: 'active' }, { keyId: lost, state: 'retired' }]);
  await rig.startAgent();
  expect(await rig.finished(queued)).toMatchObject({
    state: 'failed',
    result: { failure: { code: 'not_authentic' } },
  });
  expect(await runs(rig)).toMatchObject({ code: 0 });
}, 120_000);

test('without the identity key agents believe no new server, until they are enrolled anew', async () => {
  const rig = await started();
  const cli = cliOf(rig);
  expect(await runs(rig)).toMatchObject({ code: 0 });
  const refused = rig.agent().stderr.next(/refuses this agent/);
  await without(rig, 'server.pem');
  expect(await refused).toContain('signs with a key that is not known here');
  await rig.kill(rig.agent());
  const { stdout } = await cli('token', 'enroll', '--site', 'test', '--agent', agentId, '--json');
  const folder = join(rig.folder, 'anew');
  const enrolled = await runCli([
    ...['enroll', '--url', rig.agentUrl(), '--id', agentId, '--data-dir', folder],
    ...['--token', JSON.parse(stdout).token, '--json'],
  ]);
  expect(JSON.parse(enrolled.stdout)).toMatchObject({ agentId, incarnation: 2 });
  const agent = await rig.startAgentIn(folder);
  await agent.stderr.match(/connected/);
  expect(await runs(rig)).toMatchObject({ code: 0 });
  expect(await cli('audit', 'verify')).toMatchObject({ code: 0 });
}, 120_000);
