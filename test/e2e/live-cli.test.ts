import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { agentId, createProcessRig, type ProcessRig } from '../support/app-process.ts';
import { runCli, startCli } from '../support/process.ts';

/** The command line as it follows a server that is killed and an agent that comes and goes. */

async function startRig(): Promise<ProcessRig> {
  const rig = createProcessRig();
  appendFileSync(join(rig.folder, 'viworks.toml'), '[telemetry]\ncollection_interval = 1\n');
  await rig.startServer();
  await rig.startAgent();
  return rig;
}

const env = (rig: ProcessRig) => ({ env: { VIWORKS_DATA_DIR: rig.dataDir } });

test('what is followed goes on through a restart of the server, until Ctrl-C', async () => {
  const rig = await startRig();
  const set = ['alerts', 'rules', 'set', 'some-memory', '--metric', 'memory.percent', '--above', '0.001'];
  expect((await runCli([...set, '--severity', 'info'], env(rig))).code).toBe(0);
  const follow = (...args: string[]) => startCli(args, env(rig));
  const agents = follow('agents', '--watch');
  const alerts = follow('alerts', '--follow', '--json');
  const top = follow('top', '--json');
  const samples = follow('telemetry', agentId, '--follow');
  const followers = [agents, alerts, top, samples];
  await agents.stdout.match(/ {2}worker {2}online {2}test$/);
  await samples.stdout.match(/^\S+Z {2}worker {2}cpu .* {2}memory \d+\.\d % {2}/);
  await top.stdout.match(/"event":"telemetry",.*"samples":\[\{"agentId":"worker"/);
  // A stream that was told nothing yet is not gone on with.
  await top.stdout.match(/"event":"alerts"/);
  const fired = await alerts.stdout.match(/"state":"firing"/);
  expect(JSON.parse(fired)).toMatchObject({ event: 'alert', alert: { agentId, rule: 'some-memory' } });
  await rig.kill(rig.server());
  await Promise.all(followers.map(({ stderr }) => stderr.match(/the connection broke/)));
  await rig.kill(rig.agent());
  await rig.startServer();
  await Promise.all(followers.map(({ stderr }) => stderr.match(/connected again/)));
  await agents.stdout.match(/ {2}worker {2}offline {2}test$/);
  await top.stdout.match(/"because":"resume"/);
  await rig.startAgent();
  await agents.stdout.next(/ {2}worker {2}online {2}test$/);
  expect((await runCli(['alerts', 'rules', 'delete', 'some-memory'], env(rig))).code).toBe(0);
  await alerts.stdout.match(/"state":"resolved"/);
  await top.stdout.match(/"event":"telemetry","samples"/);
  await samples.stdout.next(/ {2}worker {2}cpu /);
  for (const each of followers) each.kill('SIGINT');
  for (const each of followers) expect(await each.exited).toEqual({ code: 0, signal: null });
}, 120_000);

test('without a terminal top prints one table, and says what is wrong', async () => {
  const rig = await startRig();
  const stream = startCli(['top', '--json'], env(rig));
  await stream.stdout.match(/"samples":\[\{"agentId":"worker"/);
  const [table, json, none, wrong, denied, nobody] = await Promise.all([
    runCli(['top'], env(rig)),
    runCli(['top', '--once', '--json', '--sort', 'agent'], env(rig)),
    runCli(['top', '--site', 'nowhere'], env(rig)),
    runCli(['top', '--select', 'colour=red'], env(rig)),
    runCli(['top', '--token', 'wrong'], env(rig)),
    runCli(['telemetry', '--follow'], env(rig)),
  ]);
  expect(table.stdout).toMatch(
    /^AGENT +STATUS +SITE +CPU +MEMORY +DISK +LOAD +IN +OUT +ALERTS +SAMPLE\nworker +online +test +/,
  );
  expect(table.stderr).toBe('1 agent: 1 online; 0 alerts\n');
  expect(JSON.parse(json.stdout)).toMatchObject([{ agentId, status: 'online', memory: expect.any(Number) }]);
  expect(none.stdout).toBe('No agent matches.\n');
  expect([wrong.code, denied.code, nobody.code]).toEqual([2, 2, 2]);
  expect(denied.stderr).toMatch(/^error: /);
}, 60_000);
