import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { receiver } from '../support/alerts.ts';
import { agentId, createProcessRig, type ProcessRig } from '../support/app-process.ts';
import { runCli } from '../support/process.ts';

/** A control plane that is killed while it tells of alerts, a real agent, and the command line. */

async function startRig(): Promise<ProcessRig> {
  const rig = createProcessRig();
  const quick = '[telemetry]\ncollection_interval = 1\n[alerts]\ngroup_quiet = 1\ngroup_window = 4\n';
  appendFileSync(join(rig.folder, 'viworks.toml'), quick);
  await rig.startServer();
  await rig.startAgent();
  return rig;
}

const cliOf =
  (rig: ProcessRig) =>
  async (...args: string[]) =>
    runCli(['alerts', ...args], { env: { VIWORKS_DATA_DIR: rig.dataDir } });

/** Waits for an alert of the rule to be in the state; what the server says is what counts. */
async function reached(rig: ProcessRig, rule: string, state: 'firing' | 'resolved') {
  for (;;) {
    const { alerts } = await rig.client().alerts.list.query({ rule, states: [state] });
    if (alerts[0] !== undefined) return alerts[0];
  }
}

test('a server that is killed between an alert and its message tells it once, and its end', async () => {
  const rig = await startRig();
  const cli = cliOf(rig);
  const hook = await receiver();
  expect((await cli('webhooks', 'add', 'hook', hook.url, '--rule', 'some-memory')).code).toBe(0);
  const set = ['rules', 'set', 'some-memory'];
  const made = await cli(...set, '--metric', 'memory.percent', '--above', '0.001', '--severity', 'info');
  expect(made).toMatchObject({ code: 0 });
  const fired = await reached(rig, 'some-memory', 'firing');
  await rig.kill(rig.server());
  expect(hook.received).toHaveLength(0);
  await rig.startServer();
  await hook.until(1);
  const [first] = hook.received;
  expect(JSON.parse(first?.body ?? '')).toMatchObject({
    rule: 'some-memory',
    site: 'test',
    firing: [{ alertId: fired.alertId, agentId }],
  });
  // Killed again, it still knows that it was told.
  await rig.kill(rig.server());
  await rig.startServer();
  const listed = await cli('list', '--rule', 'some-memory', '--json');
  expect(JSON.parse(listed.stdout)).toMatchObject([{ alertId: fired.alertId, state: 'firing' }]);
  expect((await cli('ack', fired.alertId, '--note', 'I know')).stdout).toContain('acknowledged  by');
  expect((await cli(...set, '--above', '100')).code).toBe(0);
  await hook.until(2);
  expect(JSON.parse(hook.received[1]?.body ?? '')).toMatchObject({
    firingCount: 0,
    resolved: [{ alertId: fired.alertId }],
  });
  expect((await cli('show', fired.alertId)).stdout).toMatch(/^state {9}resolved, info$/m);
}, 120_000);

test('an agent that is killed is missed, and found again', async () => {
  const rig = await startRig();
  const cli = cliOf(rig);
  expect((await cli('rules', 'set', 'agent-offline', '--for', '0s', '--clear-for', '0s')).code).toBe(0);
  await rig.kill(rig.agent());
  const missed = await reached(rig, 'agent-offline', 'firing');
  expect(missed).toMatchObject({ agentId, severity: 'critical', value: 1 });
  const silenced = await cli('silence', missed.alertId, '--for', '1h', '--reason', 'known');
  expect(silenced.stderr).toContain('silenced rule agent-offline, agent worker until');
  expect(silenced.stderr).toContain('1 alert fires there now');
  expect((await cli('silences')).stdout).toContain('known');
  await rig.startAgent();
  expect((await reached(rig, 'agent-offline', 'resolved')).alertId).toBe(missed.alertId);
}, 120_000);

test('the command line says what is wrong, and shows what there is', async () => {
  const rig = createProcessRig();
  await rig.startServer();
  const cli = cliOf(rig);
  const hook = await receiver((_request, count) => (count === 1 ? 204 : 500));
  const [rules, bare, wrong, made, http, added, none, retried, broken] = await Promise.all([
    cli('rules'),
    cli('rules', 'set', 'bare'),
    cli('rules', 'set', 'other', '--metric', 'cpu', '--above', '1'),
    cli('rules', 'set', 'mine', '--metric', 'disk.full_hours', '--threshold', '4', '--site', 'x'),
    cli('webhooks', 'add', 'bad', 'http://example.com'),
    cli('webhooks', 'add', 'good', hook.url),
    cli('dead-letters'),
    cli('dead-letters', 'retry'),
    cli('--state', 'broken'),
  ]);
  expect(rules.stdout).toMatch(/^cpu-high +warning +cpu\.percent above 80 +5m +75 +2m +all$/m);
  expect(bare.stderr).toContain('a new rule needs --above, --below or --threshold');
  expect(wrong.code).toBe(2);
  expect(wrong.stderr).toContain('metric: must be one of cpu.percent');
  expect(made.stdout).toContain('begins    disk.full_hours below 4 for 0 ms');
  expect(http.stderr).toContain('url: must be https');
  expect(added.stdout).toMatch(/^whsec_[\w+/]+=*\n$/);
  expect(none.stdout).toBe('No dead letters.\n');
  expect([retried.code, broken.code]).toEqual([2, 2]);
  expect(broken.stderr).toMatch(/must be one of pending, firing, acknowledged, silenced, resolved$/m);

  const changed = await cli('rules', 'set', 'mine', '--for', '5m', '--json');
  expect(JSON.parse(changed.stdout)).toMatchObject({
    threshold: 4,
    forMs: 300_000,
    selector: { sites: ['x'] },
  });
  const [unsaid, listed, nobody] = await Promise.all([
    cli('rules', 'set', 'mine'),
    cli('rules'),
    cli('silence', '--agent', 'nobody', '--for', '1h'),
  ]);
  expect(unsaid).toMatchObject({ code: 2, stderr: expect.stringContaining('say what to change') });
  expect(listed.stdout).toMatch(/^mine .* site x$/m);
  expect(nobody.stderr).toContain('nothing of it fires now');
  const [kept, shown] = await Promise.all([
    cli('rules', 'delete', 'mine', '--revision', '1'),
    cli('webhooks'),
    cli('webhooks', 'test', 'good'),
  ]);
  expect(kept.stderr).toContain('has the revision 2');
  expect(shown.stdout).toMatch(/^good +0 +0 +everything +http/m);
  expect(hook.received).toHaveLength(1);
  const [failed, deleted] = await Promise.all([
    cli('webhooks', 'test', 'good'),
    cli('rules', 'delete', 'mine'),
  ]);
  expect(failed).toMatchObject({ code: 1, stderr: 'not delivered to good: it answered 500\n' });
  expect(deleted.code).toBe(0);
  expect((await cli('webhooks', 'remove', 'good')).code).toBe(0);
}, 120_000);
