import http from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';

/** A reverse proxy that speaks HTTP/1.1 and nothing newer, with upgrades: the common case in front of agents. */
export async function startHttp1Proxy(targetPort: number) {
  const sockets = new Set<Duplex>();
  const target = (request: http.IncomingMessage): http.RequestOptions => ({
    host: '127.0.0.1',
    port: targetPort,
    method: request.method,
    path: request.url,
    headers: request.headers,
    agent: false,
  });
  const server = http.createServer((request, response) => {
    const forwarded = http.request(target(request), (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    forwarded.on('error', () => response.destroy());
    request.pipe(forwarded);
  });
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
  });
  server.on('upgrade', (request, socket, head) => {
    const forwarded = http.request(target(request));
    forwarded.on('error', () => socket.destroy());
    forwarded.on('upgrade', (answer, upstream, first) => {
      const headers = answer.rawHeaders.reduce(
        (text, value, index) => text + value + (index % 2 === 0 ? ': ' : '\r\n'),
        '',
      );
      socket.write(`HTTP/1.1 101 Switching Protocols\r\n${headers}\r\n`);
      socket.write(first);
      upstream.write(head);
      upstream.on('error', () => socket.destroy());
      upstream.on('close', () => socket.destroy());
      socket.on('close', () => upstream.destroy());
      upstream.pipe(socket).pipe(upstream);
    });
    forwarded.end();
  });
  server.listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
