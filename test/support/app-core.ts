import { onTestFinished } from 'vitest';
import { AgentService } from '#gen/viworks/agent/v1/agent_service_pb.js';
import { type Audit, createAudit } from '../../src/audit/audit.ts';
import type { Witness } from '../../src/audit/witness.ts';
import { type Bus, createMemoryBus } from '../../src/bus/bus.ts';
import { createMemoryNonceCache } from '../../src/bus/nonces.ts';
import type { ApprovalPolicy } from '../../src/commands/approvals/decide.ts';
import type { CapacityLimits } from '../../src/commands/dispatch/capacity.ts';
import { type CommandEngine, createCommandEngine } from '../../src/commands/engine.ts';
import type { QueueLimits } from '../../src/commands/submission/admission.ts';
import type { Execution, ExecutionState, SubmitInput, WatchEvent } from '../../src/commands/types.ts';
import { type AuthenticationDeps, createAgentAuthentication } from '../../src/identity/authentication.ts';
import { type Certificates, createCertificates } from '../../src/identity/certificates/certificates.ts';
import { createCertificateRenewal } from '../../src/identity/certificates/renewal.ts';
import type { CertificateSettings } from '../../src/identity/certificates/settings.ts';
import { createCommandBinding } from '../../src/identity/command-binding.ts';
import { type CommandKeys, createCommandKeys } from '../../src/identity/command-keys.ts';
import { createEnrollment, type Enrollment } from '../../src/identity/enrollment.ts';
import { createSessionTokens, type SessionTokens } from '../../src/identity/session-tokens.ts';
import type { Clock } from '../../src/lib/clock.ts';
import { silentLogger } from '../../src/lib/logger.ts';
import { createMetrics, type Metrics } from '../../src/lib/metrics.ts';
import { generateKeyPair, type KeyPair } from '../../src/protocol/keys.ts';
import type { SealingLimits } from '../../src/protocol/sealing/connection.ts';
import { builtInCatalogue, type VerbCatalogue } from '../../src/protocol/verbs.ts';
import { createAgentRegistry } from '../../src/registry/agents.ts';
import { createPresence } from '../../src/registry/presence.ts';
import { createStanding } from '../../src/registry/standing.ts';
import type { AgentService as Agents } from '../../src/registry/types.ts';
import type { BudgetLimits } from '../../src/session/budget.ts';
import type { SessionLimits } from '../../src/session/handshake.ts';
import { createSessions, type Sessions } from '../../src/session/sessions.ts';
import { createDatabase, type Database, statement } from '../../src/storage/database.ts';
import { endAbandonedSessions } from '../../src/storage/sessions.ts';
import type { TelemetryIngest } from '../../src/telemetry/ingest.ts';
import { createTelemetry, type Telemetry, type TelemetrySettings } from '../../src/telemetry/telemetry.ts';
import { createAgentListener } from '../../src/transport/agent-listener.ts';
import { enrollmentRoutes, type Guesses } from '../../src/transport/enrollment.ts';
import { createMemoryWitness } from './audit.ts';

/** Time that stands still until a test moves it. */
export interface TestClock extends Clock {
  advance(ms: number): void;
}

export function createTestClock(start = Date.now()): TestClock {
  let elapsed = 0;
  return {
    now: () => start + elapsed,
    monotonic: () => elapsed,
    advance(ms) {
      elapsed += ms;
    },
  };
}

/** Submits a quick `exec` for one agent, unless the input says otherwise. */
export const submitTo = (core: Pick<Core, 'engine'>, agentId: string, input: Partial<SubmitInput> = {}) =>
  core.engine.submit('tester', {
    verb: 'exec',
    args: { argv: ['true'] },
    target: { agents: [agentId] },
    ...input,
  });

/** The core of the service on a real database and real sockets, with every part within a test's reach. */
export interface Core {
  database: Database;
  /** Seals only when it is asked to. */
  audit: Audit;
  bus: CountingBus;
  engine: CommandEngine;
  agents: Agents;
  telemetry: Telemetry;
  enrollment: Enrollment;
  commandKeys: CommandKeys;
  /** Where the options ask for them. */
  certificates: Certificates | undefined;
  sessions: Sessions;
  sessionTokens: SessionTokens;
  clock: TestClock;
  serverKey: KeyPair;
  metrics: Metrics;
  /** Where agents connect. */
  url: string;
  /** Rows of a table. */
  count(table: 'commands' | 'executions' | 'sessions' | 'agents' | 'agent_keys'): Promise<number>;
  /** Drains and ends it in order. Safe to call more than once. */
  stop(): Promise<void>;
}

export interface CoreOptions {
  clock?: TestClock;
  serverKey?: KeyPair;
  /** The same for all by default, so that one core goes on with the rows of another. */
  commandSecret?: Uint8Array;
  limits?: Partial<SessionLimits>;
  maxConnections?: number;
  maximumWaiting?: number;
  inFlight?: Partial<CapacityLimits>;
  queue?: Partial<QueueLimits>;
  approval?: ApprovalPolicy;
  keepMs?: number;
  keyMaxAgeMs?: number;
  auditKeepMs?: number;
  witness?: Witness;
  verbs?: VerbCatalogue;
  database?: Partial<Parameters<typeof createDatabase>[0]>;
  authentication?: Partial<AuthenticationDeps>;
  sealing?: SealingLimits;
  /** The agents' listener has TLS with a certificate that the core makes, unless they say otherwise. */
  certificates?: Partial<CertificateSettings>;
  /** What one agent may say in a second; without it any number. */
  budget?: BudgetLimits;
  /** Takes what agents measure, in place of the ingest. */
  onTelemetry?: TelemetryIngest['ingest'];
  /** Says how many TELEMETRY an agent may have unacknowledged, in place of the ingest. */
  telemetryCredit?: TelemetryIngest['credit'];
  /** Of the agents' listener. */
  tls?: { cert: string; key: string };
  telemetry?: Partial<TelemetrySettings>;
}

export const testCommandSecret = new Uint8Array(32).fill(7);

export async function startCore(url: string, options: CoreOptions = {}): Promise<Core> {
  const { clock = createTestClock(), serverKey = generateKeyPair() } = options;
  const log = silentLogger;
  const metrics = createMetrics();
  const bus = createCountingBus();
  const store = createDatabase({
    url,
    maxConnections: 8,
    connectTimeoutMs: 10_000,
    idleTimeoutMs: 10_000,
    log,
    ...options.database,
  });
  const audit = createAudit({
    database: store,
    key: serverKey,
    witness: options.witness ?? createMemoryWitness(),
    clock,
    log,
    metrics,
    keepMs: options.auditKeepMs ?? 0,
  });
  const { database } = audit.trail;
  await endAbandonedSessions(database.query, new Date(clock.now()));
  const enrollment = createEnrollment({ database, bus, serverKey, clock, log, audit: audit.trail });
  const secret = options.commandSecret ?? testCommandSecret;
  const certificates =
    options.certificates &&
    createCertificates({
      database,
      bus,
      serverKey,
      secret,
      settings: {
        clientCertificates: 'on',
        lifetimeMs: 86_400_000,
        trustDomain: 'test',
        server: { source: 'built-in', names: ['localhost', '127.0.0.1'] },
        backupPins: [],
        ...options.certificates,
      },
      clock,
      log,
      audit: audit.trail,
    });
  try {
    await certificates?.start();
  } catch (error) {
    await database.close();
    throw error;
  }
  const nonces = createMemoryNonceCache({ capacity: 1000 }, clock);
  const authentication = createAgentAuthentication({
    database,
    serverKey,
    certificates,
    nonces,
    clock,
    log,
    keyMaxAgeMs: options.keyMaxAgeMs ?? 0,
    ...options.authentication,
  });
  const sessionTokens = createSessionTokens(clock);
  const commandKeys = createCommandKeys({ database, bus, serverKey, secret, clock, log });
  await commandKeys.start();
  const presence = createPresence({ database, bus, log });
  const telemetry = createTelemetry({
    database,
    clock,
    metrics,
    log,
    settings: {
      keepMs: 30 * 86_400_000,
      keepRollupsMs: 400 * 86_400_000,
      intervalMs: 30_000,
      ...options.telemetry,
    },
  });
  await telemetry.start();
  const settings = {
    verbs: options.verbs ?? builtInCatalogue,
    timeToLiveMs: 3_600_000,
    maximumWaiting: options.maximumWaiting ?? 100_000,
    approval: options.approval,
    keepMs: options.keepMs,
    inFlight: { perAgent: 10_000, total: 1_000_000, perVerb: new Map(), ...options.inFlight },
    queue: { perAgent: 100_000, total: 1_000_000, perVerb: new Map(), ...options.queue },
    sweepIntervalMs: 3_600_000,
  };
  const binding = createCommandBinding(secret);
  const engine = createCommandEngine({
    database,
    bus,
    clock,
    log,
    metrics,
    audit: audit.trail,
    binding,
    settings,
  });
  const limits = {
    heartbeatIntervalMs: 86_400_000,
    telemetryIntervalMs: 86_400_000,
    reconnectBaseMs: 10,
    reconnectMaximumMs: 100,
    ...options.limits,
  };
  const sessions = createSessions({
    bus,
    authentication,
    sessionTokens,
    commandKeys,
    certificates,
    presence,
    standing: createStanding({
      database,
      bus,
      clock,
      log,
      metrics,
      hold: engine.setHeld,
      audit: audit.trail,
    }),
    engine,
    telemetry: {
      ...telemetry,
      ingest: options.onTelemetry ?? telemetry.ingest,
      credit: options.telemetryCredit ?? telemetry.credit,
    },
    clock,
    log,
    metrics,
    limits,
    ...(options.sealing === undefined ? {} : { sealing: options.sealing }),
    ...(options.budget === undefined ? {} : { budget: options.budget }),
  });
  sessions.start();
  const listener = createAgentListener({
    host: '127.0.0.1',
    port: 0,
    tls: certificates?.tls ?? options.tls,
    accept: sessions.accept,
    unary(router) {
      if (certificates === undefined) return void router.rpc(AgentService.method.enroll, () => ({}));
      const renewal = createCertificateRenewal({ database, nonces, certificates, clock, log });
      const { trail } = audit;
      const ask = () => Promise.reject(new Error('nobody asks'));
      const guesses: Guesses = { attempt: (_address, work) => work(), countAddress: async () => {} };
      enrollmentRoutes(router, enrollment, { ask }, trail, guesses, { certificates, renewal });
    },
    maxConnections: options.maxConnections ?? 1000,
    log,
  });
  certificates?.onChange(() => certificates.tls && listener.setTls(certificates.tls));
  await listener.start();
  let stopped: Promise<void> | undefined;
  async function stopAll(): Promise<void> {
    await sessions.drain(0);
    await listener.stop(1000);
    await engine.stop();
    await telemetry.stop();
    await presence.idle();
    await audit.trail.stop();
    await commandKeys.stop();
    await certificates?.stop();
    await database.close();
  }
  return {
    database,
    audit,
    bus,
    engine,
    agents: createAgentRegistry({ database, bus, clock, log, hold: engine.setHeld, telemetry }),
    telemetry,
    enrollment,
    sessions,
    sessionTokens,
    commandKeys,
    certificates,
    clock,
    serverKey,
    url: `${(certificates?.tls ?? options.tls) === undefined ? 'http' : 'https'}://${listener.address}`,
    metrics,
    async count(table) {
      const [row] = await database.query<{ n: number }>(
        statement(`count_${table}`, `select count(*)::int as n from ${table}`),
        [],
      );
      return row?.n ?? 0;
    },
    stop() {
      stopped ??= stopAll();
      return stopped;
    },
  };
}

/** A bus that knows how many listen to it: a subscription left behind is a leak. */
export interface CountingBus extends Bus {
  readonly listeners: number;
}

function createCountingBus(): CountingBus {
  const bus = createMemoryBus();
  let listeners = 0;
  const subscribe: Bus['subscribe'] = (topic, key, listener) => {
    const unsubscribe = bus.subscribe(topic, key, listener);
    // Sessions listen too, for as long as they are open; those who watch are counted.
    if (topic !== 'command.changed') return unsubscribe;
    listeners += 1;
    return () => {
      listeners -= 1;
      unsubscribe();
    };
  };
  return {
    publish: bus.publish,
    subscribeAny: bus.subscribeAny,
    subscribe,
    get listeners() {
      return listeners;
    },
  };
}

/** Resolves when the registry shows the agent with this status. */
export async function agentIs(core: Core, agentId: string, status: string): Promise<void> {
  let changed = Promise.withResolvers<void>();
  const unsubscribe = core.bus.subscribe('agent.changed', agentId, () => changed.resolve());
  try {
    for (;;) {
      const { agent } = await core.agents.get(agentId);
      if (agent.status === status) return;
      await changed.promise;
      changed = Promise.withResolvers<void>();
    }
  } finally {
    unsubscribe();
  }
}

/** Watches a command until its executions are as wanted; answers with all of them as they are then. */
export async function watchUntil(
  engine: Pick<CommandEngine, 'watch'>,
  commandId: string,
  wanted: (executions: Execution[], event: WatchEvent) => boolean,
): Promise<Execution[]> {
  const controller = new AbortController();
  const known = new Map<string, Execution>();
  try {
    for await (const event of engine.watch(commandId, undefined, controller.signal)) {
      for (const execution of event.executions) known.set(execution.executionId, execution);
      if (wanted([...known.values()], event)) return [...known.values()];
    }
  } finally {
    controller.abort();
  }
  throw new Error(`${commandId} is done: ${[...known.values()].map((e) => e.state).join(', ')}`);
}

/** The only execution of a command, once it is in the state. */
export async function executionIn(
  engine: Pick<CommandEngine, 'watch'>,
  commandId: string,
  state: ExecutionState,
): Promise<Execution> {
  const [execution] = await watchUntil(
    engine,
    commandId,
    (all) => all.length > 0 && all.every((e) => e.state === state),
  );
  if (execution === undefined) throw new Error('a command without executions');
  return execution;
}

/** The states that an execution went through. */
export const statesOf = (execution: Execution): ExecutionState[] => execution.transitions.map((t) => t.state);

/** Stops the core when the test ends. */
export function stopAfterTest(core: Core): Core {
  onTestFinished(() => core.stop());
  return core;
}
