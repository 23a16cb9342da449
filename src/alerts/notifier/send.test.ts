import net, { type AddressInfo, type Socket } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { send } from './send.ts';

/** Receivers that answer as nobody should: each attempt ends, and says how. */

/** Writes whatever bytes when something came. */
async function odd(answer: (socket: Socket) => void) {
  const sockets = new Set<Socket>();
  const server = net.createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.once('data', () => answer(socket));
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  onTestFinished(
    () =>
      new Promise<void>((closed) => {
        server.close(() => closed());
        for (const socket of sockets) socket.destroy();
      }),
  );
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
}

const upgraded = 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: chat\r\nConnection: Upgrade\r\n\r\n';

test.each([
  ['goes on as something else', upgraded, undefined, /without an answer/],
  ['closes at once', '', undefined, /cannot be reached: ECONNRESET/],
  ['speaks no HTTP', 'SSH-2.0-OpenSSH_9.2\r\n', undefined, /cannot be reached: HPE_/],
  ['has headers without end', `HTTP/1.1 200 OK\r\nx: ${'x'.repeat(1_000_000)}`, undefined, /HPE_HEADER/],
  ['sends it elsewhere', 'HTTP/1.1 307 -\r\nLocation: http://169.254.169.254/\r\n\r\n', 307, /answered 307/],
])('a receiver that %s', async (_, bytes, status, error) => {
  const url = await odd((socket) => (bytes === '' ? socket.destroy() : socket.write(bytes)));
  expect(await send(url, {}, '{}')).toMatchObject({
    delivered: false,
    status,
    error: expect.stringMatching(error),
  });
});

test('an answer without end is not read', async () => {
  const ended = Promise.withResolvers<void>();
  const url = await odd((socket) => {
    socket.once('close', () => ended.resolve());
    socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n');
    const more = () => {
      while (!socket.destroyed && socket.write(`10000\r\n${'x'.repeat(65_536)}\r\n`));
    };
    socket.on('drain', more);
    more();
  });
  expect(await send(url, {}, '{}')).toMatchObject({ delivered: true, status: 200, error: undefined });
  await ended.promise;
});

test('a receiver that never answers is given up with the signal', async () => {
  const stop = new AbortController();
  const url = await odd((socket) => {
    socket.write('HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 2');
    stop.abort();
  });
  expect(await send(url, {}, '{}', stop.signal)).toMatchObject({ delivered: false, status: undefined });
});
