import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { AgentsCalls, AgentsTell, TransportName } from './agents-process.ts';
import type { Benchmark, BenchOptions } from './benchmark.ts';
import { roundtripReport } from './roundtrip-report.ts';
import type { ServerCalls, ServerHears } from './server-process.ts';
import { type Application, createApplication } from './support/application.ts';
import { type Child, startChild } from './support/child.ts';
import { type Counter, createCounter } from './support/counter.ts';
import { type Facts, readFacts } from './support/facts.ts';
import { idleMemory } from './support/idle.ts';
import { createLoop, type Load } from './support/load.ts';
import { cpuBelow, cpuOf } from './support/usage.ts';

/**
 * One command, end to end: how long a durable command takes on an idle system, how many complete in a second,
 * what CPU time each of them costs in each process, and what memory the control plane and its agents need.
 */

/**
 * How commands come in. `api`: tRPC over HTTP, in batches as the client makes them; `watched`: the same with
 * one live subscription for each command; `core`: straight into the engine, in the server's process.
 */
export type Path = 'core' | 'api' | 'watched';

export interface LatencySamples {
  path: 'core' | 'api';
  transport: TransportName;
  /** Milliseconds from the submit to the result, each round in the order of measuring. */
  rounds: number[][];
}

export interface RateSample {
  path: Path;
  transport: TransportName;
  agents: number;
  /** Commands whose results are committed and acknowledged, in a second. */
  perSecond: number;
  /** Microseconds of CPU time for each command. */
  cpu: Record<'server' | 'agents' | 'postgres' | 'load', number>;
}

export interface AgentMemorySample {
  transport: TransportName;
  agents: number;
  /** Bytes for each connected agent. */
  resident: number;
  heap: number;
}

export interface RoundtripResult {
  facts: Facts;
  idleBytes: number;
  latency: LatencySamples[];
  rates: RateSample[];
  agentMemory: AgentMemorySample[];
}

/** Everything a run can be made shorter by. */
interface Plan {
  rounds: number;
  samples: number;
  warmUpMs: number;
  windowMs: number;
  manyAgents: number;
}

const fullPlan: Plan = { rounds: 3, samples: 200, warmUpMs: 500, windowMs: 1500, manyAgents: 1000 };
const quickPlan: Plan = { rounds: 1, samples: 50, warmUpMs: 200, windowMs: 400, manyAgents: 100 };

const transports: readonly TransportName[] = ['connect', 'websocket'];
const agentCounts = [1, 100] as const;
/** Commands under way at once; a watched one costs the client a connection of its own. */
const outstanding = { 1: 64, 100: 1000 } as const;
const outstandingWatched = 32;
const profileWindowMs = 5000;

interface Bench {
  plan: Plan;
  dataDir: string;
  agents: Child<AgentsCalls, AgentsTell, Record<string, never>>;
  acknowledged: Counter;
  names: string[];
  server: Server;
}

interface Server {
  process: Child<ServerCalls, Record<string, never>, ServerHears>;
  agentUrl: string;
  core: boolean;
  application: Application;
  enrollmentToken: string;
}

export const roundtrip: Benchmark = {
  name: 'roundtrip',
  summary: 'a durable command to an agent and back: latency, rate, CPU time, memory',
  async run(options) {
    const result = await measureAll(options.quick ? quickPlan : fullPlan, options);
    return { result, report: roundtripReport(result) };
  },
};

async function measureAll(plan: Plan, options: BenchOptions): Promise<RoundtripResult> {
  const folder = await mkdtemp(join(tmpdir(), 'viworks-bench-'));
  const dataDir = join(folder, 'control-plane');
  const agents = startChild<AgentsCalls, AgentsTell, Record<string, never>>(
    new URL('agents-process.ts', import.meta.url),
  );
  const acknowledged = createCounter();
  let server: Server | undefined;
  try {
    options.progress('memory of the idle control plane');
    const idleBytes = await idleMemory(join(folder, 'idle'));
    server = await startServer(dataDir);
    const facts = await readFacts(dataDir);
    options.progress(`enrolling ${plan.manyAgents} agents`);
    const enrolment = { url: server.agentUrl, token: server.enrollmentToken, count: plan.manyAgents };
    const names = await agents.call('enroll', enrolment);
    const bench: Bench = { plan, dataDir, agents, acknowledged, names, server };
    const agentMemory: AgentMemorySample[] = [];
    for (let round = 0; round < plan.rounds; round++) {
      for (const transport of transports) {
        options.progress(`memory of agents by ${transport}, round ${round + 1}`);
        // A fresh process, whose heap has not grown for other reasons.
        await bench.server.process.end();
        bench.server = await startServer(dataDir);
        server = bench.server;
        agentMemory.push(await measureAgentMemory(bench, transport));
      }
    }
    agents.on('settled', (count) => {
      bench.server.process.tell('settled', count);
      acknowledged.add(count);
    });
    const latency: LatencySamples[] = [];
    const rates: RateSample[] = [];
    for (let round = 0; round < plan.rounds; round++) {
      for (const transport of transports) {
        options.progress(`latency and rate by ${transport}, round ${round + 1}`);
        await measureTransport(bench, transport, latency, rates);
      }
    }
    if (options.profile !== undefined) await profile(bench, options.profile, options.progress);
    return { facts, idleBytes, latency, rates, agentMemory };
  } finally {
    await agents.end();
    await server?.process.end();
    await rm(folder, { recursive: true, force: true });
  }
}

async function startServer(dataDir: string): Promise<Server> {
  const process = startChild<ServerCalls, Record<string, never>, ServerHears>(
    new URL('server-process.ts', import.meta.url),
    ['--expose-gc'],
  );
  const { apiUrl, apiToken, agentUrl, core, enrollmentToken } = await process.call('start', { dataDir });
  const application = await createApplication(apiUrl, apiToken);
  return { process, agentUrl, core, application, enrollmentToken };
}

async function measureAgentMemory(
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

async function measureTransport(
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
  const add = (path: 'core' | 'api', times: number[]) => {
    const samples = into.find((known) => known.path === path && known.transport === transport);
    if (samples === undefined) into.push({ path, transport, rounds: [times] });
    else samples.rounds.push(times);
  };
  const viaApi = async (samples: number): Promise<number[]> => {
    const times: number[] = [];
    for (let sample = 0; sample < samples; sample++) {
      const begun = performance.now();
      await server.application.watch(await server.application.submit(agentId));
      times.push(performance.now() - begun);
    }
    return times;
  };
  // Compiled code and warm connections are the usual state of a service.
  const warmUp = Math.ceil(plan.samples / 2);
  let submitted = 2 * (warmUp + plan.samples);
  await viaApi(warmUp);
  add('api', await viaApi(plan.samples));
  if (server.core) {
    await server.process.call('coreLatency', { agentId, samples: warmUp });
    add('core', await server.process.call('coreLatency', { agentId, samples: plan.samples }));
  } else submitted /= 2;
  await acknowledged.until(before + submitted);
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
  const submitted = await load.stop();
  await acknowledged.until(allBefore + submitted);
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
async function profile(bench: Bench, folder: string, progress: BenchOptions['progress']): Promise<void> {
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
    await acknowledged.until(before + (await load.stop()));
  }
  await agents.call('disconnect');
}
