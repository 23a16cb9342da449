import { connect } from 'node:http2';
import { expect, test } from 'vitest';
import { startApi, type TestApi } from '../support/api-server.ts';
import { errorOf, surfaceOf } from '../support/api-surfaces.ts';

const target = { agents: ['alpha'] };

/** Watches over tRPC and lets a test wait for what comes. */
async function watching(api: TestApi, commandId: string) {
  const client = await api.trpc('viewer');
  const ids: string[] = [];
  const waiting = new Map<string, () => void>();
  const ended = new Promise<void>((resolve, reject) => {
    client.commands.watch.subscribe(
      { commandId },
      {
        onData({ id }) {
          ids.push(id);
          waiting.get(id)?.();
        },
        onComplete: resolve,
        onError: reject,
      },
    );
  });
  return {
    ids,
    ended,
    async seen(id: string) {
      if (ids.includes(id)) return;
      await new Promise<void>((resolve) => {
        waiting.set(id, resolve);
      });
    },
  };
}

async function submit(api: TestApi): Promise<string> {
  const client = await api.trpc('operator');
  return (await client.commands.submit.mutate({ verb: 'exec', target })).command.commandId;
}

test('after a broken connection a subscription goes on behind the last event', async () => {
  await using api = await startApi();
  const commandId = await submit(api);
  const watch = await watching(api, commandId);
  await watch.seen('c1');
  api.commands.advance(commandId, 'sent');
  await watch.seen('c2');
  api.breakConnections();
  api.commands.advance(commandId, 'running');
  await watch.seen('c3');
  api.commands.advance(commandId, 'succeeded');
  await watch.ended;
  expect(watch.ids).toEqual(['c1', 'c2', 'c3', 'c4']);
  expect(api.commands.watchedFrom).toEqual([undefined, 'c2']);
  await api.commands.watchersAre(0);
});

test('an error that may pass makes the subscription connect again, not end', async () => {
  await using api = await startApi();
  const commandId = await submit(api);
  const watch = await watching(api, commandId);
  await watch.seen('c1');
  api.commands.failNext(new Error('hunter2'));
  // The failure comes with the next change that the watch looks for; the change itself is not lost.
  await api.commands.watchersAre(1);
  api.commands.touch();
  await api.commands.watchersAre(0);
  api.commands.advance(commandId, 'succeeded');
  await watch.ended;
  expect(watch.ids).toEqual(['c1', 'c2']);
  expect(api.commands.watchedFrom).toEqual([undefined, 'c1']);
});

test('a resume by the header Last-Event-ID alone works, as browsers do it', async () => {
  await using api = await startApi();
  const commandId = await submit(api);
  api.commands.advance(commandId, 'sent');
  api.commands.advance(commandId, 'succeeded');
  const input = encodeURIComponent(JSON.stringify({ commandId }));
  const response = await fetch(`${api.url1}/trpc/commands.watch?input=${input}`, {
    headers: { ...(await api.authorization('viewer')), 'last-event-id': 'c2' },
  });
  const text = await response.text();
  expect(response.headers.get('content-type')).toBe('text/event-stream');
  expect(text).toContain('id: c3');
  expect(text).not.toContain('id: c2');
  expect(text).toContain('event: return');
});

test('a stop ends streams without calling them finished', async () => {
  await using api = await startApi();
  const commandId = await submit(api);
  const input = encodeURIComponent(JSON.stringify({ commandId }));
  const response = await fetch(`${api.url1}/trpc/commands.watch?input=${input}`, {
    headers: await api.authorization('viewer'),
  });
  const text = response.text();
  await api.commands.watchersAre(1);
  await api.drain();
  expect(await text).toContain('"code":"draining"');
  expect(await text).not.toContain('event: return');
});

test.each(['grpc', 'connect'] as const)('a stop ends a watch over %s with "draining"', async (protocol) => {
  await using api = await startApi();
  const commandId = await submit(api);
  const surface = await surfaceOf(api, protocol);
  const failed = errorOf(surface.watch(commandId));
  await api.commands.watchersAre(1);
  api.stopStreams();
  expect(await failed).toMatchObject({ code: 'draining', retryable: true });
  await api.commands.watchersAre(0);
});

test('a stream over HTTP/2 that its client resets ends the watch in the core', async () => {
  await using api = await startApi();
  const commandId = await submit(api);
  const session = connect(api.url2);
  const stream = session.request({
    ':path': `/trpc/commands.watch?input=${encodeURIComponent(JSON.stringify({ commandId }))}`,
    ...(await api.authorization('viewer')),
  });
  const text = await new Promise<string>((resolve, reject) => {
    let seen = '';
    stream.setEncoding('utf8').on('data', (piece: string) => {
      seen += piece;
      if (seen.includes('id: c1')) resolve(seen);
    });
    stream.on('error', reject);
  });
  expect(text).toContain(commandId);
  await api.commands.watchersAre(1);
  stream.close();
  await api.commands.watchersAre(0);
  session.destroy();
});
