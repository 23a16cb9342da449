import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { SessionEnd } from '../src/agent/reconnect.ts';
import type { Connection } from '../src/protocol/connection.ts';
import { built } from './support/built.ts';
import { answerCalls } from './support/child.ts';
import { clockMs } from './support/clock.ts';
import { agentNames, type Enrolled, type Enrolling, enrolAll, forEach, pinned } from './support/enrolment.ts';
import { type FleetAgentOptions, openFleetAgent } from './support/fleet-agent.ts';
import type { MeasuringLoad } from './support/fleet-measuring.ts';

/** A fleet of simulated agents in one process, at a benchmark's command. */

/** How its agents connect. */
type Dialling = Pick<FleetAgentOptions, 'url' | 'secured'> &
  Pick<Enrolling, 'pin' | 'certificates'> & {
    /** They send what they measure until they disconnect. */
    measuring?: MeasuringLoad;
  };

export type FleetCalls = {
  enroll(input: Enrolling & { count: number; first?: number }): Promise<string[]>;
  /** Resolves when the first so many agents have their sessions. */
  connect(input: Dialling & { count: number }): Promise<void>;
  disconnect(): Promise<void>;
  /**
   * Breaks every connection at once; each agent comes back when the SDK would. Answers when all are back, with the
   * milliseconds from the break until each had its session, and how often they were turned away.
   */
  storm(input: Dialling): Promise<{ backMs: number[]; refusals: number }>;
  /**
   * Milliseconds from the submit to the acknowledgement of the result, of every command since the last call; or from
   * telemetry to its acknowledgement, of every envelope.
   */
  latencies(): Promise<number[]>;
};
/** Results, or samples, that are acknowledged, which means committed. */
export type FleetTell = { settled: number };

const connectAtOnce = 100;

const [{ planReconnect, defaultReconnect }, { ViworksError }] = await Promise.all([
  built.reconnect(),
  built.errors(),
]);

const agents: Enrolled[] = [];
let connections: Connection[] = [];
let latencies: number[] = [];

async function open({ identity, certificate }: Enrolled, dialling: Dialling): Promise<Connection> {
  const { url, secured, pin, certificates, measuring } = dialling;
  const tls = await pinned(pin);
  return openFleetAgent(identity, {
    url,
    secured,
    tls: tls && { ...tls, certificate: certificates ? certificate : undefined },
    onCommitted(submittedAt) {
      const now = clockMs();
      for (const at of submittedAt) latencies.push(now - at);
      countSettled(submittedAt.length);
    },
    measuring: measuring && {
      ...measuring,
      stored(samples, waitedMs) {
        // In a closed loop they only tell how much was under way.
        if (measuring.everyMs !== undefined) for (const ms of waitedMs) latencies.push(ms);
        countSettled(samples);
      },
      bootId: randomBytes(16),
    },
  });
}

/** Milliseconds: what is told more often costs the machine that is measured. */
const tellEveryMs = 5;
let settled = 0;
function countSettled(count: number): void {
  if (settled === 0) {
    setTimeout(() => {
      tell('settled', settled);
      settled = 0;
    }, tellEveryMs);
  }
  settled += count;
}

const calls: FleetCalls = {
  async enroll({ count, first, ...enrolling }) {
    const names = agentNames(count, first);
    agents.push(...(await enrolAll(enrolling, names)));
    return names;
  },
  async connect({ count, ...dialling }) {
    const some = agents.slice(0, count);
    connections = await forEach(some, connectAtOnce, (agent) => open(agent, dialling));
  },
  async disconnect() {
    for (const connection of connections) connection.close();
    connections = [];
  },
  async storm(dialling) {
    const begun = performance.now();
    let refusals = 0;
    const comeBack = async (agent: Enrolled): Promise<{ connection: Connection; ms: number }> => {
      let end: SessionEnd = {
        error: new ViworksError('connection_lost', 'broken by the benchmark'),
        drainMs: undefined,
        openForMs: 0,
      };
      for (let attempt = 0; ; ) {
        const plan = planReconnect(end, attempt, defaultReconnect);
        attempt = plan.attempt;
        await delay(plan.delayMs);
        try {
          return { connection: await open(agent, dialling), ms: performance.now() - begun };
        } catch (thrown) {
          refusals += 1;
          end = { ...end, error: ViworksError.from(thrown) };
        }
      }
    };
    const broken = connections;
    for (const connection of broken) connection.destroy();
    const back = await Promise.all(agents.slice(0, broken.length).map(comeBack));
    connections = back.map(({ connection }) => connection);
    return { backMs: back.map(({ ms }) => ms), refusals };
  },
  async latencies() {
    const taken = latencies;
    latencies = [];
    return taken;
  },
};

const tell = answerCalls<FleetTell, Record<string, never>>(calls, {}, async () => {
  for (const connection of connections) connection.destroy();
  process.exit();
});
