import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { silentLogger } from '../../src/lib/logger.ts';
import { createListener } from '../../src/transport/listen.ts';
import { startApi, type TestApi } from '../support/api-server.ts';
import {
  fieldBlock,
  flags,
  frame,
  getRequest,
  postRequest,
  preface,
  type RawPeer,
  rawPeer,
  settingOf,
  uint32,
} from '../support/http2-frames.ts';
import { memory } from '../support/memory.ts';
import { startServer } from '../support/transport-server.ts';

/**
 * Peers that break or strain HTTP/1.1, HTTP/2 and WebSocket on purpose, on the listener of the agents and on that of
 * applications: they are closed, others are served meanwhile, and nothing of them stays.
 */

interface Target {
  port: number;
  /** Takes a stream that stays open for writing. */
  path: string;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Short, so that a test need not wait; the defaults are those of protocol/limits.ts. */
const timeouts = { headersTimeoutMs: 400, unreadTimeoutMs: 400 };

let api: TestApi;
beforeAll(async () => {
  api = await startApi();
});
afterAll(() => api[Symbol.asyncDispose]());

async function agents(): Promise<Target> {
  const server = await startServer(timeouts);
  return {
    port: server.port,
    path: '/viworks.agent.v1.AgentService/Enroll',
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

async function applications(): Promise<Target> {
  const listener = createListener({
    host: '127.0.0.1',
    port: 0,
    onRequest: api.handler,
    log: silentLogger,
    ...timeouts,
  });
  const { port } = await listener.start();
  return {
    port,
    path: '/viworks.control.v1.ControlService/ListAgents',
    [Symbol.asyncDispose]: () => listener.stop(0),
  };
}

const mostGrowth = 48 * 1024 * 1024;

/** Asks all the time while an abuse goes on; every answer must come, and soon. */
async function servedDuring(port: number, abuse: () => Promise<void>): Promise<void> {
  const before = memory();
  let over = false;
  const times: number[] = [];
  const asking = (async () => {
    do {
      const began = performance.now();
      const response = await fetch(`http://127.0.0.1:${port}/livez`, {
        headers: { connection: 'close' },
        signal: AbortSignal.timeout(5_000),
      });
      expect(response.status).toBe(200);
      await response.text();
      times.push(performance.now() - began);
    } while (!over);
  })();
  try {
    await abuse();
  } finally {
    over = true;
    await asking;
  }
  const sorted = times.toSorted((a, b) => a - b);
  expect(sorted[Math.floor(sorted.length / 2)]).toBeLessThan(1_000);
  expect(memory() - before).toBeLessThan(mostGrowth);
}

const open = async (port: number, reads = true): Promise<RawPeer> => {
  const peer = await rawPeer(port, { reads });
  onTestFinished(() => void peer.socket.destroy());
  return peer;
};

/** Says the preface and settings of HTTP/2. */
const speaking = async (port: number, options: { reads?: boolean; settings?: Buffer } = {}) => {
  const peer = await open(port, options.reads);
  peer.socket.write(Buffer.concat([preface, frame('settings', 0, 0, options.settings)]));
  return peer;
};

const streamId = (n: number): number => 2 * n + 1;
const many = (count: number, one: (n: number) => Buffer): Buffer =>
  Buffer.concat(Array.from({ length: count }, (_each, n) => one(n)));

describe.each([
  ['agents', agents],
  ['applications', applications],
])('the listener of %s', (_, start) => {
  test('a flood of streams that are reset at once (rapid reset)', async () => {
    await using target = await start();
    const peer = await speaking(target.port);
    await servedDuring(target.port, async () => {
      await peer.pour((n) =>
        many(100, (m) => {
          const id = streamId(100 * n + m);
          return Buffer.concat([
            frame('headers', flags.endHeaders, id, postRequest(target.path)),
            frame('rstStream', 0, id, uint32(8)),
          ]);
        }),
      );
      await peer.closed;
    });
  });

  test('thousands of streams at once', async () => {
    await using target = await start();
    const peer = await speaking(target.port);
    await servedDuring(target.port, async () => {
      await peer.pour((n) =>
        many(100, (m) => frame('headers', flags.endHeaders, streamId(100 * n + m), postRequest(target.path))),
      );
      await peer.closed;
    });
  });

  test('a header list without an end (CONTINUATION flood)', async () => {
    await using target = await start();
    const peer = await speaking(target.port);
    await servedDuring(target.port, async () => {
      peer.socket.write(frame('headers', 0, 1, getRequest('/livez')));
      const more = fieldBlock({ filler: 'x'.repeat(100) });
      await peer.pour(() =>
        frame(
          'continuation',
          0,
          1,
          many(100, () => more),
        ),
      );
      await peer.closed;
    });
  });

  test('a field block that grows when it is read (HPACK bomb)', async () => {
    await using target = await start();
    const peer = await speaking(target.port);
    await servedDuring(target.port, async () => {
      // Puts a field of 4,000 bytes into the table, then names it again and again with one byte each.
      const large = Buffer.concat([
        Buffer.from([0x40, 1]),
        Buffer.from('a'),
        Buffer.from([0x7f, 0xa1, 0x1e]),
        Buffer.alloc(4000, 'x'),
      ]);
      const bomb = Buffer.concat([getRequest('/livez'), large, Buffer.alloc(8_000, 0xbe)]);
      await peer.pour(
        (n) => frame('headers', flags.endHeaders | flags.endStream, streamId(n), bomb),
        64 * 1024 * 1024,
      );
      await peer.closed;
    });
  });

  test.each([
    ['SETTINGS', () => many(1000, () => frame('settings', 0, 0, settingOf(3, 100)))],
    ['PING', () => many(1000, () => frame('ping', 0, 0, Buffer.alloc(8)))],
  ])('a flood of %s whose answers nobody reads', async (_name, flood) => {
    await using target = await start();
    const peer = await speaking(target.port, { reads: false });
    await servedDuring(target.port, async () => {
      await peer.pour(flood, 64 * 1024 * 1024);
      // It reads only now, what was in the buffers of the network, and finds the end.
      peer.socket.resume();
      await peer.closed;
    });
  });

  test('a flood of empty frames of a stream', async () => {
    await using target = await start();
    const peer = await speaking(target.port);
    await servedDuring(target.port, async () => {
      peer.socket.write(frame('headers', flags.endHeaders, 1, postRequest(target.path)));
      await peer.pour(() => many(1000, () => frame('data', 0, 1)), 16 * 1024 * 1024);
      peer.socket.destroy();
      await peer.closed;
    });
  });

  test('answers that nobody takes, with a window of no bytes', async () => {
    await using target = await start();
    const peer = await speaking(target.port, { settings: settingOf(4, 0) });
    let resets = 0;
    peer.socket.on('data', (chunk: Buffer) => {
      for (let at = 0; at + 9 <= chunk.length; at += 9 + chunk.readUIntBE(at, 3)) {
        if (chunk[at + 3] === 3) resets += 1;
      }
    });
    await servedDuring(target.port, async () => {
      peer.socket.write(
        many(100, (n) =>
          frame('headers', flags.endHeaders | flags.endStream, streamId(n), getRequest('/nowhere')),
        ),
      );
      await expect.poll(() => resets, { timeout: 10_000 }).toBeGreaterThanOrEqual(100);
      peer.socket.destroy();
    });
  });

  test('many who say half of what they want, and wait', async () => {
    await using target = await start();
    const beginnings: (string | Buffer)[] = [
      'GET /livez HTTP/1.1\r\nHost: a\r\nFiller: ',
      'GET /ws/agent HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n',
      'PRI * HTTP/2.0\r\n',
      preface,
      Buffer.concat([preface, frame('settings')]),
      Buffer.concat([preface, frame('settings'), frame('headers', 0, 1, getRequest('/livez'))]),
      '',
    ];
    const peers = await Promise.all(
      Array.from({ length: 70 }, async (_each, n) => {
        const peer = await open(target.port);
        peer.socket.write(beginnings[n % beginnings.length] ?? '');
        return peer;
      }),
    );
    await servedDuring(target.port, async () => {
      await Promise.all(peers.map(({ closed }) => closed));
    });
  });

  test('a request of HTTP/1.1 whose headers come byte by byte', async () => {
    await using target = await start();
    const peer = await open(target.port);
    peer.socket.write('GET /livez HTTP/1.1\r\nHost: a\r\nSlow: ');
    const drip = setInterval(() => void peer.socket.write('x'), 20);
    onTestFinished(() => clearInterval(drip));
    await servedDuring(target.port, () => peer.closed.then(() => {}));
  });

  test('requests in a row whose answers nobody reads', async () => {
    await using target = await start();
    const peer = await open(target.port, false);
    await servedDuring(target.port, async () => {
      const requests = Buffer.from('GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(500));
      await peer.pour(() => requests, 64 * 1024 * 1024);
      peer.socket.resume();
      await peer.closed;
    });
  });

  test('a body without an end', async () => {
    await using target = await start();
    const peer = await open(target.port);
    await servedDuring(target.port, async () => {
      peer.socket.write(
        `POST ${target.path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nConnect-Protocol-Version: 1\r\nTransfer-Encoding: chunked\r\n\r\n`,
      );
      const chunk = Buffer.concat([
        Buffer.from('10000\r\n'),
        Buffer.alloc(0x10000, 'x'),
        Buffer.from('\r\n'),
      ]);
      await peer.pour(() => chunk, 128 * 1024 * 1024);
      // It was answered and is read no more.
      expect(peer.received).toBeGreaterThan(0);
      expect(peer.socket.bytesWritten).toBeLessThan(64 * 1024 * 1024);
      peer.socket.destroy();
      await peer.closed;
    });
  });
});

const upgrade =
  'GET /ws/agent HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: viworks.v1.proto\r\n\r\n';

/** A frame of WebSocket (RFC 6455, 5.2) of less than 64 KiB, masked with zeros. */
function webSocketFrame(first: number, payload = Buffer.alloc(0)): Buffer {
  const head =
    payload.length < 126
      ? Buffer.from([first, 0x80 | payload.length])
      : Buffer.from([first, 0x80 | 126, payload.length >> 8, payload.length & 0xff]);
  return Buffer.concat([head, Buffer.alloc(4), payload]);
}

describe('the WebSocket of agents', () => {
  const opened = async (port: number, reads = true) => {
    const peer = await open(port, true);
    peer.socket.write(upgrade);
    await once(peer.socket, 'data');
    if (!reads) peer.socket.pause();
    return peer;
  };

  test.each([
    ['a message in very many fragments', (n: number) => webSocketFrame(n === 0 ? 0x02 : 0x00)],
    ['a message without an end', (n: number) => webSocketFrame(n === 0 ? 0x02 : 0x00, Buffer.alloc(60_000))],
    ['frames without a mask', () => Buffer.from([0x82, 0x01, 0x00])],
    ['reserved bits', () => webSocketFrame(0xf2)],
    ['a control frame that is too long', () => webSocketFrame(0x89, Buffer.alloc(200))],
  ])('%s', async (_name, chunk) => {
    await using server = await startServer(timeouts);
    const peer = await opened(server.port);
    await servedDuring(server.port, async () => {
      await peer.pour(chunk, 64 * 1024 * 1024);
      await peer.closed;
    });
    expect((await (await server.next()).inbox.closed)?.code).toMatch(/protocol_violation|message_too_large/);
  });

  test('a length of 2^63 is refused before anything of it comes', async () => {
    await using server = await startServer(timeouts);
    const peer = await opened(server.port);
    peer.socket.write(Buffer.concat([Buffer.from([0x82, 0xff]), Buffer.alloc(8, 0x7f), Buffer.alloc(4)]));
    await peer.closed;
    expect((await (await server.next()).inbox.closed)?.code).toMatch(/protocol_violation|message_too_large/);
  });
});

test('after all of it no socket is left open', async () => {
  await expect
    .poll(() => process.getActiveResourcesInfo().filter((kind) => /^TCPSocketWrap$/.test(kind)).length, {
      timeout: 10_000,
    })
    .toBeLessThan(5);
});
