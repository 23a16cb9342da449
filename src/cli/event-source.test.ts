import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { FetchEventSource, parseEvents } from './event-source.ts';

async function* chunks(...texts: string[]): AsyncGenerator<string> {
  yield* texts;
}

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const item of items) found.push(item);
  return found;
}

test('events are the same wherever the stream is cut', async () => {
  const stream =
    ': hello\nevent: a\ndata: 1\nid: x\n\ndata: 2\r\ndata: 3\r\n\r\nevent: empty\n\ndata:4\n\ndata: not ended';
  const whole = await all(parseEvents(chunks(stream)));
  expect(whole).toEqual([
    { type: 'a', data: '1', id: 'x' },
    { type: 'message', data: '2\n3', id: undefined },
    { type: 'message', data: '4', id: undefined },
  ]);
  expect(await all(parseEvents(chunks(...stream)))).toEqual(whole);
});

async function serve(handler: (request: IncomingMessage, response: ServerResponse) => void): Promise<string> {
  const server = createServer(handler).listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

test('sends the headers, and after a break goes on behind the last event', async () => {
  const requests: (string | undefined)[][] = [];
  const url = await serve(({ headers }, response) => {
    requests.push([headers.authorization, headers['last-event-id']?.toString()]);
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.end(`data: ${requests.length}\nid: e${requests.length}\n\n`);
  });
  const source = new FetchEventSource(url, { headers: { authorization: 'Bearer secret' } });
  onTestFinished(() => source.close());
  const seen: string[] = [];
  const second = Promise.withResolvers<void>();
  source.addEventListener('message', (event) => {
    seen.push(`${event.lastEventId}=${event.data}`);
    if (seen.length === 2) second.resolve();
  });
  await second.promise;
  source.close();
  expect(seen).toEqual(['e1=1', 'e2=2']);
  expect(requests).toEqual([
    ['Bearer secret', undefined],
    ['Bearer secret', 'e1'],
  ]);
});

test('a refusal ends it, with the body of the answer in the event', async () => {
  const url = await serve((_request, response) => {
    response.writeHead(401, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ error: { code: -32001, message: 'no', data: {} } }));
  });
  const source = new FetchEventSource(url, { headers: {} });
  const failed = Promise.withResolvers<Event>();
  source.addEventListener('error', failed.resolve);
  expect(await failed.promise).toMatchObject({ error: { message: 'no' } });
  expect(source.readyState).toBe(source.CLOSED);
});

test('a server that does not come back is given up', async () => {
  let answers = 0;
  const url = await serve((request, response) => {
    if (answers++ > 0) return void request.socket.destroy();
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.end('data: 1\n\n');
  });
  const patience = { baseMs: 1, maximumMs: 1, attempts: 3 };
  const source = new FetchEventSource(url, { headers: {}, patience });
  const closed = Promise.withResolvers<void>();
  source.addEventListener('error', () => {
    if (source.readyState === source.CLOSED) closed.resolve();
  });
  await closed.promise;
  expect(answers).toBe(4);
});

test('a server that is not there is an error at once', async () => {
  const source = new FetchEventSource('http://127.0.0.1:2/', { headers: {} });
  const failed = Promise.withResolvers<Event>();
  source.addEventListener('error', failed.resolve);
  await failed.promise;
  expect(source.readyState).toBe(source.CLOSED);
});
