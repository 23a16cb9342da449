import { randomBytes } from 'node:crypto';
import { create } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { CommandUpdateSchema, OutputChunk_Stream } from '#gen/viworks/agent/v1/command_pb.js';
import { CreditSchema } from '#gen/viworks/agent/v1/flow_pb.js';
import { ExecutionAccount_Phase, Transport } from '#gen/viworks/agent/v1/handshake_pb.js';
import { TelemetrySchema } from '#gen/viworks/agent/v1/telemetry_pb.js';
import { catalogue, ViworksError } from '../errors.ts';
import { type Clock, systemClock } from '../lib/clock.ts';
import type { Logger } from '../lib/logger.ts';
import type { Dialer, TransportName } from '../protocol/connection.ts';
import type { SealingLimits } from '../protocol/sealing/connection.ts';
import { type AgentTls, createCertificateKeeper } from './certificate-keeper.ts';
import { createCommandTrust, type TrustStore } from './command-trust.ts';
import type { ExecutorSet } from './executors/executor.ts';
import type { Generation } from './generation.ts';
import { type HelloFacts, phaseOf, type SealingChoice } from './handshake.ts';
import type { MachineFacts } from './host.ts';
import type { AgentIdentity } from './identity.ts';
import { createIdentityKeeper } from './identity-keeper.ts';
import { createIntake } from './intake.ts';
import type { KeyRing } from './key-ring.ts';
import type { Ledger } from './ledger.ts';
import type { VerifyCommand } from './orders.ts';
import { createOutbox } from './outbox.ts';
import { createOutputStreams } from './output-stream.ts';
import { defaultReconnect, planReconnect, type SessionEnd } from './reconnect.ts';
import { createRunner, recoverLedger } from './runner.ts';
import { createSession, type Session } from './session.ts';
import { defaultTelemetryIntervalMs, type SessionTerms } from './session-terms.ts';
import { createTelemetryBuffer } from './telemetry/buffer.ts';
import type { Collector } from './telemetry/collector.ts';
import { createSampler } from './telemetry/sampler.ts';
import { createMemorySpool, type Spool } from './telemetry/spool.ts';
import { systemTimers, type Timers } from './timers.ts';

/**
 * An agent is an enrolled identity at work on one machine: it keeps one session with the control plane open,
 * runs what it is ordered to, and accounts for every execution, over broken sessions and its own restarts.
 */
export interface Agent {
  readonly state: AgentState;
  /** Milliseconds since 1970 by the server’s clock; undefined until it has told it for the first time. */
  readonly serverNow: number | undefined;
  start(): void;
  /**
   * Takes nothing new, lets what runs end within the grace, ends the rest by force, and closes the session.
   * The ledger is its owner's to close.
   */
  stop(graceMs: number): Promise<void>;
}

export type AgentState =
  | { name: 'idle' | 'connecting' | 'stopping' | 'stopped' }
  | { name: 'open'; sessionId: string; epoch: bigint; transport: TransportName }
  /** Connects again after the delay; the error says why the last session ended, or none came about. */
  | { name: 'waiting'; delayMs: number; error: ViworksError | undefined };

export interface AgentOptions {
  identity: AgentIdentity;
  dialer: Dialer;
  executors: ExecutorSet;
  ledger: Ledger;
  log: Logger;
  clock?: Clock;
  timers?: Timers;
  /** Without one, the agent sends no telemetry. */
  collect?: Collector;
  /** Milliseconds from the start to the first sample, none if not said otherwise. */
  firstSampleAfterMs?: number;
  /** Where samples wait for a session; its owner closes it. Without one, the newest wait in memory. */
  spool?: Spool | undefined;
  host?: MachineFacts;
  software?: string;
  /** In place of what the server's keys say. */
  verifyCommand?: VerifyCommand;
  /** On unless said otherwise. */
  sealing?: SealingChoice | undefined;
  sealingLimits?: SealingLimits | undefined;
  /** Without one, a copy of the agent is not found out. */
  generation?: Generation;
  /** Without one, the agent keeps its key. */
  keyRing?: KeyRing;
  /** Without it, the agent has no certificate. */
  tls?: AgentTls | undefined;
  /** Keeps an old set of command keys from being believed after a restart. */
  trustStore?: TrustStore;
  /** Executions held at once, waiting ones included. */
  executionCredit?: number;
  /** Executions that run at the same time. */
  concurrency?: number;
  /** Told of every change of the state. */
  onState?: (state: AgentState) => void;
}

/** A transport that does not come about in this time is given up. */
const dialTimeoutMs = 30_000;

const streams = { stdout: OutputChunk_Stream.STDOUT, stderr: OutputChunk_Stream.STDERR };

const transports: Record<TransportName, Transport> = {
  connect: Transport.CONNECT,
  grpc: Transport.CONNECT,
  websocket: Transport.WEBSOCKET,
};

export function createAgent(options: AgentOptions): Agent {
  const { identity, dialer, executors, ledger, log, generation, keyRing } = options;
  const { clock = systemClock, timers = systemTimers } = options;
  const { executionCredit = 64, concurrency = 8 } = options;
  const bootId = new Uint8Array(randomBytes(16));
  let state: AgentState = { name: 'idle' };
  let session: Session | undefined;
  let terms: SessionTerms | undefined;
  let dialing: AbortController | undefined;
  let transport = dialer.transport;
  let failures = 0;
  let started = false;
  let stopped: Promise<void> | undefined;
  /** Difference between a clock and our monotonic one: our own, and the server's as soon as it has told it. */
  const ownOffset = clock.now() - clock.monotonic();
  let serverOffset: number | undefined;
  let offReconnect: (() => void) | undefined;
  let onSessionEnd: (() => void) | undefined;

  const serverNow = () => clock.monotonic() + (serverOffset ?? ownOffset);
  const stopping = () => state.name === 'stopping' || state.name === 'stopped';
  const trust = createCommandTrust({ identity, store: options.trustStore, log, serverNow });
  const { verifyCommand = trust.verify, tls } = options;
  const own = createIdentityKeeper({ identity, generation, keyRing, log });
  const keeper =
    tls && createCertificateKeeper({ ...tls, identity: () => own.identity, timers, log, serverNow });
  const outbox = createOutbox({
    ledger,
    send: (result, delivered) => session?.send({ case: 'result', value: result }, delivered) ?? false,
    bufferedBytes: () => session?.bufferedBytes ?? 0,
  });
  const telemetry = createTelemetryBuffer({
    spool: options.spool ?? createMemorySpool(),
    bootId,
    send: (samples, delivered) =>
      session?.send({ case: 'telemetry', value: create(TelemetrySchema, { samples }) }, delivered) ?? false,
    bufferedBytes: () => session?.bufferedBytes ?? 0,
    onDropped: (count) => log.warn({ dropped: count }, 'telemetry is dropped, because nobody takes it'),
    onError: (err) => log.error({ err }, 'telemetry cannot be kept'),
  });
  const sampler =
    options.collect &&
    createSampler({
      collect: options.collect,
      keep: telemetry.add,
      intervalMs: defaultTelemetryIntervalMs,
      ...(options.firstSampleAfterMs !== undefined && { firstAfterMs: options.firstSampleAfterMs }),
      clock,
      timers,
      onError: (err) => log.error({ err }, 'the machine cannot be measured'),
    });
  const output = createOutputStreams({
    timers,
    send({ executionId, attempt, stream, offset, data }, delivered) {
      const chunk = { stream: streams[stream], offset: BigInt(offset), data };
      const value = create(CommandUpdateSchema, {
        executionId,
        attempt,
        update: { case: 'output', value: chunk },
      });
      return session?.send({ case: 'commandUpdate', value }, delivered) ?? false;
    },
  });
  const runner = createRunner({
    ledger,
    output,
    clock,
    timers,
    log,
    concurrency,
    serverNow,
    onAccepted: ({ executionId, attempt }) => update(executionId, attempt, { case: 'accepted', value: {} }),
    onRunning: ({ executionId, attempt }, startedAt) =>
      update(executionId, attempt, {
        case: 'running',
        value: { startedAt: timestampFromMs(Math.trunc(startedAt)) },
      }),
    onResult: outbox.add,
  });
  const intake = createIntake({
    identity,
    executors,
    ledger,
    runner,
    outbox,
    clock,
    verifyCommand,
    executionCredit,
    serverNow,
    epoch: () => terms?.epoch ?? 0n,
    stopping,
  });

  /** Progress is told to an open session only: the next HELLO accounts for what nobody heard. */
  function update(
    executionId: string,
    attempt: number,
    step:
      | { case: 'accepted'; value: object }
      | { case: 'running'; value: { startedAt: ReturnType<typeof timestampFromMs> } },
  ): void {
    if (session?.open !== true) return;
    const value = create(CommandUpdateSchema, { executionId, attempt, update: step });
    session.send({ case: 'commandUpdate', value });
  }

  function setState(next: AgentState): void {
    state = next;
    options.onState?.(next);
  }

  async function connect(): Promise<void> {
    setState({ name: 'connecting' });
    let stored: bigint;
    try {
      await keeper?.beforeDial();
      stored = await own.generation();
    } catch (thrown) {
      onEnd({ error: ViworksError.from(thrown), drainMs: undefined, openForMs: 0 });
      return;
    }
    if (stopping()) return;
    const { nextKey } = own;
    const opening = createSession({
      identity: own.identity,
      generation: stored,
      nextKey,
      hello,
      sealing: options.sealing,
      sealingLimits: options.sealingLimits,
      clock,
      timers,
      log,
      running: () => runner.running,
      onServerTime: (serverTime) => {
        serverOffset = serverTime - clock.monotonic();
      },
      onOpen: (opened) => onOpen(opening, opened, nextKey?.keyId),
      onCommandKeys: trust.accept,
      onTlsTrust: (message) => keeper?.trust(message),
      onCertificate: (message) => keeper?.certificate(message),
      onCommand: intake.onCommand,
      onCancel: intake.onCancel,
      onTelemetryCredit: telemetry.setCredit,
      onTelemetryInterval(intervalMs) {
        log.info({ intervalMs }, 'the server wants samples at another interval');
        sampler?.setInterval(intervalMs);
      },
      onEnd,
    });
    session = opening;
    dialing = new AbortController();
    const { signal } = dialing;
    const offDial = timers.after(dialTimeoutMs, () => dialing?.abort());
    try {
      const connection = await dialer.dial(opening.handler, signal);
      if (stopping()) connection.destroy();
      else {
        transport = connection.peer.transport;
        opening.begin(connection);
      }
    } catch (cause) {
      const unreachable = new ViworksError('unavailable', 'The control plane cannot be reached.', { cause });
      opening.handler.onClose(cause instanceof ViworksError ? cause : unreachable);
    } finally {
      offDial();
      dialing = undefined;
    }
  }

  function hello(): HelloFacts {
    return {
      bootId,
      transports: [...new Set([transports[dialer.transport], Transport.CONNECT, Transport.WEBSOCKET])],
      capabilities: [...executors.capabilities],
      host: { ...options.host, containerEngine: executors.containerEngine },
      software: options.software ?? '',
      tlsTrustVersion: tls?.store.trustVersion ?? 0n,
      executionCredit,
      executions: Array.from(ledger.unsettled(), ({ executionId, attempt, result }) => ({
        executionId,
        attempt,
        phase: result === undefined ? ExecutionAccount_Phase.RUNNING : phaseOf(result),
      })),
    };
  }

  function onOpen(opened: Session, welcomed: SessionTerms, offeredKeyId: string | undefined): void {
    if (session !== opened || stopping()) {
      opened.close();
      return;
    }
    terms = welcomed;
    log.info({ session: welcomed.sessionId, epoch: welcomed.epoch.toString(), transport }, 'connected');
    setState({ name: 'open', sessionId: welcomed.sessionId, epoch: welcomed.epoch, transport });
    keeper?.opened(opened, welcomed.issuesCertificates);
    void own.opened(opened, welcomed, offeredKeyId);
    runner.reportAll();
    output.restart(welcomed.outputCreditBytes);
    outbox.restart();
    telemetry.restart(welcomed.telemetryCredit);
    sampler?.setInterval(welcomed.telemetryIntervalMs);
  }

  function onEnd(end: SessionEnd): void {
    session = undefined;
    const soon = keeper?.ended(end.error) === true;
    onSessionEnd?.();
    if (stopping()) return;
    const policy = terms?.reconnect ?? defaultReconnect;
    const ended = soon ? { ...end, drainMs: Math.random() * policy.baseMs } : end;
    const plan = planReconnect(ended, failures, policy);
    failures = plan.attempt;
    const { error } = end;
    const told = { code: error?.code, reason: error?.message, retryInMs: Math.round(plan.delayMs) };
    if (error !== undefined && !error.retryable)
      log.error({ ...told, hint: catalogue[error.code].hint }, 'the control plane refuses this agent');
    else log.warn(told, 'not connected');
    offReconnect = timers.after(plan.delayMs, () => void connect());
    setState({ name: 'waiting', delayMs: plan.delayMs, error });
  }

  async function begin(): Promise<void> {
    try {
      const lost = await recoverLedger(ledger, clock);
      if (lost > 0) log.warn({ executions: lost }, 'executions were under way when the agent last ended');
    } catch (err) {
      log.error({ err }, 'the ledger cannot be written; the agent will refuse commands');
    }
    if (stopping()) return;
    sampler?.start();
    await connect();
  }

  return {
    get state() {
      return state;
    },
    get serverNow() {
      return serverOffset === undefined ? undefined : serverNow();
    },
    start() {
      if (started) return;
      started = true;
      void begin();
    },
    stop(graceMs) {
      stopped ??= stop(graceMs);
      return stopped;
    },
  };

  async function stop(graceMs: number): Promise<void> {
    setState({ name: 'stopping' });
    offReconnect?.();
    const sampled = sampler?.stop();
    dialing?.abort();
    session?.send({ case: 'credit', value: create(CreditSchema, { executions: 0 }) });
    await runner.stop(graceMs);
    await sampled;
    if (session !== undefined) await endSession(session);
    setState({ name: 'stopped' });
  }

  function endSession(ending: Session): Promise<void> {
    return new Promise((resolve) => {
      onSessionEnd = resolve;
      ending.close();
    });
  }
}
