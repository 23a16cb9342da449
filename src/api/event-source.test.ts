import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, test } from 'vitest';
import { HeaderEventSource } from './event-source.ts';

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

/** A server that gives each request the next answer. */
async function serve(answers: Answer[]) {
  const requests: IncomingMessage[] = [];
  const server = createServer((request, response) => {
    const answer = answers[requests.length];
    requests.push(request);
    if (answer === undefined) response.writeHead(500).end();
    else answer(request, response);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    requests,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  };
}

const events =
  (text: string): Answer =>
  (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' }).end(text);
  };
const status =
  (code: number): Answer =>
  (_request, response) => {
    response.writeHead(code).end();
  };

/** The data of messages, until that many have come. */
async function messages(source: HeaderEventSource, count: number): Promise<string[]> {
  const seen: string[] = [];
  await new Promise<void>((resolve) => {
    source.addEventListener('message', (event) => {
      if (event instanceof MessageEvent) seen.push(`${event.lastEventId}=${event.data}`);
      if (seen.length === count) resolve();
    });
  });
  source.close();
  return seen;
}

test('goes on after a break with the last id, sending its headers each time', async () => {
  await using server = await serve([events('id: 1\ndata: a\n\n'), status(503), events('id: 2\ndata: b\n\n')]);
  let asked = 0;
  const source = new HeaderEventSource(server.url, {
    headers: () => {
      asked += 1;
      return { authorization: `Bearer ${asked}` };
    },
  });
  expect(await messages(source, 2)).toEqual(['1=a', '2=b']);
  expect(server.requests.map(({ headers }) => [headers.authorization, headers['last-event-id']])).toEqual([
    ['Bearer 1', undefined],
    ['Bearer 2', '1'],
    ['Bearer 3', '1'],
  ]);
});

test.each([
  ['a refusal', status(404)],
  [
    'something that is no event stream',
    (_request: IncomingMessage, response: ServerResponse) => response.end('hi'),
  ],
])('ends for good at %s', async (_what, answer) => {
  await using server = await serve([answer]);
  const source = new HeaderEventSource(server.url);
  await once(source, 'error');
  expect(source.readyState).toBe(source.CLOSED);
  expect(server.requests).toHaveLength(1);
});

test('a close ends the connection, and nothing comes after it', async () => {
  const left = Promise.withResolvers<void>();
  await using server = await serve([
    (_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: a\n\n');
      response.once('close', left.resolve);
    },
  ]);
  const source = new HeaderEventSource(server.url);
  expect(await messages(source, 1)).toEqual(['=a']);
  await left.promise;
  expect(source.readyState).toBe(source.CLOSED);
});
