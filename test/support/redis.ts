import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';

/** A Redis of the test's own: nothing of it reaches the disk. */
export interface TestRedis {
  url: string;
  /** Ends it, and begins anew and empty at the same address. */
  stop(): Promise<void>;
  start(): Promise<void>;
}

/** @throws where redis-server is not installed: tests that did not run must not look like ones that passed */
export async function startRedis(): Promise<TestRedis> {
  needsRedisServer();
  const port = await freePort();
  let end = async () => {};
  const start = async () => {
    const child = spawn(
      'redis-server',
      ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no'],
      { stdio: ['ignore', 'pipe', 'ignore'] },
    );
    const exited = once(child, 'exit');
    end = async () => {
      child.kill('SIGKILL');
      await exited;
    };
    let said = '';
    const ready = Promise.withResolvers<void>();
    child.stdout.on('data', (chunk: Buffer) => {
      said += chunk.toString();
      if (said.includes('Ready to accept')) ready.resolve();
    });
    exited.then(() => ready.reject(new Error(`redis-server ended:\n${said}`)));
    ready.promise.catch(() => {});
    await ready.promise;
  };
  await start();
  return { url: `redis://127.0.0.1:${port}`, start, stop: () => end() };
}

function needsRedisServer(): void {
  try {
    execFileSync('redis-server', ['--version'], { stdio: 'ignore' });
  } catch (cause) {
    throw new Error(
      'These tests need redis-server on the PATH: install it (Debian and Ubuntu: apt-get install redis-server).',
      { cause },
    );
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  return typeof address === 'object' ? (address?.port ?? 0) : 0;
}
