import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { create } from '@bufbuild/protobuf';
import { onTestFinished } from 'vitest';
import { ExecArgsSchema, ExecResultSchema } from '#gen/viworks/verbs/v1/system_pb.js';
import { type Agent, type AgentState, createAgent } from '../../src/agent/agent.ts';
import { defineExecutor, executorSet } from '../../src/agent/executors/executor.ts';
import { openGeneration } from '../../src/agent/generation.ts';
import { type AgentIdentity, enrollIdentity } from '../../src/agent/identity.ts';
import { createMemoryLedger } from '../../src/agent/ledger.ts';
import { openTlsStore, type TlsStore } from '../../src/agent/tls-store.ts';
import { createConnectDialer } from '../../src/agent/transport/connect.ts';
import { challengeRenewal, enroll, renewCertificate } from '../../src/agent/transport/enroll.ts';
import { silentLogger } from '../../src/lib/logger.ts';
import type { Core, TestClock } from './app-core.ts';
import { pinsOf } from './certificates.ts';

/** An agent of the real SDK that enrolled over TLS, knowing nothing of the server but its pin. */
export interface TlsAgent {
  agentId: string;
  identity: AgentIdentity;
  dir: string;
  /** What it has stored; that of the newest start. */
  readonly store: TlsStore;
  readonly states: readonly AgentState[];
  /** Starts it; where it was started before, from what is stored. */
  start(to?: Pick<Core, 'url'>): Promise<void>;
  stop(): Promise<void>;
  /** Resolves when a state fits that came, or comes, after those that are there when it is called. */
  next(fits: (state: AgentState) => boolean): Promise<AgentState>;
  opened(): Promise<AgentState>;
}

export async function tlsAgent(
  core: Core,
  agentId: string,
  clock: TestClock = core.clock,
): Promise<TlsAgent> {
  const dir = await mkdtemp(join(tmpdir(), 'viworks-tls-agent-'));
  onTestFinished(() => rm(dir, { recursive: true, force: true, maxRetries: 5 }));
  const spec = { site: `site-of-${agentId}`, labels: {}, uses: 1, lifetimeMs: 60_000 };
  const { token } = await core.enrollment.create('test', spec);
  const first = { url: core.url, tls: { pins: (await pinsOf(core)).slice(0, 1) } };
  const identity = await enrollIdentity(dir, { token, agentId }, (request) =>
    enroll(first, request, AbortSignal.timeout(10_000)),
  );
  const states: AgentState[] = [];
  const waiting = new Set<() => void>();
  let agent: Agent | undefined;
  let store: TlsStore | undefined;
  const exec = defineExecutor(ExecArgsSchema, ExecResultSchema, () =>
    Promise.resolve({ exitCode: 0, output: create(ExecResultSchema) }),
  );
  const there = <T>(value: T | undefined): T => {
    if (value === undefined) throw new Error('the agent was not started');
    return value;
  };
  const one: TlsAgent = {
    agentId,
    identity,
    dir,
    states,
    get store() {
      return there(store);
    },
    async start(to = core) {
      const opening = await openTlsStore(dir, { signers: identity.serverKeys, log: silentLogger });
      store = opening;
      const dial = { url: to.url, tls: () => opening.terms(clock.now(), agent?.serverNow) };
      const signal = () => AbortSignal.timeout(10_000);
      agent = createAgent({
        identity,
        dialer: createConnectDialer(dial),
        executors: executorSet([exec]),
        ledger: createMemoryLedger(),
        generation: await openGeneration(dir, identity),
        log: silentLogger,
        clock,
        tls: {
          store: opening,
          spreadMs: 0,
          calls: {
            challenge: () => challengeRenewal(dial, signal()),
            renew: (request) => renewCertificate(dial, request, signal()),
          },
        },
        onState(state) {
          states.push(state);
          for (const wake of waiting) wake();
        },
      });
      agent.start();
    },
    stop: async () => agent?.stop(0),
    next(fits) {
      const from = states.length;
      return new Promise((resolve) => {
        const look = () => {
          const found = states.slice(from).find(fits);
          if (found === undefined) return;
          waiting.delete(look);
          resolve(found);
        };
        waiting.add(look);
      });
    },
    async opened() {
      const open = (state: AgentState | undefined) => state?.name === 'open';
      const last = states.at(-1);
      return last !== undefined && open(last) ? last : one.next(open);
    },
  };
  onTestFinished(() => one.stop());
  return one;
}

/** Resolves when it holds; looks again whenever the rows of agents or certificates may have changed. */
export async function eventually(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise((resolve) => setImmediate(resolve));
}
