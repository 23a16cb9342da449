import { afterAll, beforeAll, expect, test } from 'vitest';
import { type ApiApp, startApiApp } from '../support/api-app.ts';
import { memory } from '../support/memory.ts';

/** What strangers and callers send that is refused: it may cost neither time nor memory beyond its own size. */

let app: ApiApp;

beforeAll(async () => {
  app = await startApiApp();
});

afterAll(() => app.stop());

const enroll = (body: object) =>
  fetch(`${app.agentUrl}/viworks.agent.v1.AgentService/Enroll`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ token: 'vwe_guess', agentId: 'stranger', ...body }),
  });

test.each(['token', '://', 'password '])('a stranger who says %j a lot holds nobody up', async (part) => {
  const before = performance.now();
  const { status } = await enroll({ labels: { x: part.repeat(120_000 / part.length) } });
  expect(status).toBe(400);
  expect((await fetch(`${app.url}/livez`)).status).toBe(200);
  expect(performance.now() - before).toBeLessThan(2000);
});

test('a stranger who says more than any agent is not listened to', async () => {
  const labels = Object.fromEntries(Array.from({ length: 80_000 }, (_, n) => [`K${n}`, '1']));
  const answer = await enroll({ labels });
  expect(answer.status).toBe(429);
  expect(await answer.json()).toMatchObject({ code: 'resource_exhausted' });
  // The longest that an agent could say.
  const most = Object.fromEntries(
    Array.from({ length: 64 }, (_, n) => [`label-${n}-`.padEnd(63, 'x'), '😀'.repeat(255)]),
  );
  const bytes = (length: number) => Buffer.alloc(length, 1).toString('base64');
  const right = {
    labels: most,
    publicKey: bytes(32),
    signature: bytes(64),
    certificateRequest: bytes(4096),
    certificateSignature: bytes(64),
  };
  expect(await (await enroll(right)).json()).toMatchObject({ code: 'permission_denied' });
});

test('an operator who says it in a command holds nobody up', async () => {
  await app.addAgents('bern', 'known');
  const { commands } = await app.client('operator');
  for (const part of ['token', '://']) {
    const before = performance.now();
    await expect(
      commands.submit.mutate({
        verb: 'exec',
        args: { argv: ['echo', part.repeat(400_000 / part.length)] },
        target: { agents: ['nobody'] },
      }),
    ).rejects.toMatchObject({ data: { code: 'invalid_args' } });
    await commands.submit.mutate({
      verb: 'exec',
      args: { argv: ['echo', part.repeat(4000)] },
      target: { agents: ['known'] },
    });
    expect(performance.now() - before).toBeLessThan(2000);
  }
});

test('strangers with long names leave nothing of them behind', async () => {
  const ask = (n: number) => enroll({ agentId: `${n}-${'a'.repeat(120_000)}` });
  for (let n = 0; n < 5; n++) expect((await ask(n)).status).toBe(400);
  const before = memory();
  for (let n = 0; n < 300; n++) await ask(100 + n);
  await expect.poll(() => memory() - before, { timeout: 10_000 }).toBeLessThan(40_000_000);
});

test('nor do callers whose requests are large', async () => {
  const ask = (name: string) =>
    app
      .client('operator', undefined, name)
      .then(({ templates }) => templates.delete.mutate({ name: 'a'.repeat(900_000) }))
      .catch(() => {});
  for (let n = 0; n < 5; n++) await ask(`first ${n}`);
  const before = memory();
  for (let n = 0; n < 60; n++) await ask(`other ${n}`);
  await expect.poll(() => memory() - before, { timeout: 10_000 }).toBeLessThan(40_000_000);
});
