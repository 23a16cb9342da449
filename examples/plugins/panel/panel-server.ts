import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';

/**
 * A hosting panel to try the plug-in with: users in memory, behind a token.
 *
 *   PANEL_TOKEN=secret node examples/plugins/panel/panel-server.ts
 */
export async function startPanel(token: string, port = 0) {
  const users = new Map<string, { id: number; username: string; plan: string }>();
  let lastId = 0;
  let toFail = 0;

  async function handle(request: IncomingMessage): Promise<{ status: number; body?: object }> {
    if (request.headers.authorization !== `Bearer ${token}`) return { status: 401 };
    if (toFail > 0) {
      toFail -= 1;
      return { status: 503 };
    }
    const { method, url = '' } = request;
    if (method === 'POST' && url === '/api/users') {
      const { username, plan } = JSON.parse(await bodyOf(request));
      if (users.has(username)) return { status: 409 };
      lastId += 1;
      users.set(username, { id: lastId, username, plan });
      return { status: 201, body: { id: lastId, username } };
    }
    const [, name] = /^\/api\/users\/([^/]+)$/.exec(url) ?? [];
    if (method === 'DELETE' && name !== undefined)
      return { status: users.delete(decodeURIComponent(name)) ? 204 : 404 };
    return { status: 404 };
  }

  const server = createServer((request, response) => {
    handle(request).then(
      ({ status, body }) => {
        response.writeHead(status, { 'content-type': 'application/json' });
        response.end(body && JSON.stringify(body));
      },
      () => response.writeHead(400).end(),
    );
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    users: users as ReadonlyMap<string, { plan: string }>,
    /** Answers the next so many requests with 503. */
    failNext(requests: number) {
      toFail = requests;
    },
    async close() {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  };
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}

if (import.meta.main) {
  const panel = await startPanel(process.env.PANEL_TOKEN ?? '', 8090);
  console.log(`the panel listens at ${panel.url}`);
}
