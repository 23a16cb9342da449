import { once } from 'node:events';
import net from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { createNewcomers, socketName } from './newcomers.ts';

const cleanUps: (() => void)[] = [];
afterEach(() => {
  for (const cleanUp of cleanUps.splice(0)) cleanUp();
});

/** Real sockets, as a listener has them. */
async function accepted(
  count: number,
  from: (n: number) => string = () => '127.0.0.1',
): Promise<net.Socket[]> {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as net.AddressInfo;
  const sockets: net.Socket[] = [];
  for (let n = 0; n < count; n++) {
    const client = net.connect({ port, host: '127.0.0.1', localAddress: from(n) });
    const [socket] = (await once(server, 'connection')) as [net.Socket];
    client.on('error', () => {});
    socket.on('error', () => {});
    sockets.push(socket);
    cleanUps.push(() => client.destroy());
  }
  cleanUps.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return sockets;
}

function watch(sockets: readonly net.Socket[], newcomers: ReturnType<typeof createNewcomers>) {
  const begun: number[] = [];
  const turn = sockets.map(() => Promise.withResolvers<void>());
  sockets.forEach((socket, index) => {
    newcomers.enter(socket, () => {
      begun.push(index);
      turn[index]?.resolve();
    });
  });
  return { begun, turn: (index: number) => turn[index]?.promise };
}

test('so many are attended to at once, the others in the order in which they came', async () => {
  const sockets = await accepted(4);
  const newcomers = createNewcomers({ atOnce: 2 });
  const { begun } = watch(sockets, newcomers);
  expect(begun).toEqual([0, 1]);
  expect(newcomers.waiting).toBe(2);
  newcomers.settled(socketName(sockets[1]));
  expect(begun).toEqual([0, 1, 2]);
  // Who is settled already, or unknown, makes no further room.
  newcomers.settled(socketName(sockets[1]));
  newcomers.settled('nobody');
  expect(begun).toEqual([0, 1, 2]);
  newcomers.settled(socketName(sockets[0]));
  expect(begun).toEqual([0, 1, 2, 3]);
});

test('who goes away makes room, and costs nothing where it only waited', async () => {
  const sockets = await accepted(3);
  const newcomers = createNewcomers({ atOnce: 1 });
  const { begun, turn } = watch(sockets, newcomers);
  sockets[1]?.destroy();
  await once(sockets[1] as net.Socket, 'close');
  expect(newcomers.waiting).toBe(1);
  sockets[0]?.destroy();
  await turn(2);
  expect(begun).toEqual([0, 2]);
});

test('one that never shows who it is holds nobody up for long', async () => {
  const sockets = await accepted(2);
  const newcomers = createNewcomers({ atOnce: 1, turnMs: 20 });
  const { begun, turn } = watch(sockets, newcomers);
  await turn(1);
  expect(begun).toEqual([0, 1]);
  expect(sockets[0]?.destroyed).toBe(false);
});

test('patience ends: one that waits for too long is closed', async () => {
  const sockets = await accepted(2);
  const newcomers = createNewcomers({ atOnce: 1, patienceMs: 20 });
  const { begun } = watch(sockets, newcomers);
  await once(sockets[1] as net.Socket, 'close');
  expect(begun).toEqual([0]);
  expect(newcomers.waiting).toBe(0);
});

test('many of one network do not hold up those of another', async () => {
  const sockets = await accepted(8, (n) => (n < 6 ? '127.0.0.1' : '127.0.0.2'));
  const newcomers = createNewcomers({ atOnce: 1 });
  const { begun } = watch(sockets, newcomers);
  for (const at of [0, 1, 6, 2, 7, 3, 4]) newcomers.settled(socketName(sockets[at]));
  expect(begun).toEqual([0, 1, 6, 2, 7, 3, 4, 5]);
  expect(newcomers.waiting).toBe(0);
});
