import { constants } from 'node:fs';
import { access, mkdir } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { ViworksError } from '../errors.ts';
import { systemClock } from '../lib/clock.ts';
import type { Logger } from '../lib/logger.ts';
import { type Agent, type AgentState, createAgent } from './agent.ts';
import type { AgentTls } from './certificate-keeper.ts';
import { lockDataFolder } from './data-lock.ts';
import { loadExecutors, software } from './executors/registry.ts';
import { openGeneration } from './generation.ts';
import type { SealingChoice } from './handshake.ts';
import { readFacts } from './host.ts';
import {
  type AgentIdentity,
  type AskingDeps,
  askForIdentity,
  enrolled,
  enrollIdentity,
  fingerprintOf,
  ledgerFile,
  loadIdentity,
} from './identity.ts';
import { openKeyRing } from './key-ring.ts';
import { openLedger } from './ledger.ts';
import { loadPlugins } from './plugins/load.ts';
import { createCollector } from './telemetry/collector.ts';
import { openDiskSpool } from './telemetry/disk-spool.ts';
import { createMetricFiles } from './telemetry/metric-files.ts';
import { createMetrics, type Metrics } from './telemetry/metrics.ts';
import { createMemorySpool, type Spool, type SpoolBounds } from './telemetry/spool.ts';
import { openTlsStore } from './tls-store.ts';
import { createConnectDialer } from './transport/connect.ts';
import { challengeRenewal, enroll, renewCertificate, requestEnrollment } from './transport/enroll.ts';
import { createFallbackDialer } from './transport/fallback.ts';
import { createWebSocketDialer } from './transport/websocket.ts';
import { openTrustStore } from './trust-store.ts';

/** The reference agent: the agent with every executor, on this machine. */
export interface ReferenceAgent {
  readonly agentId: string;
  readonly state: Agent['state'];
  /** Custom metrics, which go out with each sample. */
  readonly metrics: Metrics;
  /** See Agent.stop; closes the ledger and the spool too. */
  stop(graceMs: number): Promise<void>;
}

export interface ReferenceAgentOptions {
  /** Of the agent listener: `http://host:port` or `https://host:port`. */
  url: string;
  /** Identity, key, ledger, and samples that wait. */
  dataDir: string;
  /** Where the data folder holds no identity: with a token it gets one at once; without, an operator is asked. */
  enrollmentToken?: string | undefined;
  /** The identity to ask for at enrolment; made from the host's name if absent. */
  agentId?: string | undefined;
  labels?: Record<string, string> | undefined;
  /** PEM of the authorities to believe in place of the system's own. */
  tlsCa?: string | undefined;
  /** The server's own key, until it has told its agents which ones it may have; written `sha256/…`. */
  serverPins?: readonly Uint8Array[] | undefined;
  /** Where programs are looked for. */
  path?: string | undefined;
  /** Modules that run further verbs. */
  plugins?: readonly string[] | undefined;
  /** Names of services whose state is told with each sample. */
  services?: readonly string[] | undefined;
  /** Where other programs leave custom metrics; `metrics` in the data folder if absent. */
  metricsDir?: string | undefined;
  /** How much telemetry waits for the control plane. */
  spoolBounds?: SpoolBounds | undefined;
  /** Whether envelopes are sealed: never, where the server does it too (the default), or else no session. */
  sealing?: SealingChoice | undefined;
  log: Logger;
  onState?: ((state: AgentState) => void) | undefined;
  /** Ends the waiting for an operator. */
  signal?: AbortSignal | undefined;
  /** Told the fingerprint of the key, in groups, when an operator has to decide; it is logged otherwise. */
  onPending?: ((fingerprint: string) => void) | undefined;
}

const enrollTimeoutMs = 15_000;
/**
 * How busy the machine is, is known of the time since the collector was made: of less than this it would be how busy
 * this process was with its start. Most agents are connected by then, so that their first sample is not late.
 */
const firstSampleAfterMs = 1000;
/** Longer than the server lets a request wait. */
const askTimeoutMs = 30_000;

/**
 * Enrols where needed, and connects. Resolves when the agent has begun; its state tells of the connection.
 * @throws config_invalid, enrollment_refused, agent_exists, unavailable
 */
export async function startReferenceAgent(options: ReferenceAgentOptions): Promise<ReferenceAgent> {
  const { dataDir, path, log, onState } = options;
  await makeFolder(dataDir);
  const unlock = await lockDataFolder(dataDir);
  try {
    const metrics = createMetrics();
    const plugins = await loadPlugins(options.plugins ?? [], { log, path, metrics });
    const identity = await identityOf(options);
    // The agent learns it, and dials before it does.
    let serverNow: () => number | undefined = () => undefined;
    const tls = await tlsOf(options, identity, () => serverNow());
    const dial = { url: options.url, tls: () => tls.store.terms(Date.now(), serverNow()) };
    const [generation, keyRing, trustStore, ledger, executors, host, spool] = await Promise.all([
      openGeneration(dataDir, identity),
      openKeyRing(dataDir, identity),
      openTrustStore(dataDir),
      openLedger(ledgerFile(dataDir), { log }),
      loadExecutors(path, plugins),
      readFacts(),
      spoolOf(options),
    ]);
    const agent = createAgent({
      identity,
      dialer: createFallbackDialer([createConnectDialer(dial), createWebSocketDialer(dial)]),
      executors,
      ledger,
      generation,
      keyRing,
      trustStore,
      tls,
      log,
      host,
      software,
      sealing: options.sealing,
      collect: createCollector({
        clock: systemClock,
        log,
        containers: executors.containerEngine !== '',
        services: options.services,
        metrics: [
          metrics.source,
          createMetricFiles({
            folder: options.metricsDir ?? join(dataDir, 'metrics'),
            clock: systemClock,
            log,
          }),
        ],
        path,
      }),
      firstSampleAfterMs,
      spool,
      ...(onState === undefined ? {} : { onState }),
    });
    serverNow = () => agent.serverNow;
    agent.start();
    return {
      agentId: identity.agentId,
      metrics,
      get state() {
        return agent.state;
      },
      async stop(graceMs) {
        await agent.stop(graceMs);
        await ledger.close();
        await spool.close();
        await unlock();
      },
    };
  } catch (error) {
    await unlock();
    throw error;
  }
}

/** A disk that takes no telemetry does not keep an agent from its work. */
async function spoolOf({ dataDir, spoolBounds, log }: ReferenceAgentOptions): Promise<Spool> {
  try {
    return await openDiskSpool(join(dataDir, 'telemetry'), { bounds: spoolBounds, clock: systemClock, log });
  } catch (err) {
    log.error(
      { err },
      'telemetry cannot be kept on the disk: until the next start the newest waits in memory',
    );
    return createMemorySpool();
  }
}

async function makeFolder(dataDir: string): Promise<void> {
  try {
    await mkdir(dataDir, { recursive: true, mode: 0o700 });
    await access(dataDir, constants.W_OK);
  } catch (cause) {
    throw new ViworksError(
      'config_invalid',
      `The agent's data folder ${dataDir} cannot be made or written.`,
      { cause },
    );
  }
}

/** What enrolment needs. */
export type EnrollOptions = Pick<
  ReferenceAgentOptions,
  | 'url'
  | 'dataDir'
  | 'enrollmentToken'
  | 'agentId'
  | 'labels'
  | 'tlsCa'
  | 'serverPins'
  | 'log'
  | 'signal'
  | 'onPending'
>;

/**
 * Enrols this machine without running an agent: at once with a token, and otherwise by asking an operator. Where the
 * folder holds an identity, that one is the answer.
 * @throws config_invalid, enrollment_refused, agent_exists, unavailable, cancelled
 */
export async function enrollMachine(options: EnrollOptions): Promise<AgentIdentity> {
  const { dataDir } = options;
  if (await enrolled(dataDir)) return loadIdentity(dataDir);
  await makeFolder(dataDir);
  const unlock = await lockDataFolder(dataDir);
  try {
    return await identityOf(options);
  } finally {
    await unlock();
  }
}

async function identityOf(options: EnrollOptions): Promise<AgentIdentity> {
  const { dataDir, enrollmentToken, labels, log } = options;
  if (await enrolled(dataDir)) return loadIdentity(dataDir);
  const dial = { url: options.url, tls: { ca: options.tlsCa, pins: options.serverPins } };
  const agentId = options.agentId ?? agentIdFromHost(hostname());
  const wish = { agentId, ...(labels === undefined ? {} : { labels }) };
  const identity =
    enrollmentToken === undefined
      ? await askForIdentity(dataDir, { ...wish, hostname: hostname() }, asking(options, dial))
      : await enrollIdentity(dataDir, { token: enrollmentToken, ...wish }, (request) =>
          enroll(dial, request, AbortSignal.timeout(enrollTimeoutMs)),
        );
  log.info({ agent: identity.agentId, site: identity.site }, 'enrolled');
  return identity;
}

/** What the agent keeps of TLS, and how it gets a certificate where it has no session. */
async function tlsOf(
  options: ReferenceAgentOptions,
  { serverKeys }: AgentIdentity,
  serverNow: () => number | undefined,
): Promise<AgentTls> {
  const { url, dataDir, tlsCa: ca, serverPins: pins, log } = options;
  const store = await openTlsStore(dataDir, { signers: serverKeys, pins, ca, log });
  if (!url.startsWith('https:')) return { store };
  const dial = { url, tls: () => store.terms(Date.now(), serverNow()) };
  const signal = () => AbortSignal.timeout(enrollTimeoutMs);
  return {
    store,
    calls: {
      challenge: () => challengeRenewal(dial, signal()),
      renew: (request) => renewCertificate(dial, request, signal()),
    },
  };
}

function asking({ log, signal, onPending }: EnrollOptions, dial: Parameters<typeof enroll>[0]): AskingDeps {
  const stopped = signal ?? new AbortController().signal;
  return {
    async call(request) {
      try {
        return await requestEnrollment(
          dial,
          request,
          AbortSignal.any([stopped, AbortSignal.timeout(askTimeoutMs)]),
        );
      } catch (thrown) {
        if (stopped.aborted) throw notEnrolled();
        const error = ViworksError.from(thrown);
        // Our own time-out: the server may be there again later.
        throw error.code === 'cancelled' ? new ViworksError('deadline_exceeded', 'No answer.') : error;
      }
    },
    onPending(keyId) {
      const fingerprint = fingerprintOf(keyId);
      if (onPending !== undefined) onPending(fingerprint);
      else log.warn({ fingerprint }, 'waiting for an operator to approve this agent: viworks enrollments');
    },
    onRetry: (error, delayMs) =>
      log.warn(
        { code: error.code, reason: error.message, retryInMs: Math.round(delayMs) },
        'not enrolled yet',
      ),
    sleep: (ms) =>
      setTimeout(ms, undefined, { signal: stopped }).catch(() => {
        throw notEnrolled();
      }),
  };
}

const notEnrolled = () =>
  new ViworksError('cancelled', 'Stopped before an operator had decided; started again, it goes on asking.');

/** The host's name in the form that an identity may have. */
export function agentIdFromHost(name: string): string {
  const id = name
    .toLowerCase()
    .replace(/[^a-z0-9._-]+/g, '-')
    .slice(0, 63)
    .replace(/^[._-]+|[._-]+$/g, '');
  return id === '' ? 'agent' : id;
}
