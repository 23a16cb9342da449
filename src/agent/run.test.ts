import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { create } from '@bufbuild/protobuf';
import { expect, onTestFinished, test } from 'vitest';
import { EnrollResponseSchema } from '#gen/viworks/agent/v1/agent_service_pb.js';
import { silentLogger } from '../lib/logger.ts';
import type { AgentState } from './agent.ts';
import { enrollIdentity } from './identity.ts';
import { startReferenceAgent } from './run.ts';

async function newDir(): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'viworks-run-'));
  onTestFinished(() => rm(dir, { recursive: true }));
  return dir;
}

/** An address where nobody listens. */
async function deadUrl(): Promise<string> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no port');
  return `http://127.0.0.1:${address.port}`;
}

const enrolledIn = (dir: string) =>
  enrollIdentity(dir, { token: 't', agentId: 'a-1' }, ({ agentId }) =>
    Promise.resolve(create(EnrollResponseSchema, { agentId, incarnation: 1, site: 's' })),
  );

async function startIn(dataDir: string) {
  const waiting = Promise.withResolvers<AgentState>();
  const agent = await startReferenceAgent({
    url: await deadUrl(),
    dataDir,
    path: '/nowhere',
    log: silentLogger,
    onState: (state) => {
      if (state.name === 'waiting') waiting.resolve(state);
    },
  });
  return { agent, waiting: waiting.promise };
}

test('an agent whose control plane is away waits for it, and stops in order', async () => {
  const dir = await newDir();
  await enrolledIn(dir);
  const { agent, waiting } = await startIn(dir);
  expect(await waiting).toMatchObject({ error: { code: 'unavailable', retryable: true } });
  await agent.stop(0);
  expect(agent.state.name).toBe('stopped');
  expect((await readdir(dir)).sort()).toEqual(['agent.key', 'identity.json', 'ledger.jsonl', 'telemetry']);
});

test('a second agent is kept out of the folder until the first is gone', async () => {
  const dir = await newDir();
  await enrolledIn(dir);
  const { agent } = await startIn(dir);
  await expect(startIn(dir)).rejects.toMatchObject({
    code: 'config_invalid',
    message: expect.stringContaining(dir),
  });
  await agent.stop(0);
  const { agent: second } = await startIn(dir);
  await second.stop(0);
});

test('a lock that a crash left behind does not count', async () => {
  const dir = await newDir();
  await enrolledIn(dir);
  // This process is there, but it did not begin then.
  await writeFile(join(dir, 'agent.lock'), `${process.pid} 1`);
  const { agent } = await startIn(dir);
  await agent.stop(0);
});

test('without an identity and without a token it asks until it is stopped, and leaves its key and no lock', async () => {
  const dir = await newDir();
  const stop = new AbortController();
  const started = startReferenceAgent({
    url: await deadUrl(),
    dataDir: dir,
    agentId: 'a-1',
    log: silentLogger,
    signal: stop.signal,
  });
  stop.abort();
  await expect(started).rejects.toMatchObject({ code: 'cancelled' });
  expect(await readdir(dir)).toEqual(['agent.key']);
});

test('an enrolment that cannot be asked for fails with its reason', async () => {
  const dir = await newDir();
  const started = startReferenceAgent({
    url: await deadUrl(),
    dataDir: dir,
    enrollmentToken: 't',
    log: silentLogger,
  });
  await expect(started).rejects.toMatchObject({ code: 'unavailable' });
});
