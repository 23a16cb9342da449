import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import type { FanOutSample, LifecycleSample, PacedSample, PeerSample } from './commands-result.ts';
import type { PeerCalls } from './peer-process.ts';
import type { ServerCalls, ServerHears } from './server-process.ts';
import { type Child, startChild } from './support/child.ts';
import type { Counter } from './support/counter.ts';
import type { Fleet } from './support/fleet.ts';
import type { PeerName } from './support/peer.ts';
import type { RedisServer } from './support/redis.ts';
import { cpuBelow, cpuOf, residentBytes } from './support/usage.ts';
import { within } from './support/within.ts';

/** The measurements of commands, each on parts that run already. */

export interface Bench {
  server: Child<ServerCalls, Record<string, never>, ServerHears>;
  fleet: Fleet;
  names: string[];
  acknowledged: Counter;
  /** Where the socket of the control plane's PostgreSQL lies. */
  socket: string;
}

const drainMs = 60_000;

export async function measureLifecycles(
  bench: Omit<Bench, 'socket'>,
  {
    agents,
    outstanding,
    warmUpMs,
    windowMs,
  }: { agents: number; outstanding: number; warmUpMs: number; windowMs: number },
): Promise<LifecycleSample> {
  const { server, fleet, acknowledged } = bench;
  const before = acknowledged.total;
  await server.call('startCommands', { agents: bench.names.slice(0, agents), outstanding });
  await delay(warmUpMs);
  await fleet.call('latencies');
  const [cpuBefore, countBefore, begun] = [await cpuOfAll(bench), acknowledged.total, performance.now()];
  await delay(windowMs);
  const [cpuAfter, countAfter, ended] = [await cpuOfAll(bench), acknowledged.total, performance.now()];
  const latency = await fleet.call('latencies');
  const resident = await residentBytes(server.pid);
  await settled(bench, before + (await server.call('stopLoad')));
  const commands = countAfter - countBefore;
  const cost = (of: keyof LifecycleSample['cpu']) => ((cpuAfter[of] - cpuBefore[of]) * 1000) / commands;
  return {
    agents,
    outstanding,
    perSecond: (commands * 1000) / (ended - begun),
    latency,
    cpu: { server: cost('server'), postgres: cost('postgres'), agents: cost('agents') },
    resident,
  };
}

export async function measurePaced(
  bench: Bench,
  {
    agents,
    perSecond,
    warmUpMs,
    windowMs,
  }: { agents: number; perSecond: number; warmUpMs: number; windowMs: number },
): Promise<PacedSample> {
  const { server, fleet, acknowledged } = bench;
  const before = acknowledged.total;
  await server.call('startCommands', { agents: bench.names.slice(0, agents), perSecond });
  await delay(warmUpMs);
  await fleet.call('latencies');
  await delay(windowMs);
  const submitted = await server.call('stopLoad');
  await settled(bench, before + submitted);
  return { agents, perSecond, latency: await fleet.call('latencies') };
}

/** One command to every agent that is connected. */
export async function measureFanOut(bench: Bench, agents: number): Promise<FanOutSample> {
  const { server, acknowledged } = bench;
  const before = acknowledged.total;
  const begun = performance.now();
  const { submitMs, executions } = await server.call('fanOut', { agents: bench.names.slice(0, agents) });
  await settled(bench, before + executions);
  return { agents, submitMs, allMs: performance.now() - begun };
}

/** Nothing of what was measured may reach into what is measured next. */
const settled = ({ acknowledged }: Pick<Bench, 'acknowledged'>, total: number): Promise<void> =>
  within(acknowledged.until(total), drainMs, 'the acknowledgement of every result');

/** Milliseconds of CPU time so far. */
async function cpuOfAll({ server, fleet }: Pick<Bench, 'server' | 'fleet'>): Promise<LifecycleSample['cpu']> {
  const [ofServer, agents, postgres] = await Promise.all([
    cpuOf(server.pid),
    cpuOf(fleet.pid),
    cpuBelow(server.pid),
  ]);
  return { server: ofServer, agents, postgres };
}

export async function measurePeer(
  { socket, server }: Bench,
  name: PeerName,
  redis: RedisServer | undefined,
  plan: { jobs: number; pacePerSecond: number; paceMs: number },
): Promise<PeerSample> {
  const { jobs, pacePerSecond, paceMs } = plan;
  const peer = startChild<PeerCalls, Record<string, never>, Record<string, never>>(
    new URL('peer-process.ts', import.meta.url),
  );
  const store = () => (name === 'BullMQ' ? cpuOf(redis?.pid ?? 0) : cpuBelow(server.pid));
  try {
    const databaseUrl = await freshDatabase(socket);
    await peer.call('start', { name, databaseUrl, redisUrl: redis?.url ?? '' });
    // What is compiled and planned for the first time is not what a service does all day.
    await peer.call('add', { count: Math.ceil(jobs / 10) });
    await peer.call('execute', { count: Math.ceil(jobs / 10) });
    const [processBefore, storeBefore] = [await cpuOf(peer.pid), await store()];
    const addMs = await peer.call('add', { count: jobs });
    const executeMs = await peer.call('execute', { count: jobs });
    const [processAfter, storeAfter] = [await cpuOf(peer.pid), await store()];
    const latency = await peer.call('pace', { perSecond: pacePerSecond, ms: paceMs });
    return {
      name,
      jobs,
      addPerSecond: (jobs * 1000) / addMs,
      executePerSecond: (jobs * 1000) / executeMs,
      cpu: {
        process: ((processAfter - processBefore) * 1000) / jobs,
        store: ((storeAfter - storeBefore) * 1000) / jobs,
      },
      pacePerSecond,
      latency,
      resident: await residentBytes(peer.pid),
    };
  } finally {
    await peer.end();
  }
}

/** In the same PostgreSQL that the control plane uses, with the same settings. */
async function freshDatabase(socket: string): Promise<string> {
  const client = new pg.Client({ host: socket, user: 'viworks', database: 'viworks' });
  await client.connect();
  const name = `peer_${randomBytes(6).toString('hex')}`;
  await client.query(`create database ${name}`);
  await client.end();
  return `postgresql://viworks@localhost/${name}?host=${encodeURIComponent(socket)}`;
}
