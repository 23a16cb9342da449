import { execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { agentId, createProcessRig } from '../support/app-process.ts';
import { runCli } from '../support/process.ts';

/** What docs/operation.md says of a database that was restored from a backup. */

test('agents are held as they come back and released all together; a new set of keys is believed', async () => {
  const rig = createProcessRig();
  const cli = (...args: string[]) => runCli(args, { env: { VIWORKS_DATA_DIR: rig.dataDir } });
  const runs = () => cli('run', 'exec', '--agent', agentId, '--', 'true');
  const [inUse, backup] = [join(rig.dataDir, 'postgres'), join(rig.folder, 'backup')];
  // With the owners of the files: PostgreSQL starts with its own alone.
  const copy = (from: string, to: string) => execFileSync('cp', ['-a', from, to]);
  const stop = async () => {
    rig.server().kill('SIGTERM');
    await rig.server().exited;
  };

  await rig.startServer();
  await rig.startAgent();
  expect(await runs()).toMatchObject({ code: 0 });
  await stop();
  copy(inUse, backup);
  const again = rig.agent().stderr.next(/connected session/);
  await rig.startServer();
  await again;
  const [{ keyId }] = JSON.parse((await cli('keys', '--json')).stdout).keys;
  expect(await cli('keys', 'revoke', keyId)).toMatchObject({ code: 0 });
  expect(await runs()).toMatchObject({ code: 0 });
  await stop();
  rmSync(inUse, { recursive: true });
  copy(backup, inUse);

  const refused = rig.agent().stderr.next(/refuses this agent/);
  await rig.startServer();
  await refused;
  const held = await cli('agents', '--status', 'held', '--json');
  expect(JSON.parse(held.stdout)).toMatchObject([{ agentId, status: 'held' }]);
  const back = rig.agent().stderr.next(/connected session/);
  expect(await cli('agents', 'release', '--all')).toMatchObject({ stdout: `${agentId} is now offline.\n` });
  await back;
  // The key that was revoked since is back, and the agent knows better.
  expect(await runs()).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('signed with a key that is not known, or revoked'),
  });
  expect(await cli('keys', 'rotate')).toMatchObject({ code: 0 });
  expect(await runs()).toMatchObject({ code: 0 });
}, 120_000);
