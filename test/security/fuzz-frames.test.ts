import { once } from 'node:events';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { silentLogger } from '../../src/lib/logger.ts';
import { encodeBinary } from '../../src/protocol/envelope.ts';
import { createFrameDecoder, joinFrames } from '../../src/protocol/frames.ts';
import { createListener, type Listener } from '../../src/transport/listen.ts';
import { startApi, type TestApi } from '../support/api-server.ts';
import { fuzz, fuzzTimeout, mutated } from '../support/fuzz.ts';
import {
  flags,
  frame,
  frameTypes,
  getRequest,
  postRequest,
  preface,
  rawPeer,
  settingOf,
  uint32,
} from '../support/http2-frames.ts';
import { numbered, startServer, type TestServer } from '../support/transport-server.ts';

/** Bytes that are nearly HTTP/1.1, HTTP/2 or WebSocket, on both listeners: they are answered or closed, and that is all. */

let server: TestServer;
let api: TestApi;
let listener: Listener;
let ports: { agents: number; applications: number };

beforeAll(async () => {
  server = await startServer();
  api = await startApi();
  listener = createListener({ host: '127.0.0.1', port: 0, onRequest: api.handler, log: silentLogger });
  ports = { agents: server.port, applications: (await listener.start()).port };
});

afterAll(async () => {
  await listener.stop(0);
  await server[Symbol.asyncDispose]();
  await api[Symbol.asyncDispose]();
});

const everyPort = fc.constantFrom<keyof typeof ports>('agents', 'applications');

/** Says it, says no more, and waits for the end; where a request is left half said, not for as long as the server does. */
async function say(port: keyof typeof ports, pieces: readonly Uint8Array[]): Promise<void> {
  const peer = await rawPeer(ports[port]);
  for (const piece of pieces) {
    if (peer.socket.writable) peer.socket.write(piece);
  }
  peer.socket.end();
  const patience = setTimeout(() => peer.socket.destroy(), 500);
  await peer.closed;
  clearTimeout(patience);
}

/** Of the connections that came about, none was given anything that was not said in order. */
async function servedAsEver(): Promise<void> {
  for (const port of Object.values(ports)) {
    const response = await fetch(`http://127.0.0.1:${port}/livez`, { headers: { connection: 'close' } });
    expect(response.status).toBe(200);
    await response.text();
  }
  const sockets = () => process.getActiveResourcesInfo().filter((kind) => kind === 'TCPSocketWrap').length;
  await expect.poll(sockets).toBeLessThan(5);
}

const open = '/viworks.agent.v1.AgentService/Open';
const list = '/viworks.control.v1.ControlService/ListAgents';
const conversations: Buffer[] = [
  Buffer.concat([preface, frame('settings'), frame('settings', flags.acknowledged)]),
  Buffer.concat([
    preface,
    frame('settings', 0, 0, settingOf(3, 100)),
    frame('headers', flags.endHeaders | flags.endStream, 1, getRequest('/livez')),
    frame('headers', flags.endHeaders, 3, postRequest(list)),
    frame('data', flags.endStream, 3, joinFrames([Buffer.alloc(3)])),
    frame('windowUpdate', 0, 0, uint32(1000)),
  ]),
  Buffer.concat([
    preface,
    frame('settings'),
    frame('headers', flags.endHeaders, 1, postRequest(open)),
    frame('data', 0, 1, joinFrames([encodeBinary(numbered(1))])),
    frame('ping', 0, 0, Buffer.alloc(8)),
    frame('rstStream', 0, 1, uint32(8)),
    frame('goAway', 0, 0, Buffer.alloc(8)),
  ]),
  Buffer.from('GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n'),
  Buffer.from(
    `POST ${list} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}`,
  ),
  Buffer.from(
    'POST /trpc/agents.list?batch=1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n',
  ),
];

const anyFrame = fc
  .record({
    type: fc.constantFrom(...Object.values(frameTypes), 10, 99, 255),
    flags: fc.nat(255),
    stream: fc.oneof(fc.nat(9), fc.constantFrom(0x7fffffff, 0x80000001)),
    payload: fc.oneof(
      fc.uint8Array({ maxLength: 60 }),
      fc.constantFrom(getRequest('/livez'), postRequest(open), uint32(0), Buffer.alloc(8)),
    ),
  })
  .map(({ type, flags: given, stream, payload }) => frame(type, given, stream, payload));

test(
  'a conversation that is nearly right',
  async () => {
    const pieces = fc.array(mutated(conversations), { minLength: 1, maxLength: 3 });
    await fc.assert(
      fc.asyncProperty(everyPort, pieces, (port, said) => say(port, said)),
      fuzz(1_000),
    );
    await servedAsEver();
  },
  fuzzTimeout,
);

test(
  'frames of HTTP/2 in any order, with anything in them',
  async () => {
    const frames = fc.array(anyFrame, { minLength: 1, maxLength: 12 });
    await fc.assert(
      fc.asyncProperty(everyPort, frames, (port, said) => say(port, [preface, frame('settings'), ...said])),
      fuzz(1_000),
    );
    await servedAsEver();
  },
  fuzzTimeout,
);

test(
  'bytes that are no protocol',
  async () => {
    await fc.assert(
      fc.asyncProperty(everyPort, fc.uint8Array({ minLength: 1, maxLength: 3000 }), (port, bytes) =>
        say(port, [bytes]),
      ),
      fuzz(500),
    );
    await servedAsEver();
  },
  fuzzTimeout,
);

test(
  'frames of a WebSocket that are nearly right',
  async () => {
    const upgrade =
      'GET /ws/agent HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: viworks.v1.proto\r\n\r\n';
    const one = (first: number, payload: Uint8Array) =>
      Buffer.concat([Buffer.from([first, 0x80 | payload.length]), Buffer.alloc(4), payload]);
    const message = encodeBinary(numbered(1));
    const good = [
      one(0x82, message),
      one(0x02, message.subarray(0, 3)),
      one(0x80, message.subarray(3)),
      one(0x89, Buffer.from('ping')),
      one(0x8a, Buffer.alloc(0)),
      one(0x88, Buffer.from([3, 232])),
    ];
    const said = fc.array(fc.oneof(mutated(good), fc.uint8Array({ maxLength: 40 })), {
      minLength: 1,
      maxLength: 8,
    });
    await fc.assert(
      fc.asyncProperty(said, async (frames) => {
        const peer = await rawPeer(server.port);
        peer.socket.write(upgrade);
        await once(peer.socket, 'data');
        for (const bytes of frames) if (peer.socket.writable) peer.socket.write(bytes);
        peer.socket.end();
        await peer.closed;
      }),
      fuzz(600),
    );
    await servedAsEver();
  },
  fuzzTimeout,
);

test('frames of messages, cut anywhere, are the same messages; others are a violation and hold nothing', () => {
  const messages = fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 20 });
  const cuts = fc.array(fc.integer({ min: 1, max: 70 }), { minLength: 1, maxLength: 40 });
  fc.assert(
    fc.property(messages, cuts, (all, sizes) => {
      const bytes = joinFrames(all);
      const decoder = createFrameDecoder();
      const found: Buffer[] = [];
      let at = 0;
      for (let n = 0; at < bytes.length; n++) {
        const end = at + (sizes[n % sizes.length] ?? 1);
        decoder.push(bytes.subarray(at, end));
        at = end;
        for (let next = decoder.next(); next !== undefined; next = decoder.next()) {
          found.push(Buffer.from(next.payload));
        }
      }
      expect(found).toEqual(all.map((message) => Buffer.from(message)));
      expect(decoder.pending).toBe(false);
    }),
    fuzz(1_000),
  );
});
