import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { type Client, createClient } from '../../src/cli/client.ts';
import { readOperatorFile } from '../../src/cli/data-dir.ts';
import { type CliProcess, dataFolder, startCli } from '../support/process.ts';

/** Everything that vouches for anybody is replaced while commands run, and nobody notices. */

const settings = `
[server]
mode = "production"
[security]
rate_limit_requests = 0
[agent_management]
client_certificates = "required"
heartbeat_interval = 1
reconnect_backoff_ms = 50
`;

const agentIds = ['north', 'south'];
/** Commands that end between one replacement and the next. */
const between = 4;

async function startServer(dataDir: string) {
  const config = `${dataDir}.toml`;
  writeFileSync(config, settings);
  const ports = { VIWORKS_API_PORT: '0', VIWORKS_AGENT_PORT: '0' };
  const server = startCli(['serve', '--config', config, '--data-dir', dataDir], { env: ports });
  const ready = /applications at (\S+), agents at (\S+)/;
  const [, apiUrl = '', agentUrl = ''] = ready.exec(await server.stderr.match(ready)) ?? [];
  const access = readOperatorFile(dataDir);
  if (access === undefined) throw new Error('the server left no token');
  return { apiUrl, agentUrl, client: createClient(access) };
}

async function startAgents(client: Client, agentUrl: string, folder: string): Promise<CliProcess[]> {
  const spec = { site: 'test', labels: {}, uses: agentIds.length, lifetimeMs: 60_000 };
  const { token } = await client.tokens.createEnrollment.mutate(spec);
  const { primary = '' } = await client.certs.pins.query();
  const access = ['--url', agentUrl, '--token', token, '--server-pin', primary];
  return Promise.all(
    agentIds.map(async (id) => {
      const agent = startCli(['agent', '--id', id, '--data-dir', join(folder, id), ...access]);
      await agent.stderr.match(/connected/);
      return agent;
    }),
  );
}

/** One command after the other to each agent, each of which leaves its mark once. */
function startLoad(client: () => Client, marks: string) {
  const states = new Map<string, string>();
  let running = true;
  let submitted = 0;
  let wake: (() => void)[] = [];
  async function one(agentId: string): Promise<void> {
    const key = `${agentId}-${submitted++}`;
    const { command } = await client().commands.submit.mutate({
      verb: 'exec',
      args: { argv: ['/bin/sh', '-c', `echo ${key} >> '${marks}'`] },
      target: { agents: [agentId] },
      idempotencyKey: key,
    });
    const { commandId } = command;
    for await (const { data } of client().commands.watch.subscribe({ commandId })) {
      if (!data.command.done) continue;
      states.set(key, data.executions.at(-1)?.state ?? '');
      break;
    }
    for (const resolve of wake) resolve();
    wake = [];
  }
  const loops = agentIds.map(async (agentId) => {
    while (running) await one(agentId);
  });
  const failed = Promise.all(loops);
  return {
    states,
    /** Resolves when so many more have ended. @throws what a call threw */
    async more(count: number): Promise<void> {
      const until = states.size + count;
      while (states.size < until) {
        const next = new Promise<void>((resolve) => wake.push(resolve));
        await Promise.race([next, failed]);
      }
    },
    async stop() {
      running = false;
      await failed;
    },
  };
}

test('certificates, pins and all keys are replaced under load, and no command is dropped', async () => {
  const dataDir = dataFolder();
  const folder = join(dataDir, '..');
  const marks = join(folder, 'marks');
  const { apiUrl, agentUrl, client } = await startServer(dataDir);
  const agents = await startAgents(client, agentUrl, folder);
  let caller = client;
  const load = startLoad(() => caller, marks);
  await load.more(between);
  const before = await everything(client);

  const status = () => client.certs.status.query();
  const followed = async (what: 'withoutTrust' | 'withOldCertificate') =>
    expect.poll(async () => (await status()).waiting[what].total, { timeout: 30_000 }).toBe(0);
  await client.certs.prepareAuthority.mutate();
  await followed('withoutTrust');
  await load.more(between);
  await client.certs.activateAuthority.mutate();
  await followed('withOldCertificate');
  await followed('withoutTrust');
  await load.more(between);
  await client.certs.retireAuthority.mutate({});
  await followed('withoutTrust');
  await load.more(between);
  await client.certs.rotatePins.mutate({});
  await load.more(between);

  await client.keys.rotate.mutate({});
  await load.more(between);

  const rotated = agents.map((agent) => agent.stderr.next(/new key/));
  for (const agentId of agentIds) await client.agents.rotateKey.mutate({ agentId });
  await Promise.all(rotated);
  await load.more(between);

  await client.issuer.rotateKey.mutate();
  await load.more(between);
  const { token } = await client.tokens.createApi.mutate({ subject: 'ada', role: 'admin' });
  caller = createClient({ url: apiUrl, token });
  await load.more(between);
  await load.stop();

  expect([...new Set(load.states.values())]).toEqual(['succeeded']);
  const marked = readFileSync(marks, 'utf8').trim().split('\n');
  expect(marked.toSorted()).toEqual([...load.states.keys()].toSorted());
  const after = await everything(caller);
  for (const [name, value] of Object.entries(before)) expect(after, name).not.toHaveProperty(name, value);
  expect(await caller.audit.verify.query({})).not.toHaveProperty('problem');
}, 180_000);

/** What is to be another after everything was replaced. */
async function everything(client: Client) {
  const { authorities, pins, serverCertificate } = await client.certs.status.query();
  const { keys } = await client.keys.list.query();
  const issuer = await client.issuer.listKeys.query();
  const listed = await client.agents.list.query();
  const { certificates } = await client.certs.list.query({});
  return {
    authority: authorities.find(({ state }) => state === 'active')?.authorityId,
    pin: pins.primary,
    server: serverCertificate?.serial,
    certificates: certificates.map(({ serial }) => serial).toSorted(),
    commandKey: keys.find(({ state }) => state === 'active')?.keyId,
    tokenKey: issuer.keys.find(({ state }) => state === 'active')?.keyId,
    north: listed.agents.find(({ agentId }) => agentId === 'north')?.keyId,
    south: listed.agents.find(({ agentId }) => agentId === 'south')?.keyId,
  };
}
