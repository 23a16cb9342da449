import { constants } from 'node:fs';
import { access, mkdir } from 'node:fs/promises';
import { hostname } from 'node:os';
import { ViworksError } from '../errors.ts';
import { systemClock } from '../lib/clock.ts';
import type { Logger } from '../lib/logger.ts';
import { type Agent, type AgentState, createAgent } from './agent.ts';
import { lockDataFolder } from './data-lock.ts';
import { loadExecutors, software } from './executors/registry.ts';
import type { SealingChoice } from './handshake.ts';
import { readFacts } from './host.ts';
import { type AgentIdentity, enrolled, enrollIdentity, ledgerFile, loadIdentity } from './identity.ts';
import { openLedger } from './ledger.ts';
import { loadPlugins } from './plugins/load.ts';
import { createCollector } from './telemetry.ts';
import { createConnectDialer } from './transport/connect.ts';
import { enroll } from './transport/enroll.ts';
import { createFallbackDialer } from './transport/fallback.ts';
import { createWebSocketDialer } from './transport/websocket.ts';
import { openTrustStore } from './trust-store.ts';

/** The reference agent: the agent with every executor, on this machine. */
export interface ReferenceAgent {
  readonly agentId: string;
  readonly state: Agent['state'];
  /** See Agent.stop; closes the ledger too. */
  stop(graceMs: number): Promise<void>;
}

export interface ReferenceAgentOptions {
  /** Of the agent listener: `http://host:port` or `https://host:port`. */
  url: string;
  /** Identity, key and ledger. */
  dataDir: string;
  /** Needed where the data folder holds no identity. */
  enrollmentToken?: string | undefined;
  /** The identity to ask for at enrolment; made from the host's name if absent. */
  agentId?: string | undefined;
  labels?: Record<string, string> | undefined;
  /** PEM of the authorities to believe in place of the system's own. */
  tlsCa?: string | undefined;
  /** Where programs are looked for. */
  path?: string | undefined;
  /** Modules that run further verbs. */
  plugins?: readonly string[] | undefined;
  /** Whether envelopes are sealed: never, where the server does it too (the default), or else no session. */
  sealing?: SealingChoice | undefined;
  log: Logger;
  onState?: ((state: AgentState) => void) | undefined;
}

const enrollTimeoutMs = 15_000;

/**
 * Enrols where needed, and connects. Resolves when the agent has begun; its state tells of the connection.
 * @throws config_invalid, enrollment_refused, agent_exists, unavailable
 */
export async function startReferenceAgent(options: ReferenceAgentOptions): Promise<ReferenceAgent> {
  const { dataDir, path, log, onState } = options;
  const dial = { url: options.url, tls: { ca: options.tlsCa } };
  await makeFolder(dataDir);
  const unlock = await lockDataFolder(dataDir);
  try {
    const plugins = await loadPlugins(options.plugins ?? [], { log, path });
    const identity = await identityOf(options, dial);
    const [trustStore, ledger, executors, host] = await Promise.all([
      openTrustStore(dataDir),
      openLedger(ledgerFile(dataDir), { log }),
      loadExecutors(path, plugins),
      readFacts(),
    ]);
    const agent = createAgent({
      identity,
      dialer: createFallbackDialer([createConnectDialer(dial), createWebSocketDialer(dial)]),
      executors,
      ledger,
      trustStore,
      log,
      host,
      software,
      sealing: options.sealing,
      collect: createCollector({
        clock: systemClock,
        log,
        containers: executors.containerEngine !== '',
        path,
      }),
      ...(onState === undefined ? {} : { onState }),
    });
    agent.start();
    return {
      agentId: identity.agentId,
      get state() {
        return agent.state;
      },
      async stop(graceMs) {
        await agent.stop(graceMs);
        await ledger.close();
        await unlock();
      },
    };
  } catch (error) {
    await unlock();
    throw error;
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

async function identityOf(
  options: ReferenceAgentOptions,
  dial: Parameters<typeof enroll>[0],
): Promise<AgentIdentity> {
  const { dataDir, enrollmentToken, labels, log } = options;
  if (await enrolled(dataDir)) return loadIdentity(dataDir);
  if (enrollmentToken === undefined)
    throw new ViworksError('config_invalid', `${dataDir} holds no identity; give an enrolment token.`);
  const agentId = options.agentId ?? agentIdFromHost(hostname());
  const identity = await enrollIdentity(
    dataDir,
    { token: enrollmentToken, agentId, ...(labels === undefined ? {} : { labels }) },
    (request) => enroll(dial, request, AbortSignal.timeout(enrollTimeoutMs)),
  );
  log.info({ agent: identity.agentId, site: identity.site }, 'enrolled');
  return identity;
}

/** The host's name in the form that an identity may have. */
export function agentIdFromHost(name: string): string {
  const id = name
    .toLowerCase()
    .replace(/[^a-z0-9._-]+/g, '-')
    .slice(0, 63)
    .replace(/^[._-]+|[._-]+$/g, '');
  return id === '' ? 'agent' : id;
}
