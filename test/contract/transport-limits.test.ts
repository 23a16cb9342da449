import type http from 'node:http';
import net, { type AddressInfo } from 'node:net';
import { expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { createConnectDialer } from '../../src/agent/transport/connect.ts';
import { createWebSocketDialer } from '../../src/agent/transport/websocket.ts';
import { ViworksError } from '../../src/errors.ts';
import { encodeBinary } from '../../src/protocol/envelope.ts';
import { joinFrames } from '../../src/protocol/frames.ts';
import { wireLimits } from '../../src/protocol/limits.ts';
import { answerOf, endFrame, openHttp2 } from '../support/transport-raw.ts';
import { createInbox, numbered, sized, startServer } from '../support/transport-server.ts';

/** What a connection of an agent is refused or ended for, and that the others live on. */

const never = new AbortController().signal;

async function socketClosed(socket: WebSocket): Promise<{ code: number; reason: string }> {
  socket.on('error', () => {});
  return new Promise((resolve) => {
    socket.once('close', (code, reason) => resolve({ code, reason: reason.toString() }));
  });
}

test('a stream of the wrong method, type or compression is refused in its own form', async () => {
  await using server = await startServer();
  await using raw = openHttp2(server.url);
  const get = await answerOf(raw.open({ ':method': 'GET', 'content-type': undefined }));
  expect([get.headers[':status'], get.headers.allow]).toEqual([405, 'POST']);
  const type = await answerOf(raw.open({ 'content-type': 'application/grpc+json' }));
  expect(type.headers[':status']).toBe(415);
  expect(type.headers['accept-post']).toContain('application/connect+proto');
  const connect = await answerOf(raw.open({ 'connect-content-encoding': 'gzip' }));
  expect(connect.headers[':status']).toBe(200);
  expect(endFrame(connect.body).error?.code).toBe('unimplemented');
  const grpc = await answerOf(raw.open({ 'content-type': 'application/grpc', 'grpc-encoding': 'gzip' }));
  expect(grpc.headers['grpc-status']).toBe('12');
});

test('over the limit of connections each transport is told when to come back', async () => {
  await using server = await startServer({ maxConnections: 1 });
  const inbox = createInbox();
  const first = await createConnectDialer({ url: server.url }).dial(inbox, never);
  await using raw = openHttp2(server.url);
  const connect = await answerOf(raw.open());
  expect(endFrame(connect.body)).toMatchObject({
    error: { code: 'resource_exhausted' },
    metadata: { 'viworks-error-code': ['too_many_connections'], 'retry-after': ['5'] },
  });
  expect(connect.headers['retry-after']).toBe('5');
  const grpc = await answerOf(raw.open({ 'content-type': 'application/grpc' }));
  expect(grpc.headers).toMatchObject({ 'grpc-status': '8', 'retry-after': '5' });
  await expect(createWebSocketDialer({ url: server.url }).dial(createInbox(), never)).rejects.toMatchObject({
    code: 'unavailable',
    retryAfterMs: 5_000,
  });
  const refused = createInbox();
  await createConnectDialer({ url: server.url }).dial(refused, never);
  expect(await refused.closed).toMatchObject({ code: 'too_many_connections', retryAfterMs: 5_000 });

  first.close();
  await Promise.all([inbox.closed, (await server.next()).inbox.closed]);
  const again = createInbox();
  (await createWebSocketDialer({ url: server.url }).dial(again, never)).close();
  await again.closed;
});

test('a WebSocket without a known subprotocol is refused with a text, another path with 404', async () => {
  await using server = await startServer();
  const refused = async (path: string, protocols: string[]): Promise<string> => {
    const socket = new WebSocket(`${server.url.replace('http', 'ws')}${path}`, protocols);
    socket.on('error', () => {});
    const response = await new Promise<http.IncomingMessage>((resolve) => {
      socket.once('unexpected-response', (_request, answer) => resolve(answer));
    });
    const text = (await response.toArray()).join('');
    return `${response.statusCode} ${text}`;
  };
  expect(await refused('/ws/agent', [])).toContain('400 Offer the WebSocket subprotocol viworks.v1.proto or');
  expect(await refused('/ws/agent', ['other'])).toContain('400 Offer');
  expect(await refused('/elsewhere', ['viworks.v1.proto'])).toContain('404');
});

test('garbage on a stream is a protocol violation, and others live on', async () => {
  await using server = await startServer();
  const other = createInbox();
  const connection = await createConnectDialer({ url: server.url }).dial(other, never);
  await server.next();
  await using raw = openHttp2(server.url);
  const garbage = [
    joinFrames([Uint8Array.of(0xff, 0xff, 0xff)]),
    joinFrames([Uint8Array.of(1)], 0x40),
    joinFrames([Buffer.from('{}')], 0x02),
  ];
  for (const bytes of garbage) {
    const stream = raw.open();
    stream.write(bytes);
    const answer = await answerOf(stream);
    expect(endFrame(answer.body)).toMatchObject({
      error: { code: 'invalid_argument' },
      metadata: { 'viworks-error-code': ['protocol_violation'] },
    });
    expect((await (await server.next()).inbox.closed)?.code).toBe('protocol_violation');
  }
  const cut = raw.open({ 'content-type': 'application/grpc' });
  cut.end(Buffer.from([0, 0, 0, 0, 9, 1]));
  expect((await answerOf(cut)).trailers).toMatchObject({
    'grpc-status': '3',
    'grpc-message': 'The stream ends inside a frame.',
  });
  const json = raw.open({ 'content-type': 'application/connect+json' });
  json.write(joinFrames([Buffer.from('{"sequence":')]));
  expect(endFrame((await answerOf(json)).body).error?.code).toBe('invalid_argument');
  connection.close();
  expect(await other.closed).toBeUndefined();
});

test('a length over the limit is refused before the message comes', async () => {
  await using server = await startServer();
  await using raw = openHttp2(server.url);
  const stream = raw.open();
  const header = Buffer.alloc(5);
  header.writeUInt32BE(wireLimits.messageBytes + 1, 1);
  stream.write(header);
  expect(endFrame((await answerOf(stream)).body)).toMatchObject({
    error: { code: 'resource_exhausted' },
    metadata: { 'viworks-error-code': ['message_too_large'] },
  });
});

test('a WebSocket is closed with the code of what was wrong', async () => {
  await using server = await startServer();
  const open = async (protocol: string): Promise<WebSocket> => {
    const socket = new WebSocket(`${server.url.replace('http', 'ws')}/ws/agent`, protocol);
    await new Promise((resolve) => socket.once('open', resolve));
    return socket;
  };
  const cases = [
    { protocol: 'viworks.v1.proto', send: 'text', code: 1002, known: 'protocol_violation' },
    { protocol: 'viworks.v1.json', send: Buffer.from('{}'), code: 1002, known: 'protocol_violation' },
    { protocol: 'viworks.v1.json', send: '{"no', code: 1002, known: 'protocol_violation' },
    { protocol: 'viworks.v1.proto', send: Buffer.from([0xff]), code: 1002, known: 'protocol_violation' },
    {
      protocol: 'viworks.v1.proto',
      send: Buffer.alloc(wireLimits.messageBytes + 1),
      code: 1009,
      known: 'message_too_large',
    },
  ];
  for (const { protocol, send, code, known } of cases) {
    const socket = await open(protocol);
    const closed = socketClosed(socket);
    socket.send(send);
    expect((await closed).code).toBe(code);
    expect((await (await server.next()).inbox.closed)?.code).toBe(known);
  }
  for (const [error, code] of [
    ['draining', 1013],
    ['superseded', 4000],
  ] as const) {
    const closed = socketClosed(await open('viworks.v1.proto'));
    (await server.next()).connection.close(new ViworksError(error, 'for a reason'));
    expect(await closed).toEqual({ code, reason: error });
  }
});

test('a peer that never reads is cut at the outbound limit', async () => {
  await using server = await startServer();
  await using raw = openHttp2(server.url);
  const stream = raw.open();
  await new Promise((resolve) => stream.once('response', resolve));
  stream.pause();
  const socket = new WebSocket(`${server.url.replace('http', 'ws')}/ws/agent`, 'viworks.v1.proto');
  await new Promise((resolve) => socket.once('open', resolve));
  socket.pause();
  for (const { connection, inbox } of [await server.next(), await server.next()]) {
    const large = sized(64 * 1024);
    for (let i = 0; i < 1_000 && inbox.closes.length === 0; i++) {
      connection.send(large);
      expect(connection.bufferedBytes).toBeLessThan(wireLimits.outboundBufferBytes + 100_000);
      if (i % 50 === 0) await new Promise(setImmediate);
    }
    expect((await inbox.closed)?.code).toBe('peer_too_slow');
  }
  socket.on('error', () => {});
  socket.terminate();
});

test('a WebSocket that floods pings and never reads is cut', async () => {
  await using server = await startServer();
  const socket = new WebSocket(`${server.url.replace('http', 'ws')}/ws/agent`, 'viworks.v1.proto');
  await new Promise((resolve) => socket.once('open', resolve));
  socket.on('error', () => {});
  socket.pause();
  const { inbox } = await server.next();
  const payload = Buffer.alloc(125);
  while (inbox.closes.length === 0) {
    for (let i = 0; i < 1_000; i++) socket.ping(payload);
    await new Promise(setImmediate);
  }
  expect((await inbox.closed)?.code).toBe('connection_lost');
  socket.terminate();
});

test('a message of any characters passes as the message of gRPC', async () => {
  await using server = await startServer();
  await using raw = openHttp2(server.url);
  const stream = raw.open({ 'content-type': 'application/grpc+proto' });
  const text = '100 % – naïve ✓';
  (await server.next()).connection.close(new ViworksError('superseded', text));
  const { trailers } = await answerOf(stream);
  expect(trailers['grpc-status']).toBe('9');
  expect(decodeURIComponent(String(trailers['grpc-message']))).toBe(text);
});

test('many sends of one tick leave in one write', async () => {
  await using server = await startServer();
  await using raw = openHttp2(server.url);
  const stream = raw.open();
  const chunks: Buffer[] = [];
  stream.on('data', (chunk) => chunks.push(chunk));
  await new Promise((resolve) => stream.once('response', resolve));
  const { connection } = await server.next();
  const first = new Promise((resolve) => stream.once('data', resolve));
  for (let i = 1; i <= 100; i++) connection.send(numbered(i));
  await first;
  const message = encodeBinary(numbered(1)).length;
  expect(chunks.map((chunk) => chunk.length)).toEqual([100 * (5 + message)]);

  const socket = net.connect(server.port, '127.0.0.1');
  const key = 'dGhlIHNhbXBsZSBub25jZQ==';
  socket.write(
    `GET /ws/agent HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\nSec-WebSocket-Protocol: viworks.v1.proto\r\n\r\n`,
  );
  await new Promise((resolve) => socket.once('data', resolve));
  const accepted = await server.next();
  const frames = new Promise<Buffer>((resolve) => socket.once('data', resolve));
  for (let i = 1; i <= 100; i++) accepted.connection.send(numbered(i));
  expect((await frames).length).toBe(100 * (2 + message));
  socket.destroy();
});

test('a peer whose socket is gone is told as lost, also while it is paused', async () => {
  await using server = await startServer();
  for (const paused of [false, true]) {
    await using raw = openHttp2(server.url);
    const stream = raw.open();
    await new Promise((resolve) => stream.once('response', resolve));
    const { connection, inbox } = await server.next();
    if (paused) {
      connection.pause();
      stream.write(joinFrames([new Uint8Array(1000)]));
    }
    raw.session.socket.destroy();
    expect((await inbox.closed)?.code).toBe('connection_lost');
    expect(inbox.closes).toHaveLength(1);
  }
});

test('destroy frees the socket of a half-open peer, but not that of its neighbours', async () => {
  await using server = await startServer();
  await using raw = openHttp2(server.url);
  const streams = [raw.open(), raw.open()];
  for (const stream of streams) stream.resume();
  const [one, two] = [await server.next(), await server.next()];
  one.connection.destroy();
  await one.inbox.closed;
  await new Promise((resolve) => raw.session.ping((...all) => resolve(all)));
  expect(raw.session.destroyed).toBe(false);
  const closed = new Promise((resolve) => raw.session.once('close', resolve));
  two.connection.destroy();
  await Promise.all([closed, two.inbox.closed]);
});

test('a peer that does not answer the end is cut after a while', { timeout: 15_000 }, async () => {
  await using server = await startServer();
  await using raw = openHttp2(server.url);
  const stream = raw.open();
  stream.resume();
  const { connection, inbox } = await server.next();
  connection.close();
  expect(await inbox.closed).toBeUndefined();
  expect(stream.writableEnded).toBe(false);
});

test('a port that is not ours is said to be so by both dialers', async () => {
  const taken = net.createServer((socket) => socket.destroy()).listen(0, '127.0.0.1');
  await new Promise((resolve) => taken.once('listening', resolve));
  const url = `http://127.0.0.1:${(taken.address() as AddressInfo).port}`;
  await expect(createConnectDialer({ url }).dial(createInbox(), never)).rejects.toMatchObject({
    code: 'unavailable',
  });
  await expect(createWebSocketDialer({ url }).dial(createInbox(), never)).rejects.toMatchObject({
    code: 'unavailable',
  });
  await new Promise((resolve) => taken.close(resolve));
});
