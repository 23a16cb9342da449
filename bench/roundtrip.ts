import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { AgentsCalls, AgentsTell, TransportName } from './agents-process.ts';
import type { Benchmark, BenchOptions } from './benchmark.ts';
import {
  type Bench,
  measureAgentMemory,
  measureTransport,
  type Plan,
  profile,
  type Server,
} from './roundtrip-measure.ts';
import { roundtripReport } from './roundtrip-report.ts';
import type { AgentMemorySample, LatencySamples, RateSample, RoundtripResult } from './roundtrip-result.ts';
import type { ServerCalls, ServerHears } from './server-process.ts';
import { createApplication } from './support/application.ts';
import { startChild } from './support/child.ts';
import { createCounter } from './support/counter.ts';
import { readFacts } from './support/facts.ts';
import { idleMemory } from './support/idle.ts';

/**
 * One command, end to end: how long a durable command takes on an idle system, how many complete in a second,
 * what CPU time each of them costs in each process, and what memory the control plane and its agents need.
 */

const fullPlan: Plan = { rounds: 3, samples: 200, warmUpMs: 500, windowMs: 1500, manyAgents: 1000 };
const quickPlan: Plan = { rounds: 1, samples: 50, warmUpMs: 300, windowMs: 500, manyAgents: 100 };

const transports: readonly TransportName[] = ['connect', 'websocket'];

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
  const cleanUp = async () => {
    await agents.end();
    await server?.process.end();
    await rm(folder, { recursive: true, force: true });
  };
  const onInterrupt = () => void cleanUp().finally(() => process.exit(130));
  process.once('SIGINT', onInterrupt);
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
    process.removeListener('SIGINT', onInterrupt);
    await cleanUp();
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
