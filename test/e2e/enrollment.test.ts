import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { agentId, createProcessRig, type ProcessRig } from '../support/app-process.ts';
import { runCli, startCli } from '../support/process.ts';

/** Enrolment as people do it: real processes on both sides, and either may be killed in between. */

/** Starts `viworks enroll`; answers with the fingerprint that it shows. */
async function asks(rig: ProcessRig, folder: string) {
  const enroll = startCli(['enroll', '--url', rig.agentUrl(), '--id', 'asker', '--data-dir', folder]);
  const line = await enroll.stderr.match(/fingerprint/);
  return { enroll, fingerprint: /([0-9a-f]{4}-){7}[0-9a-f]{4}/.exec(line)?.[0] ?? '' };
}

test('a machine asks, shows its fingerprint and waits; an operator compares and approves', async () => {
  const rig = createProcessRig();
  const folder = join(rig.folder, 'asker');
  await rig.startServer();
  const first = await asks(rig, folder);
  await rig.kill(first.enroll);
  // Started again it asks with the same key, and the same request; so it does when the server comes back.
  const second = await asks(rig, folder);
  expect(second.fingerprint).toBe(first.fingerprint);
  await rig.kill(rig.server());
  await second.enroll.stderr.match(/not enrolled yet/);
  await rig.startServer();
  const operator = ['--data-dir', rig.dataDir];
  const list = await runCli(['enrollments', '--json', ...operator]);
  const [request, ...others] = JSON.parse(list.stdout);
  expect(others).toEqual([]);
  expect(request).toMatchObject({ agentId: 'asker', state: 'pending', remoteAddress: '127.0.0.1' });
  expect((await runCli(['enrollments', ...operator])).stdout).toContain(first.fingerprint);

  const approve = (fingerprint: string) =>
    runCli([
      ...['enrollments', 'approve', request.requestId, '--fingerprint', fingerprint],
      ...['--site', 'paris', '--label', 'role=web', ...operator],
    ]);
  const wrong = await approve('0000-0000');
  expect(wrong).toMatchObject({ code: 2, stderr: expect.stringContaining('fingerprint') });
  expect(await approve(first.fingerprint)).toMatchObject({ code: 0 });
  expect(await second.enroll.exited).toMatchObject({ code: 0 });
  expect(second.enroll.stdout.text()).toContain('Enrolled as asker at site paris');
  expect(statSync(join(folder, 'agent.key')).mode & 0o777).toBe(0o600);
  expect(await approve(first.fingerprint)).toMatchObject({
    stderr: expect.stringContaining('approved already'),
  });

  const again = await runCli(['enroll', '--url', rig.agentUrl(), '--data-dir', folder, '--json']);
  expect(JSON.parse(again.stdout)).toMatchObject({ agentId: 'asker', incarnation: 1, site: 'paris' });
  const agent = await rig.startAgentIn(folder);
  await agent.stderr.match(/connected/);
  const { agent: view } = await rig.client().agents.get.query({ agentId: 'asker' });
  expect(view).toMatchObject({ site: 'paris', labels: { role: 'web' }, status: 'online' });
  expect(view.keyId).toBe(first.fingerprint.replaceAll('-', ''));
}, 60_000);

test('an agent without a token asks by itself, and ends when an operator refuses', async () => {
  const rig = createProcessRig();
  await rig.startServer();
  const folder = join(rig.folder, 'refused');
  const agent = startCli(['agent', '--url', rig.agentUrl(), '--id', 'refused', '--data-dir', folder]);
  await agent.stderr.match(/waiting for an operator/);
  const client = rig.client();
  const { requests } = await client.enrollment.listRequests.query();
  const requestId = requests[0]?.requestId ?? '';
  await client.enrollment.reject.mutate({ requestId, reason: 'not one of ours' });
  expect(await agent.exited).not.toMatchObject({ code: 0 });
  expect(agent.stderr.text()).toContain('not one of ours');
}, 60_000);

test('a key is changed while the agent works, and every kill on the way leaves an agent that comes back', async () => {
  const rig = createProcessRig();
  await rig.startServer();
  await rig.startAgent();
  await rig.agent().stderr.match(/connected/);
  const client = rig.client();
  const keyOf = async () => (await client.agents.get.query({ agentId })).agent.keyId ?? '';
  const stored = () => JSON.parse(readFileSync(join(rig.folder, 'agent', 'identity.json'), 'utf8')).keyId;
  const seen = [await keyOf()];
  for (const killed of ['nobody', 'the agent', 'the server', 'both'] as const) {
    const before = await keyOf();
    const turned = rig.agent().stderr.next(/this agent has a new key|not connected/);
    await client.agents.rotateKey.mutate({ agentId });
    await turned;
    if (killed === 'the agent' || killed === 'both') await rig.kill(rig.agent());
    if (killed === 'the server' || killed === 'both') {
      await rig.kill(rig.server());
      await rig.startServer();
    }
    if (killed === 'the agent' || killed === 'both') await rig.startAgent();
    await expect.poll(keyOf, { timeout: 15_000 }).not.toBe(before);
    const command = await rig.submit('true');
    expect(await rig.finished(command)).toMatchObject({ state: 'succeeded' });
    seen.push(await keyOf());
    expect(stored()).toBe(seen.at(-1));
  }
  expect(new Set(seen).size).toBe(5);
  expect((await client.agents.get.query({ agentId })).agent.status).toBe('online');
}, 120_000);

test('an agent and a server that are killed again and again are never taken for copies', async () => {
  const rig = createProcessRig();
  await rig.startServer();
  for (const [round, when] of ['agent started', 'connected', 'agent started', 'connected'].entries()) {
    await rig.startAgent();
    await rig.agent().stderr.match(new RegExp(when));
    if (round % 2 === 1) {
      await rig.kill(rig.server());
      await rig.startServer();
    }
    await rig.kill(rig.agent());
  }
  await rig.startAgent();
  await rig.agent().stderr.match(/connected/);
  const command = await rig.submit('true');
  expect(await rig.finished(command)).toMatchObject({ state: 'succeeded' });
  expect((await rig.client().agents.get.query({ agentId })).agent.status).toBe('online');
}, 60_000);

test('a token is listed with what is left of it and who used it, and enrols nobody once it is revoked', async () => {
  const rig = createProcessRig();
  await rig.startServer();
  const operator = ['--data-dir', rig.dataDir];
  const client = rig.client();
  const made = await client.enrollment.createToken.mutate({ site: 'berlin', uses: 2 });
  const enroll = (id: string) =>
    runCli([
      ...['enroll', '--url', rig.agentUrl(), '--id', id, '--token', made.token],
      ...['--data-dir', join(rig.folder, id)],
    ]);
  expect(await enroll('first')).toMatchObject({ code: 0 });
  const { stdout } = await runCli(['enrollments', 'tokens', '--json', ...operator]);
  expect(JSON.parse(stdout)).toEqual([
    expect.objectContaining({
      tokenId: made.tokenId,
      uses: 2,
      usesLeft: 1,
      usedBy: ['first'],
      state: 'active',
    }),
  ]);
  expect(stdout).not.toContain(made.token);
  await runCli(['enrollments', 'revoke-token', made.tokenId, ...operator]);
  expect(await enroll('second')).toMatchObject({ code: 2, stderr: expect.stringContaining('token') });
  expect(await client.enrollment.getToken.query({ tokenId: made.tokenId })).toMatchObject({
    token: { state: 'revoked', revokedBy: 'operator' },
  });
}, 60_000);
