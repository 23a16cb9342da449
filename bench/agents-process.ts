import { create } from '@bufbuild/protobuf';
import { SystemInfoArgsSchema, SystemInfoResultSchema } from '#gen/viworks/verbs/v1/system_pb.js';
import type { Agent, AgentState } from '../src/agent/agent.ts';
import type { AgentIdentity } from '../src/agent/identity.ts';
import type { Ledger } from '../src/agent/ledger.ts';
import { built } from './support/built.ts';
import { answerCalls } from './support/child.ts';
import { agentNames, enrolAll, forEach } from './support/enrolment.ts';

/**
 * Simulated agents: the real session, runner and transports of the SDK, with an executor that does nothing and
 * a ledger in memory. They tell how many of their results are acknowledged, which means committed.
 */

export type TransportName = 'connect' | 'websocket';
export type AgentsCalls = {
  enroll(input: { url: string; token: string; count: number }): Promise<string[]>;
  /** Resolves when so many agents have their sessions. */
  connect(input: { url: string; transport: TransportName; count: number }): Promise<void>;
  disconnect(): Promise<void>;
};
export type AgentsTell = { settled: number };

const connectAtOnce = 50;

const [{ createAgent }, { defineExecutor, executorSet }, { createMemoryLedger }, { silentLogger }] =
  await Promise.all([built.agent(), built.executor(), built.ledger(), built.logger()]);
const [{ createConnectDialer }, { createWebSocketDialer }] = await Promise.all([
  built.connect(),
  built.webSocket(),
]);

const dialers = { connect: createConnectDialer, websocket: createWebSocketDialer };
const identities: AgentIdentity[] = [];
let agents: Agent[] = [];

/** About as large as the answer of a real machine. */
const machine = create(SystemInfoResultSchema, {
  hostname: 'simulated-agent.bench.example',
  os: 'Debian GNU/Linux 13 (trixie)',
  kernel: '6.12.48+deb13-amd64',
  architecture: 'x64',
  cpuModel: 'Simulated CPU @ 2.00GHz',
  cpuCores: 2,
  memoryTotalBytes: 8n * 1024n ** 3n,
  memoryAvailableBytes: 5n * 1024n ** 3n,
  uptime: { seconds: 86_400n },
  loadAverage: [0.1, 0.2, 0.3],
  fileSystems: [
    { mount: '/', type: 'ext4', totalBytes: 64n * 1024n ** 3n, availableBytes: 32n * 1024n ** 3n },
  ],
  agentSoftware: 'simulated',
});
const info = defineExecutor(SystemInfoArgsSchema, SystemInfoResultSchema, () =>
  Promise.resolve({ output: machine }),
);
const executors = executorSet([info]);

/** Counts the results that need no repetition any more, and tells them once a tick. */
let settled = 0;
function countSettled(): void {
  settled += 1;
  if (settled > 1) return;
  setImmediate(() => {
    tell('settled', settled);
    settled = 0;
  });
}

function countingLedger(): Ledger {
  const ledger = createMemoryLedger();
  return Object.assign(ledger, {
    settled: wrap(ledger.settled, countSettled),
  });
}

const wrap =
  (inner: Ledger['settled'], after: () => void): Ledger['settled'] =>
  (executionId, attempt) => {
    inner(executionId, attempt);
    after();
  };

async function open(identity: AgentIdentity, transport: TransportName, url: string): Promise<Agent> {
  const opened = Promise.withResolvers<void>();
  const onState = (state: AgentState) => {
    if (state.name === 'open') opened.resolve();
    if (state.name === 'waiting') opened.reject(state.error ?? new Error('the session ended'));
  };
  const agent = createAgent({
    identity,
    dialer: dialers[transport]({ url }),
    executors,
    ledger: countingLedger(),
    log: silentLogger,
    executionCredit: 1000,
    concurrency: 64,
    onState,
  });
  agent.start();
  await opened.promise;
  return agent;
}

const calls: AgentsCalls = {
  async enroll({ url, token, count }) {
    const names = agentNames(count);
    identities.push(...(await enrolAll({ url, token }, names)).map(({ identity }) => identity));
    return names;
  },
  async connect({ url, transport, count }) {
    const chosen = identities.slice(0, count);
    agents = await forEach(chosen, connectAtOnce, (identity) => open(identity, transport, url));
  },
  async disconnect() {
    await Promise.all(agents.map((agent) => agent.stop(0)));
    agents = [];
  },
};

const tell = answerCalls<AgentsTell, Record<string, never>>(calls, {}, async () => {
  await calls.disconnect();
  process.exit();
});
