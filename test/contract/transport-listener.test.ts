import { once } from 'node:events';
import http from 'node:http';
import net from 'node:net';
import { expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { createConnectDialer } from '../../src/agent/transport/connect.ts';
import { createWebSocketDialer } from '../../src/agent/transport/websocket.ts';
import { silentLogger } from '../../src/lib/logger.ts';
import { wireLimits } from '../../src/protocol/limits.ts';
import { createListener } from '../../src/transport/listen.ts';
import { makeCertificate } from '../support/tls-certificate.ts';
import { answerOf, exchange, openHttp2 } from '../support/transport-raw.ts';
import { createInbox, numbered, startServer } from '../support/transport-server.ts';

/** The port itself: its protocols, its limits, its start and its end. */

const never = new AbortController().signal;

test('HTTP/1.1 and HTTP/2 on one port, in clear text and with TLS', async () => {
  const certificate = await makeCertificate();
  for (const tls of [undefined, certificate]) {
    await using server = await startServer({ tls });
    const ca = tls === undefined ? {} : { ca: tls.cert };
    await using raw = openHttp2(server.url, ca);
    const found = await answerOf(raw.session.request({ ':path': '/livez' }));
    expect([found.headers[':status'], found.body.toString()]).toEqual([200, 'ok']);
    const missing = await answerOf(raw.session.request({ ':path': '/elsewhere' }));
    expect(missing.headers[':status']).toBe(404);
    const { request } = tls === undefined ? http : await import('node:https');
    for (const [path, status] of [
      ['/livez', 200],
      ['/elsewhere', 404],
    ] as const) {
      const response = await new Promise<http.IncomingMessage>((resolve, reject) => {
        request(`${server.url}${path}`, { ...ca, agent: false }, resolve)
          .on('error', reject)
          .end();
      });
      response.resume();
      expect(response.statusCode).toBe(status);
    }
  }
});

test('TLS below 1.3 is refused', async () => {
  await using server = await startServer({ tls: await makeCertificate() });
  await using raw = openHttp2(server.url, { ca: server.ca, maxVersion: 'TLSv1.2' });
  const [error] = await new Promise<Error[]>((resolve) =>
    raw.session.once('error', (...all) => resolve(all)),
  );
  expect(error?.message).toContain('protocol version');
});

test('headers over the limit are refused by both protocols', async () => {
  await using server = await startServer();
  const filler = 'x'.repeat(wireLimits.headerBytes);
  const answer = await exchange(server.port, `GET /livez HTTP/1.1\r\nHost: a\r\nFiller: ${filler}\r\n\r\n`);
  expect(answer).toContain('HTTP/1.1 431');
  await using raw = openHttp2(server.url);
  // Before the client acknowledged the settings it has an answer, afterwards a reset.
  expect((await answerOf(raw.open({ filler }))).headers[':status']).toBe(431);
  await new Promise((resolve) => raw.session.ping((...all) => resolve(all)));
  const late = raw.open({ filler });
  expect((await answerOf(late)).headers[':status']).toBeUndefined();
  expect(late.rstCode).not.toBe(0);
  expect((await answerOf(raw.session.request({ ':path': '/livez' }))).headers[':status']).toBe(200);
});

test('streams over the limit wait until one ends', async () => {
  await using server = await startServer();
  await using raw = openHttp2(server.url);
  await new Promise((resolve) => raw.session.once('remoteSettings', resolve));
  expect(raw.session.remoteSettings.maxConcurrentStreams).toBe(wireLimits.http2Streams);
  expect(raw.session.remoteSettings.maxHeaderListSize).toBe(wireLimits.headerBytes);
  const responses = Array.from({ length: wireLimits.http2Streams }, () => {
    const stream = raw.open();
    return new Promise<typeof stream>((resolve) => stream.once('response', () => resolve(stream)));
  });
  const [first] = await Promise.all(responses);
  const extra = raw.open();
  let answered = false;
  const response = new Promise<void>((resolve) => {
    extra.once('response', () => {
      answered = true;
      resolve();
    });
  });
  await new Promise((resolve) => raw.session.ping((...all) => resolve(all)));
  expect(answered).toBe(false);
  first?.end();
  await response;
});

test('a flood of resets ends its session', async () => {
  await using server = await startServer();
  await using raw = openHttp2(server.url);
  await new Promise((resolve) => raw.session.once('remoteSettings', resolve));
  const closed = new Promise((resolve) => raw.session.once('close', resolve));
  let resets = 0;
  const flood = (): void => {
    if (raw.session.destroyed || raw.session.closed) return;
    for (let i = 0; i < 50; i++) raw.open().close(8);
    resets += 50;
    setImmediate(flood);
  };
  flood();
  await closed;
  // Node by itself lets a thousand pass.
  expect(resets).toBeLessThan(1_000);
  await using other = openHttp2(server.url);
  expect((await answerOf(other.session.request({ ':path': '/livez' }))).headers[':status']).toBe(200);
});

test('bytes that are no protocol at all are refused', async () => {
  await using server = await startServer();
  expect(await exchange(server.port, '\0\0\0\0')).toContain('HTTP/1.1 400');
  expect(await exchange(server.port, 'PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n', 'garbage')).not.toContain('200');
});

test.each(['a b', 'a:port', '', '[', 'http://a/'])('a Host of %j costs its request alone', async (host) => {
  await using server = await startServer();
  const call = `POST /viworks.agent.v1.AgentService/Enroll HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}`;
  expect(await exchange(server.port, call)).toMatch(/^HTTP\/1.1 (200|4\d\d) /);
  expect((await fetch(`${server.url}/livez`)).status).toBe(200);
});

test('the preface may come byte by byte', async () => {
  await using server = await startServer();
  const answer = exchange(server.port, 'P', 'OST /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
  expect(await answer).toContain('HTTP/1.1 200');
});

test('a peer that says nothing, or stops half-way, is dropped', async () => {
  const certificate = await makeCertificate();
  await using server = await startServer({ headersTimeoutMs: 200 });
  await using secure = await startServer({ headersTimeoutMs: 200, tls: certificate });
  const live = createInbox();
  const connection = await createConnectDialer({ url: server.url }).dial(live, never);
  await Promise.all([
    exchange(secure.port),
    exchange(server.port),
    exchange(server.port, 'PRI'),
    exchange(server.port, 'PRI * HTTP/2.0\r\n\r\n'),
    exchange(server.port, 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', Buffer.from('000000040000000000', 'hex')),
    exchange(server.port, 'GET /livez HTTP/1.1\r\nHost:'),
  ]);
  connection.send(numbered(1));
  await (await server.next()).inbox.atLeast(1);
  connection.close();
  expect(await live.closed).toBeUndefined();
});

test('a taken port is a clear error that names the address', async () => {
  await using server = await startServer();
  const second = createListener({
    host: '127.0.0.1',
    port: server.port,
    onRequest: () => {},
    log: silentLogger,
  });
  await expect(second.start()).rejects.toMatchObject({
    code: 'config_invalid',
    message: `Cannot listen on 127.0.0.1:${server.port}: the port is taken.`,
  });
  await second.stop(0);
});

test('stop refuses new connections, lets live ones end, and cuts them when the grace is over', async () => {
  await using server = await startServer();
  const connect = createInbox();
  const webSocket = createInbox();
  const orderly = await createConnectDialer({ url: server.url }).dial(connect, never);
  await createWebSocketDialer({ url: server.url }).dial(webSocket, never);
  const [first, second] = [await server.next(), await server.next()];
  const silent = net.connect(server.port, '127.0.0.1');
  await new Promise((resolve) => silent.once('connect', resolve));
  const started = performance.now();
  const stopped = server.listener.stop(300);
  const refused = createConnectDialer({ url: server.url }).dial(createInbox(), never);
  await expect(refused).rejects.toMatchObject({ code: 'unavailable' });
  orderly.send(numbered(1));
  await first.inbox.atLeast(1);
  orderly.close();
  expect(await first.inbox.closed).toBeUndefined();
  await stopped;
  expect(performance.now() - started).toBeLessThan(3_000);
  expect((await second.inbox.closed)?.code).toBe('connection_lost');
  expect((await webSocket.closed)?.code).toBe('connection_lost');
});

test('a listener on an address that this machine lacks says so', async () => {
  const listener = createListener({
    host: '192.0.2.1',
    port: 1,
    onRequest: () => {},
    log: silentLogger,
  });
  await expect(listener.start()).rejects.toThrow('Cannot listen on 192.0.2.1:1: this machine does not have');
});

test('a certificate that cannot be used is a clear error', () => {
  const tls = { cert: 'nothing', key: 'nothing' };
  const make = () =>
    createListener({ host: '127.0.0.1', port: 0, tls, onRequest: () => {}, log: silentLogger });
  expect(make).toThrow('The TLS certificate or its key cannot be used');
});

test('clear text from an address that is no trusted proxy is dropped before it says anything', async () => {
  const asked: string[] = [];
  const listener = createListener({
    host: '127.0.0.1',
    port: 0,
    clearTextFrom(address) {
      asked.push(address);
      return asked.length > 1;
    },
    onRequest: (_request, response) => response.end('heard'),
    log: silentLogger,
  });
  const { port } = await listener.start();
  expect(await exchange(port, 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')).toBe('');
  expect(await exchange(port, 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')).toContain('heard');
  expect(asked).toEqual(['127.0.0.1', '127.0.0.1']);
  await listener.stop(0);
});

test('behind a trusted proxy an agent has the address that the proxy tells; a stranger’s word means nothing', async () => {
  for (const [trustedProxies, expected] of [
    [['127.0.0.0/8'], '203.0.113.9'],
    [[], '127.0.0.1'],
  ] as const) {
    await using server = await startServer({ trustedProxies: [...trustedProxies] });
    await using raw = openHttp2(server.url);
    raw.open({ 'x-forwarded-for': '192.0.2.1, 203.0.113.9' });
    expect((await server.next()).connection.peer.remoteAddress).toBe(expected);
    const socket = new WebSocket(`${server.url.replace('http', 'ws')}/ws/agent`, ['viworks.v1.proto'], {
      headers: { 'x-forwarded-for': '203.0.113.9' },
    });
    const opened = once(socket, 'open');
    expect((await server.next()).connection.peer.remoteAddress).toBe(expected);
    await opened;
    socket.terminate();
  }
});

test('a connection waits until the one before it is known; other requests hold nobody up', async () => {
  for (const tls of [undefined, await makeCertificate()]) {
    await using server = await startServer({ tls, maxHandshakes: 1 });
    const ca = tls === undefined ? {} : { ca: tls.cert };
    await using first = openHttp2(server.url, ca);
    first.open();
    const one = await server.next();
    await using second = openHttp2(server.url, ca);
    const order: string[] = [];
    const asked = answerOf(second.session.request({ ':path': '/livez' })).then(() => order.push('livez'));
    second.open();
    const two = server.next().then(() => order.push('open'));
    order.push('settled');
    one.settled();
    await Promise.all([asked, two]);
    expect(order[0]).toBe('settled');
    // The second is no newcomer since it asked for something else, though its stream is not settled.
    await using third = openHttp2(server.url, ca);
    third.open();
    await server.next();
  }
});
