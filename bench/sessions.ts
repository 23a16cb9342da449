import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Benchmark, BenchOptions } from './benchmark.ts';
import { measureLifecycles } from './commands-measure.ts';
import type { ServerCalls, ServerHears } from './server-process.ts';
import { sessionsReport } from './sessions-report.ts';
import {
  type HandshakeSample,
  type MemorySample,
  type SessionKind,
  type SessionsResult,
  type StormSample,
  sessionKinds,
} from './sessions-result.ts';
import { type Child, startChild } from './support/child.ts';
import { createCounter } from './support/counter.ts';
import { readFacts } from './support/facts.ts';
import { type Fleet, startFleet } from './support/fleet.ts';
import { cpuBelow, cpuOf } from './support/usage.ts';

/**
 * Sessions: what a handshake costs and how many there are in a second, what a connected agent weighs, and a storm,
 * in which every connection of a large fleet breaks at once while another fleet goes on working; and what it costs a
 * command that agents verify it and sessions are sealed.
 */

interface Plan {
  rounds: number;
  agents: number;
  /** Agents that stay connected in the storm. */
  stayers: number;
  /** Commands a second to those who stay. */
  pacePerSecond: number;
  /** Milliseconds of work before the storm, to compare with. */
  quietMs: number;
  /** Agents whose weight is taken, of each kind of session. */
  weighed: number;
  /** A closed loop with so many agents, to compare what security costs. */
  busyAgents: number;
  outstanding: number;
  warmUpMs: number;
  windowMs: number;
}

const fullPlan: Plan = {
  rounds: 3,
  agents: 10_000,
  stayers: 200,
  pacePerSecond: 500,
  quietMs: 5000,
  weighed: 2000,
  busyAgents: 1000,
  outstanding: 20_000,
  warmUpMs: 2000,
  windowMs: 5000,
};
const quickPlan: Plan = {
  rounds: 1,
  agents: 300,
  stayers: 20,
  pacePerSecond: 100,
  quietMs: 1000,
  weighed: 100,
  busyAgents: 100,
  outstanding: 1000,
  warmUpMs: 500,
  windowMs: 1000,
};

export const sessions: Benchmark = {
  name: 'sessions',
  summary:
    'handshakes a second, memory of an idle agent, a storm of reconnects, what security costs a command',
  async run(options) {
    const result = await measureAll(options.quick ? quickPlan : fullPlan, options);
    return { result, report: sessionsReport(result) };
  },
};

type Server = Child<ServerCalls, Record<string, never>, ServerHears>;

const startServer = (): Server => startChild(new URL('server-process.ts', import.meta.url), ['--expose-gc']);

async function measureAll(plan: Plan, { progress }: BenchOptions): Promise<SessionsResult> {
  const folder = await mkdtemp(join(tmpdir(), 'viworks-bench-'));
  const server = startServer();
  const [fleet, stayers] = [startFleet(), startFleet()];
  try {
    const dataDir = join(folder, 'control-plane');
    const { agentUrl: url, enrollmentToken: token } = await server.call('start', { dataDir });
    const facts = await readFacts(dataDir);
    progress(`enrolling ${plan.agents + plan.stayers} agents`);
    const names = await fleet.call('enroll', { url, token, count: plan.agents });
    const staying = await stayers.call('enroll', { url, token, count: plan.stayers, first: plan.agents });
    const settled = createCounter();
    stayers.on('settled', settled.add);
    await stayers.call('connect', { url, secured: true, count: plan.stayers });
    const result: SessionsResult = { facts, handshakes: [], memory: [], storms: [], commands: [] };
    for (let round = 1; round <= plan.rounds; round++) {
      for (const secured of [false, true]) {
        progress(`${plan.agents} handshakes, ${secured ? 'sealed' : 'not sealed'}, round ${round}`);
        if (secured) await fleet.call('disconnect');
        result.handshakes.push(await measureHandshakes(server, fleet, { url, secured, count: plan.agents }));
      }
      progress(`a storm of ${plan.agents}, round ${round}`);
      const submitted = settled.total;
      await server.call('startCommands', { agents: staying, perSecond: plan.pacePerSecond });
      result.storms.push(await measureStorm(fleet, stayers, url, plan));
      await settled.until(submitted + (await server.call('stopLoad')));
      await fleet.call('disconnect');
    }
    const acknowledged = createCounter();
    fleet.on('settled', (count) => {
      server.tell('settled', count);
      acknowledged.add(count);
    });
    const bench = { server, fleet, names: names.slice(0, plan.busyAgents), acknowledged };
    for (let round = 1; round <= plan.rounds; round++) {
      for (const secured of [false, true]) {
        progress(`commands, agents that ${secured ? 'verify and seal' : 'do neither'}, round ${round}`);
        await fleet.call('connect', { url, secured, count: plan.busyAgents });
        const sample = await measureLifecycles(bench, { ...plan, agents: plan.busyAgents });
        result.commands.push({ ...sample, secured });
        await fleet.call('disconnect');
      }
    }
    await server.end();
    for (const kind of sessionKinds) {
      progress(`memory of ${plan.weighed} agents, ${kind}`);
      result.memory.push(await measureMemory(kind, plan.weighed, join(folder, kind)));
    }
    return result;
  } finally {
    await Promise.all([fleet.end(), stayers.end()]);
    await server.end();
    await rm(folder, { recursive: true, force: true });
  }
}

async function measureHandshakes(
  server: Server,
  fleet: Fleet,
  dialling: { url: string; secured: boolean; count: number },
): Promise<HandshakeSample> {
  const { secured, count: agents } = dialling;
  const cpu = async () =>
    [await cpuOf(server.pid), await cpuBelow(server.pid), await cpuOf(fleet.pid)] as const;
  const [before, begun] = [await cpu(), performance.now()];
  await fleet.call('connect', dialling);
  const [ended, after] = [performance.now(), await cpu()];
  const cost = (index: 0 | 1 | 2) => ((after[index] - before[index]) * 1000) / agents;
  return {
    secured,
    agents,
    perSecond: (agents * 1000) / (ended - begun),
    cpu: { server: cost(0), postgres: cost(1), agents: cost(2) },
  };
}

/** Agents that stay connected while others come and go have the code of it warm, and are not counted. */
const warming = 20;

async function measureMemory(kind: SessionKind, agents: number, dataDir: string): Promise<MemorySample> {
  const server = startServer();
  const [fleet, early] = [startFleet(), startFleet()];
  try {
    const secure = kind.includes('TLS');
    const {
      agentUrl: url,
      enrollmentToken: token,
      pin,
    } = await server.call('start', { dataDir, tls: secure });
    const certificates = kind.includes('mutual');
    const enrolling = { url, token, pin, certificates };
    const dialling = { url, pin, certificates, secured: kind.includes('sealed') };
    await fleet.call('enroll', { ...enrolling, count: agents });
    await early.call('enroll', { ...enrolling, count: warming, first: agents });
    await early.call('connect', { ...dialling, count: warming });
    const before = await server.call('memory');
    await fleet.call('connect', { ...dialling, count: agents });
    const after = await server.call('memory');
    return {
      kind,
      agents,
      residentEach: (after.resident - before.resident) / agents,
      heapEach: (after.heap - before.heap) / agents,
    };
  } finally {
    await Promise.all([fleet.end(), early.end()]);
    await server.end();
  }
}

async function measureStorm(fleet: Fleet, stayers: Fleet, url: string, plan: Plan): Promise<StormSample> {
  await delay(plan.quietMs);
  const quiet = await stayers.call('latencies');
  const { backMs, refusals } = await fleet.call('storm', { url, secured: true });
  const meanwhile = await stayers.call('latencies');
  return { agents: plan.agents, stayers: plan.stayers, backMs, refusals, quiet, meanwhile };
}
