import { resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { AgentsCalls, AgentsTell, TransportName } from './agents-process.ts';
import type { BenchOptions } from './benchmark.ts';
import type { AgentMemorySample, LatencySamples, Path, RateSample } from './roundtrip-result.ts';
import type { ServerCalls, ServerHears } from './server-process.ts';
import type { Application } from './support/application.ts';
import type { Child } from './support/child.ts';
import type { Counter } from './support/counter.ts';
import { createLoop, type Load } from './support/load.ts';
import { cpuBelow, cpuOf } from './support/usage.ts';
import { within } from './support/within.ts';

/** The measurements of the round trip, each on parts that run already. */

/** Everything a run can be made shorter by. */
export interface Plan {
  rounds: number;
  samples: number;
  warmUpMs: number;
  windowMs: number;
  manyAgents: number;
}

const agentCounts = [1, 100] as const;
/** Commands under way at once; a watched one costs the client a connection of its own. */
const outstanding = { 1: 64, 100: 1000 } as const;
const outstandingWatched = 32;
const profileWindowMs = 5000;
const drainMs = 20_000;

export interface Bench {
  plan: Plan;
  dataDir: string;
  agents: Child<AgentsCalls, AgentsTell, Record<string, never>>;
  acknowledged: Counter;
  names: string[];
  server: Server;
}

export interface Server {
  process: Child<ServerCalls, Record<string, never>, ServerHears>;
  agentUrl: string;
  core: boolean;
  application: Application;
  enrollmentToken: string;
}

export async function measureAgentMemory(
  { server, agents, plan }: Bench,
  transport: TransportName,
): Promise<AgentMemorySample> {
  const count = plan.manyAgents;
  const before = await server.process.call('memory');
  await agents.call('connect', { url: server.agentUrl, transport, count });
  const after = await server.process.call('memory');
  await agents.call('disconnect');
  return {
    transport,
    agents: count,
    resident: (after.resident - before.resident) / count,
    heap: (after.heap - before.heap) / count,
  };
}

export async function measureTransport(
  bench: Bench,
  transport: TransportName,
  latency: LatencySamples[],
  rates: RateSample[],
): Promise<void> {
  const { agents, server } = bench;
  for (const count of agentCounts) {
    await agents.call('connect', { url: server.agentUrl, transport, count });
    if (count === 1) await measureLatency(bench, transport, latency);
    const paths: Path[] = server.core ? ['core', 'api', 'watched'] : ['api', 'watched'];
    for (const path of paths) rates.push(await measureRate(bench, path, transport, count));
    await agents.call('disconnect');
  }
}

async function measureLatency(bench: Bench, transport: TransportName, into: LatencySamples[]): Promise<void> {
  const { server, plan, acknowledged } = bench;
  const [agentId = ''] = bench.names;
  const before = acknowledged.total;
  const add = (path: LatencySamples['path'], times: number[]) => {
    const samples = into.find((known) => known.path === path && known.transport === transport);
    if (samples === undefined) into.push({ path, transport, rounds: [times] });
    else samples.rounds.push(times);
  };
  const { submit, watch } = server.application;
  const viaApi = async (samples: number) => {
    const durable: number[] = [];
    const seen: number[] = [];
    for (let sample = 0; sample < samples; sample++) {
      const begun = performance.now();
      const commandId = await submit(agentId);
      durable.push(performance.now() - begun);
      await watch(commandId);
      seen.push(performance.now() - begun);
    }
    return { durable, seen };
  };
  // Compiled code and warm connections are the usual state of a service.
  const warmUp = Math.ceil(plan.samples / 2);
  let submitted = 2 * (warmUp + plan.samples);
  await viaApi(warmUp);
  const { durable, seen } = await viaApi(plan.samples);
  add('api', seen);
  add('submit', durable);
  if (server.core) {
    await server.process.call('coreLatency', { agentId, samples: warmUp });
    add('core', await server.process.call('coreLatency', { agentId, samples: plan.samples }));
  } else submitted /= 2;
  await allAcknowledged(bench, before + submitted);
}

async function measureRate(
  bench: Bench,
  path: Path,
  transport: TransportName,
  agents: (typeof agentCounts)[number],
): Promise<RateSample> {
  const { plan, acknowledged } = bench;
  const allBefore = acknowledged.total;
  const load = createLoad(bench, path, agents);
  await load.start();
  await delay(plan.warmUpMs);
  const [cpuBefore, countBefore, begun] = [await cpuOfAll(bench), acknowledged.total, performance.now()];
  await delay(plan.windowMs);
  const [cpuAfter, countAfter, ended] = [await cpuOfAll(bench), acknowledged.total, performance.now()];
  await allAcknowledged(bench, allBefore + (await drained(load)));
  acknowledged.onAdd(undefined);
  const commands = countAfter - countBefore;
  const cost = (of: keyof RateSample['cpu']) => ((cpuAfter[of] - cpuBefore[of]) * 1000) / commands;
  return {
    path,
    transport,
    agents,
    perSecond: (commands * 1000) / (ended - begun),
    cpu: { server: cost('server'), agents: cost('agents'), postgres: cost('postgres'), load: cost('load') },
  };
}

const drained = (load: Load): Promise<number> =>
  within(load.stop(), drainMs, 'the end of what was submitted');

/** Nothing of what was measured may reach into what is measured next. */
const allAcknowledged = ({ acknowledged }: Bench, total: number): Promise<void> =>
  within(acknowledged.until(total), drainMs, 'the acknowledgement of every result');

/** Milliseconds of CPU time so far. */
async function cpuOfAll({ server, agents }: Bench): Promise<RateSample['cpu']> {
  const { user, system } = process.cpuUsage();
  const [ofServer, ofAgents, ofPostgres] = await Promise.all([
    cpuOf(server.process.pid),
    cpuOf(agents.pid),
    cpuBelow(server.process.pid),
  ]);
  return { server: ofServer, agents: ofAgents, postgres: ofPostgres, load: (user + system) / 1000 };
}

function createLoad(bench: Bench, path: Path, count: (typeof agentCounts)[number]): Load {
  const { server, acknowledged } = bench;
  const agents = bench.names.slice(0, count);
  if (path === 'core') {
    const { process } = server;
    return {
      start: () => process.call('startLoad', { agents, outstanding: outstanding[count] }),
      stop: () => process.call('stopLoad'),
    };
  }
  if (path === 'api') {
    const { submit } = server.application;
    const loop = createLoop({ agents, outstanding: outstanding[count], submit });
    acknowledged.onAdd(loop.settled);
    return loop;
  }
  const loop = createLoop({
    agents,
    outstanding: outstandingWatched,
    async submit(agentId) {
      await server.application.watch(await server.application.submit(agentId));
      loop.settled(1);
    },
  });
  return loop;
}

/** Looks at the control plane under the load of 100 agents, once for each path. */
export async function profile(
  bench: Bench,
  folder: string,
  progress: BenchOptions['progress'],
): Promise<void> {
  const { server, agents, acknowledged } = bench;
  await agents.call('connect', { url: server.agentUrl, transport: 'connect', count: 100 });
  const paths: Path[] = server.core ? ['core', 'api', 'watched'] : ['api', 'watched'];
  for (const path of paths) {
    const file = resolve(folder, `roundtrip-${path}.cpuprofile`);
    progress(`profile into ${file}`);
    const before = acknowledged.total;
    const load = createLoad(bench, path, 100);
    await load.start();
    await delay(bench.plan.warmUpMs);
    await server.process.call('startProfile');
    await delay(profileWindowMs);
    await server.process.call('stopProfile', { file });
    await allAcknowledged(bench, before + (await drained(load)));
    acknowledged.onAdd(undefined);
  }
  await agents.call('disconnect');
}
