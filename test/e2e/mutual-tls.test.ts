import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { createClient } from '../../src/cli/client.ts';
import { readOperatorFile } from '../../src/cli/data-dir.ts';
import { dataFolder, runCli, startCli } from '../support/process.ts';

/** A server in production with all of TLS on, and agents that are processes of their own. */

const ports = { VIWORKS_API_PORT: '0', VIWORKS_AGENT_PORT: '0' };

async function serve(dataDir: string, settings: string, env: Readonly<Record<string, string>> = ports) {
  const config = `${dataDir}.toml`;
  writeFileSync(config, settings);
  const server = startCli(['serve', '--config', config, '--data-dir', dataDir], { env });
  const ready = /applications at (\S+), agents at (\S+)/;
  const [, apiUrl = '', agentUrl = ''] = ready.exec(await server.stderr.match(ready)) ?? [];
  const access = readOperatorFile(dataDir);
  if (access === undefined) throw new Error('the server left no token');
  const bound = { VIWORKS_API_PORT: new URL(apiUrl).port, VIWORKS_AGENT_PORT: new URL(agentUrl).port };
  return { server, agentUrl, client: createClient(access), bound };
}

const required = `
[server]
mode = "production"
[agent_management]
client_certificates = "required"
heartbeat_interval = 1
reconnect_backoff_ms = 50
`;

test('in production an agent enrols by a pin, and works with a certificate, over restarts of both', async () => {
  const dataDir = dataFolder();
  const folder = join(dataDir, '..');
  const { server, agentUrl, client, bound } = await serve(dataDir, required);
  expect(agentUrl).toMatch(/^https:/);
  const made = await runCli(['token', 'enroll', '--site', 'test', '--json', '--data-dir', dataDir]);
  const { token, serverPin } = JSON.parse(made.stdout);
  expect(serverPin).toBe((await client.certs.pins.query()).primary);
  const access = ['--url', agentUrl, '--id', 'web-1', '--token', token, '--data-dir', join(folder, 'agent')];

  // The first contact is authenticated too: to a server that it cannot know, an agent does not show its token.
  const stranger = await runCli(['enroll', ...access]);
  expect(stranger.stderr).toMatch(/is not believed/);
  const wrong = await runCli(['enroll', ...access, '--server-pin', `sha256/${'A'.repeat(43)}=`]);
  expect(wrong.stderr).toContain(serverPin);
  expect((await runCli(['enroll', ...access, '--server-pin', 'sha256/x'])).code).toBe(2);

  const agent = startCli(['agent', ...access, '--server-pin', serverPin]);
  await agent.stderr.match(/connected/);
  const pem = readFileSync(join(folder, 'agent', 'tls.pem'), 'utf8');
  expect(pem).toMatch(/PRIVATE KEY[\s\S]+BEGIN CERTIFICATE/);
  const done = await runCli(['run', 'exec', '--agent', 'web-1', '--data-dir', dataDir, '--', 'true']);
  expect(done.code).toBe(0);
  const { certificates } = await client.certs.list.query({ agentId: 'web-1' });
  expect(certificates).toHaveLength(1);

  // Where the file is there already, nothing is issued; what was issued is in the audit log by its serial.
  const out = join(folder, 'issued.pem');
  const issue = ['certs', 'issue', '--agent', 'web-1', '--out', out, '--json', '--data-dir', dataDir];
  const { certificate } = JSON.parse((await runCli(issue)).stdout);
  const kept = readFileSync(out, 'utf8');
  expect(kept).toMatch(/PRIVATE KEY[\s\S]+BEGIN CERTIFICATE/);
  expect(await runCli(issue)).toMatchObject({ code: 2, stderr: expect.stringContaining('is there already') });
  expect(readFileSync(out, 'utf8')).toBe(kept);
  const { entries } = await client.audit.list.query({ filter: { action: 'certs.issue' } });
  expect(entries).toMatchObject([{ resourceKind: 'certificate', resourceId: certificate.serial }]);

  // Neither keys nor pins change by a restart, and the agent needs nobody to tell it anything.
  const again = agent.stderr.next(/connected/);
  server.kill('SIGTERM');
  await server.exited;
  const restarted = await serve(dataDir, required, bound);
  await again;
  agent.kill('SIGTERM');
  await agent.exited;
  const next = startCli(['agent', '--url', restarted.agentUrl, '--data-dir', join(folder, 'agent')]);
  await next.stderr.match(/connected/);
});

test('`viworks start` in production has its own agent come in with a certificate', async () => {
  const dataDir = dataFolder();
  const config = `${dataDir}.toml`;
  writeFileSync(config, required);
  const start = startCli(['start', '--config', config, '--data-dir', dataDir], { env: ports });
  await start.stdout.match(/Agents +https:/);
  expect(await start.stdout.match(/Local agent/)).not.toMatch(/not connected|ended/);
  const access = readOperatorFile(dataDir);
  const { agents } = await createClient(access ?? { url: '', token: '' }).agents.list.query();
  expect(agents).toMatchObject([{ status: 'online' }]);
  const findings = await runCli(['doctor', '--config', config, '--data-dir', dataDir], { env: ports });
  expect(findings.stdout).toMatch(/ok +certificates +of agents: required/);
});

test.each([
  ['client_certificates = "required"', /agent_management\.client_certificates.*needs TLS that ends here/],
  [
    'built_in_tls = true\nallow_clear_text = true',
    /built_in_tls.*contradicts agent_management\.allow_clear_text/,
  ],
  ['tls_names = ["control.example"]', /tls_names.*is for agent_management\.built_in_tls/],
  [`backup_pins = ["sha256/${'A'.repeat(43)}="]`, /backup_pins.*needs TLS that ends here/],
  ['backup_pins = ["sha256/short"]', /backup_pins.*must be written sha256\//],
])(
  'a contradiction stops the start with its name, and the doctor says the same: %s',
  async (lines, expected) => {
    const dataDir = dataFolder();
    const config = `${dataDir}.toml`;
    writeFileSync(config, `[agent_management]\n${lines}\n`);
    const args = ['--config', config, '--data-dir', dataDir];
    expect((await runCli(['serve', ...args], { env: ports })).stderr).toMatch(expected);
    expect((await runCli(['doctor', ...args])).stdout).toMatch(expected);
  },
);
