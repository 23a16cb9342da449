import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import pg from 'pg';
import { onTestFinished } from 'vitest';

/**
 * A wire to a database that breaks when something is said on it: before it arrives, or before it is answered; or that
 * is silent from then on, as that to a machine that is frozen.
 */
export interface DatabaseWire {
  url: string;
  /** From now on, and once. @param behind on a connection on which this was said before */
  breakAt(words: string, when: 'before' | 'after' | 'silent', behind?: string): void;
  /** The database is away from now on: what is open breaks, and nothing opens. */
  cut(): void;
  /** It is back. */
  mend(): void;
  /** Resolves when somebody next tries to reach it while it is away. */
  tried(): Promise<void>;
}

export async function databaseWire(target: string): Promise<DatabaseWire> {
  const { host, port, user, password, database } = new pg.Client({ connectionString: target });
  let breaking: { words: string; when: Parameters<DatabaseWire['breakAt']>[1]; behind: string } | undefined;
  let away = false;
  let tried = Promise.withResolvers<void>();
  const open = new Set<Socket>();
  const server = createServer((near) => {
    if (away) {
      near.on('error', () => {}).destroy();
      tried.resolve();
      tried = Promise.withResolvers();
      return;
    }
    open.add(near);
    near.on('close', () => open.delete(near));
    const far = host.startsWith('/') ? connect(`${host}/.s.PGSQL.${port}`) : connect(port, host);
    let answers = true;
    let isBehind = false;
    for (const socket of [near, far]) socket.on('error', () => {});
    near.on('close', () => far.destroy());
    far.on('close', () => near.destroy());
    let silent = false;
    near.on('data', (data) => {
      if (silent) return;
      if (breaking === undefined) return far.write(data);
      isBehind ||= data.includes(breaking.behind);
      if (!isBehind || !data.includes(breaking.words)) return far.write(data);
      const { when } = breaking;
      breaking = undefined;
      if (when === 'before') return near.destroy();
      if (when === 'silent') {
        silent = true;
        return;
      }
      answers = false;
      return far.write(data);
    });
    // The answer says that it was done, and nobody hears it.
    far.on('data', (data) => (answers ? near.write(data) : far.destroy()));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => new Promise<void>((resolve) => server.close(() => resolve())));
  const { port: nearPort } = server.address() as AddressInfo;
  const who = [user, password].map((part) => encodeURIComponent(part ?? '')).join(':');
  return {
    url: `postgresql://${who}@127.0.0.1:${nearPort}/${database}`,
    breakAt(words, when, behind = '') {
      breaking = { words, when, behind };
    },
    cut() {
      away = true;
      for (const socket of open) socket.destroy();
    },
    mend() {
      away = false;
    },
    tried: () => tried.promise,
  };
}
