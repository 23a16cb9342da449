import http from 'node:http';
import https from 'node:https';
import net, { type AddressInfo } from 'node:net';
import tls from 'node:tls';
import { create } from '@bufbuild/protobuf';
import { createClient } from '@connectrpc/connect';
import { createConnectTransport, createGrpcTransport, Http2SessionManager } from '@connectrpc/connect-node';
import { expect, test } from 'vitest';
import { AgentService, EnrollRequestSchema } from '#gen/viworks/agent/v1/agent_service_pb.js';
import type { Envelope } from '#gen/viworks/agent/v1/envelope_pb.js';
import { createConnectDialer } from '../../src/agent/transport/connect.ts';
import { enroll } from '../../src/agent/transport/enroll.ts';
import { createFallbackDialer } from '../../src/agent/transport/fallback.ts';
import { createWebSocketDialer } from '../../src/agent/transport/websocket.ts';
import { ViworksError } from '../../src/errors.ts';
import { silentLogger } from '../../src/lib/logger.ts';
import { wireLimits } from '../../src/protocol/limits.ts';
import { createAgentListener } from '../../src/transport/agent-listener.ts';
import { makeCertificate } from '../support/tls-certificate.ts';
import { startHttp1Proxy } from '../support/transport-proxy.ts';
import { createInbox, numbered, sequences, startServer } from '../support/transport-server.ts';

/** How an agent finds a way in, and how it enrols. */

const never = new AbortController().signal;
const request = create(EnrollRequestSchema, { token: 'good', agentId: 'web-1' });

test('behind a proxy of HTTP/1.1 an agent falls back to the WebSocket, at once', async () => {
  await using server = await startServer();
  await using proxy = await startHttp1Proxy(server.port);
  const alone = createConnectDialer({ url: proxy.url });
  await expect(alone.dial(createInbox(), never)).rejects.toMatchObject({
    code: 'unavailable',
    message: expect.stringContaining('No HTTP/2 stream'),
  });
  const dialer = createFallbackDialer([alone, createWebSocketDialer({ url: proxy.url })]);
  const inbox = createInbox();
  const started = performance.now();
  const connection = await dialer.dial(inbox, never);
  expect(performance.now() - started).toBeLessThan(2_000);
  expect(connection.peer.transport).toBe('websocket');
  expect(dialer.transport).toBe('websocket');
  const accepted = await server.next();
  connection.send(numbered(1));
  accepted.connection.send(numbered(2));
  expect(sequences(await accepted.inbox.atLeast(1))).toEqual([1]);
  expect(sequences(await inbox.atLeast(1))).toEqual([2]);
  connection.close();
  expect(await accepted.inbox.closed).toBeUndefined();
  expect(await inbox.closed).toBeUndefined();
});

test('a peer that speaks only HTTP/1.1 over TLS is found out at once', async () => {
  const certificate = await makeCertificate();
  // One that refuses in the handshake, and one that ignores ALPN and finds out from the first bytes.
  const strict = https.createServer(certificate);
  const http1 = http.createServer();
  const ignorant = tls.createServer(certificate, (socket) => {
    socket.on('error', () => {});
    http1.emit('connection', socket);
  });
  for (const server of [strict, ignorant]) {
    server.listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const dialled = createConnectDialer({ url, tls: { ca: certificate.cert } }).dial(createInbox(), never);
    await expect(dialled).rejects.toMatchObject({ code: 'unavailable' });
    await new Promise((resolve) => server.close(resolve));
  }
});

test('without a proxy the best transport is taken', async () => {
  const certificate = await makeCertificate();
  await using server = await startServer({ tls: certificate });
  const options = { url: server.url, tls: { ca: certificate.cert } };
  const dialer = createFallbackDialer([createConnectDialer(options), createWebSocketDialer(options)]);
  const inbox = createInbox();
  const connection = await dialer.dial(inbox, never);
  expect(connection.peer).toMatchObject({ transport: 'connect', tls: true, remoteAddress: '127.0.0.1' });
  connection.destroy();
  expect(await inbox.closed).toBeUndefined();
});

test('an unknown authority is refused by both dialers', async () => {
  await using server = await startServer({ tls: await makeCertificate() });
  for (const dialer of [
    createConnectDialer({ url: server.url }),
    createWebSocketDialer({ url: server.url }),
  ]) {
    await expect(dialer.dial(createInbox(), never)).rejects.toMatchObject({
      code: 'server_untrusted',
      message: expect.stringContaining('certificate'),
    });
  }
});

test('a peer that takes the socket and says nothing is given up with the signal', async () => {
  const sockets: net.Socket[] = [];
  const silent = net.createServer((socket) => sockets.push(socket)).listen(0, '127.0.0.1');
  await new Promise((resolve) => silent.once('listening', resolve));
  const url = `http://127.0.0.1:${(silent.address() as AddressInfo).port}`;
  for (const dialer of [createConnectDialer({ url }), createWebSocketDialer({ url })]) {
    const abort = new AbortController();
    const connected = new Promise((resolve) => silent.once('connection', resolve));
    const dialled = dialer.dial(createInbox(), abort.signal);
    await connected;
    abort.abort();
    await expect(dialled).rejects.toMatchObject({ code: 'unavailable' });
  }
  await expect(createConnectDialer({ url }).dial(createInbox(), AbortSignal.abort())).rejects.toMatchObject({
    code: 'unavailable',
  });
  for (const socket of sockets) socket.destroy();
  await new Promise((resolve) => silent.close(resolve));
});

test('enrolment answers, refuses in the words of the catalogue, and passes a proxy', async () => {
  const certificate = await makeCertificate();
  await using server = await startServer();
  await using secure = await startServer({ tls: certificate });
  await using proxy = await startHttp1Proxy(server.port);
  for (const target of [
    { url: server.url },
    { url: proxy.url },
    { url: secure.url, tls: { ca: certificate.cert } },
  ]) {
    expect(await enroll(target, request, never)).toMatchObject({ agentId: 'web-1', incarnation: 1 });
    await expect(enroll(target, { ...request, token: 'refused' }, never)).rejects.toMatchObject({
      code: 'enrollment_refused',
      message: 'No such token.',
    });
  }
  await expect(enroll({ url: 'http://127.0.0.1:1' }, request, never)).rejects.toMatchObject({
    code: 'unavailable',
  });
});

test('enrolment works over HTTP/2 with Connect and with gRPC, and is bounded', async () => {
  await using server = await startServer();
  for (const make of [createConnectTransport, createGrpcTransport]) {
    const sessionManager = new Http2SessionManager(server.url);
    const client = createClient(
      AgentService,
      make({ baseUrl: server.url, httpVersion: '2', sessionManager }),
    );
    expect(await client.enroll(request)).toMatchObject({ agentId: 'web-1' });
    await expect(client.enroll({ token: 'x'.repeat(wireLimits.messageBytes + 1) })).rejects.toMatchObject({
      code: 8,
    });
    sessionManager.abort();
  }
});

test('what the server says at once, and its end, find an owner that has its connection', async () => {
  const listener = createAgentListener({
    host: '127.0.0.1',
    port: 0,
    maxConnections: 10,
    log: silentLogger,
    unary: () => {},
    accept(connection) {
      connection.send(numbered(1));
      connection.close(new ViworksError('superseded', 'at once'));
      return { onEnvelope: () => {}, onClose: () => {} };
    },
  });
  const url = `http://127.0.0.1:${(await listener.start()).port}`;
  for (const dialer of [createConnectDialer({ url }), createWebSocketDialer({ url })]) {
    const inbox = createInbox();
    let owned = false;
    const told: boolean[] = [];
    const handler = {
      onEnvelope(envelope: Envelope) {
        told.push(owned);
        inbox.onEnvelope(envelope);
      },
      onClose: inbox.onClose,
    };
    await dialer.dial(handler, never);
    owned = true;
    expect((await inbox.closed)?.code).toBe('superseded');
    expect(sequences(inbox.envelopes)).toEqual([1]);
    expect(told).toEqual([true]);
  }
  await listener.stop(0);
});
