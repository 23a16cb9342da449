import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Benchmark, BenchOptions } from './benchmark.ts';
import {
  type Bench,
  measureFanOut,
  measureLifecycles,
  measurePaced,
  measurePeer,
} from './commands-measure.ts';
import { commandsReport } from './commands-report.ts';
import type { CommandsResult } from './commands-result.ts';
import type { ServerCalls, ServerHears } from './server-process.ts';
import { startChild } from './support/child.ts';
import { createCounter } from './support/counter.ts';
import { readFacts } from './support/facts.ts';
import { startFleet } from './support/fleet.ts';
import { peerNames } from './support/peer.ts';
import { startRedis } from './support/redis.ts';

/**
 * Many commands at once: how many lifecycles complete in a second with a large fleet, what they cost, how long they
 * take at a steady rate, how long one command to all takes; and beside it what job queues do on the same machine.
 */

interface Plan {
  rounds: number;
  fleets: { agents: number; outstanding: number }[];
  warmUpMs: number;
  windowMs: number;
  pacePerSecond: number;
  jobs: number;
}

const fullPlan: Plan = {
  rounds: 3,
  fleets: [
    { agents: 1000, outstanding: 20_000 },
    { agents: 10_000, outstanding: 10_000 },
  ],
  warmUpMs: 2000,
  windowMs: 5000,
  pacePerSecond: 2000,
  jobs: 20_000,
};
const quickPlan: Plan = {
  rounds: 1,
  fleets: [{ agents: 100, outstanding: 1000 }],
  warmUpMs: 500,
  windowMs: 1000,
  pacePerSecond: 500,
  jobs: 2000,
};

export const commands: Benchmark = {
  name: 'commands',
  summary: 'lifecycles a second with 1,000 and 10,000 agents, fan-out, and job queues beside it',
  async run(options) {
    const result = await measureAll(options.quick ? quickPlan : fullPlan, options);
    return { result, report: commandsReport(result) };
  },
};

async function measureAll(plan: Plan, { progress, profile }: BenchOptions): Promise<CommandsResult> {
  const folder = await mkdtemp(join(tmpdir(), 'viworks-bench-'));
  const dataDir = join(folder, 'control-plane');
  const server = startChild<ServerCalls, Record<string, never>, ServerHears>(
    new URL('server-process.ts', import.meta.url),
    ['--expose-gc'],
  );
  const fleet = startFleet();
  await mkdir(join(folder, 'redis'));
  const redis = await startRedis(join(folder, 'redis'));
  const cleanUp = async () => {
    await fleet.end();
    await server.end();
    await redis?.stop();
    await rm(folder, { recursive: true, force: true });
  };
  const onInterrupt = () => void cleanUp().finally(() => process.exit(130));
  process.once('SIGINT', onInterrupt);
  try {
    const { agentUrl, enrollmentToken } = await server.call('start', { dataDir });
    const facts = await readFacts(dataDir);
    const most = Math.max(...plan.fleets.map((each) => each.agents));
    progress(`enrolling ${most} agents`);
    const names = await fleet.call('enroll', { url: agentUrl, token: enrollmentToken, count: most });
    const acknowledged = createCounter();
    fleet.on('settled', (count) => {
      server.tell('settled', count);
      acknowledged.add(count);
    });
    const bench: Bench = { server, fleet, names, acknowledged, socket: join(dataDir, 'postgres', 'socket') };
    const result: CommandsResult = {
      facts,
      redis: redis?.version,
      lifecycles: [],
      paced: [],
      fanOut: [],
      peers: [],
    };
    for (let round = 1; round <= plan.rounds; round++) {
      for (const { agents, outstanding } of plan.fleets) {
        progress(`${agents} agents, round ${round}`);
        await fleet.call('connect', { url: agentUrl, secured: false, count: agents });
        const { warmUpMs, windowMs, pacePerSecond: perSecond } = plan;
        result.lifecycles.push(await measureLifecycles(bench, { agents, outstanding, warmUpMs, windowMs }));
        result.paced.push(await measurePaced(bench, { agents, perSecond, warmUpMs, windowMs }));
        result.fanOut.push(await measureFanOut(bench, agents));
        if (profile !== undefined && round === plan.rounds) {
          await takeProfile(
            bench,
            plan,
            { agents, outstanding },
            resolve(profile, `commands-${agents}.cpuprofile`),
          );
        }
        await fleet.call('disconnect');
      }
      for (const name of peerNames) {
        if (name === 'BullMQ' && redis === undefined) continue;
        progress(`${name}, round ${round}`);
        const { jobs, pacePerSecond, windowMs } = plan;
        result.peers.push(await measurePeer(bench, name, redis, { jobs, pacePerSecond, paceMs: windowMs }));
      }
    }
    return result;
  } finally {
    process.removeListener('SIGINT', onInterrupt);
    await cleanUp();
  }
}

async function takeProfile(
  { server, names, acknowledged }: Bench,
  { warmUpMs, windowMs }: Plan,
  { agents, outstanding }: Plan['fleets'][number],
  file: string,
): Promise<void> {
  const before = acknowledged.total;
  await server.call('startCommands', { agents: names.slice(0, agents), outstanding });
  await delay(warmUpMs);
  await server.call('startProfile');
  await delay(windowMs);
  await server.call('stopProfile', { file });
  await acknowledged.until(before + (await server.call('stopLoad')));
}
