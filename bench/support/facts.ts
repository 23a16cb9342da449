import { readFile } from 'node:fs/promises';
import { cpus, release, totalmem } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';

/** Where and on what a benchmark ran; figures mean little without it. */
export interface Facts {
  viworks: string;
  node: string;
  postgresql: string;
  fsync: string;
  synchronousCommit: string;
  kernel: string;
  processor: string;
  cores: number;
  memoryGiB: number;
  packages: Record<string, string>;
  at: string;
}

const measured = ['@trpc/server', '@trpc/client', 'fastify', 'pg', 'ws', '@bufbuild/protobuf'];

/** @param dataDir of a control plane that runs; its PostgreSQL is asked */
export async function readFacts(dataDir: string): Promise<Facts> {
  const client = new pg.Client({
    host: join(dataDir, 'postgres', 'socket'),
    user: 'viworks',
    database: 'viworks',
    // As every connection of the control plane is opened.
    options: '-c synchronous_commit=on',
  });
  await client.connect();
  const show = async (name: string): Promise<string> =>
    Object.values<string>((await client.query(`show ${name}`)).rows[0]).join();
  const postgresql = await show('server_version');
  const fsync = await show('fsync');
  const synchronousCommit = await show('synchronous_commit');
  await client.end();
  const { version, dependencies, devDependencies } = JSON.parse(
    await readFile(new URL('../../package.json', import.meta.url), 'utf8'),
  );
  const pinned: Record<string, string> = { ...dependencies, ...devDependencies };
  return {
    viworks: version,
    node: process.version,
    postgresql,
    fsync,
    synchronousCommit,
    kernel: release(),
    processor: cpus()[0]?.model ?? 'unknown',
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 1024 ** 3),
    packages: Object.fromEntries(measured.map((name) => [name, pinned[name] ?? 'unknown'])),
    at: new Date().toISOString(),
  };
}
