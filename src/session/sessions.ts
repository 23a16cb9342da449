import { create } from '@bufbuild/protobuf';
import { durationFromMs, timestampFromMs } from '@bufbuild/protobuf/wkt';
import type { Envelope } from '#gen/viworks/agent/v1/envelope_pb.js';
import { type Hello, type Proof, SessionTokenSchema } from '#gen/viworks/agent/v1/handshake_pb.js';
import { TelemetryTermsSchema } from '#gen/viworks/agent/v1/telemetry_pb.js';
import type { Bus } from '../bus/bus.ts';
import type { CommandEngine } from '../commands/engine.ts';
import { ViworksError } from '../errors.ts';
import type { AgentAuthentication, OpenChallenge } from '../identity/authentication.ts';
import type { CommandKeys } from '../identity/command-keys.ts';
import type { SessionTokens } from '../identity/session-tokens.ts';
import type { Clock } from '../lib/clock.ts';
import { defined } from '../lib/defined.ts';
import { newId } from '../lib/ids.ts';
import type { Logger } from '../lib/logger.ts';
import type { Metrics } from '../lib/metrics.ts';
import type { AcceptConnection } from '../protocol/connection.ts';
import { envelope } from '../protocol/envelope.ts';
import { wireLimits } from '../protocol/limits.ts';
import {
  type SealedConnection,
  type SealingLimits,
  sealConnection,
  sealedEnvelopeBytes,
} from '../protocol/sealing/connection.ts';
import { errorBody } from '../protocol/wire-errors.ts';
import type { Presence } from '../registry/presence.ts';
import { barred, type Standing } from '../registry/standing.ts';
import type { TelemetryIngest } from '../telemetry/ingest.ts';
import type { BudgetLimits } from './budget.ts';
import { certificateFacts, certificatesOf, type IssuingCertificates } from './certificates.ts';
import { createCommandSigning } from './command-signing.ts';
import { accountOf, generationOf, openingOf, type SessionLimits, welcome } from './handshake.ts';
import { livenessOf } from './heartbeat.ts';
import { type Peer, sendBack } from './peer.ts';
import { createSession, type Session } from './session.ts';

/**
 * All sessions of this instance: from a new connection through the handshake to the end, one for each
 * agent. A newer session of an agent takes over from the older one, by the epoch that the database gave it.
 */
export interface Sessions {
  accept: AcceptConnection;
  readonly open: number;
  start(): void;
  /** From now on agents are asked for a sample this often: those that are here at once, others when they come. */
  setTelemetryInterval(intervalMs: number): void;
  /** Tells every agent to come back, spread over the window; resolves when their connections have ended. */
  drain(windowMs: number): Promise<void>;
}

export interface SessionsDeps {
  bus: Bus;
  authentication: AgentAuthentication;
  sessionTokens: SessionTokens;
  commandKeys: Pick<CommandKeys, 'message' | 'onChange' | 'sign'>;
  /** Without them, agents have no certificates. */
  certificates?: IssuingCertificates | undefined;
  presence: Presence;
  standing: Standing;
  engine: CommandEngine;
  telemetry: TelemetryIngest;
  clock: Clock;
  log: Logger;
  metrics: Metrics;
  limits: SessionLimits;
  /** What one agent may say; absent: any number. */
  budget?: BudgetLimits;
  /** When the keys of sealed sessions change. */
  sealing?: SealingLimits;
}

export function createSessions(deps: SessionsDeps): Sessions {
  const { bus, authentication, sessionTokens, commandKeys, presence, standing, engine } = deps;
  const { clock, log, metrics, certificates } = deps;
  let { limits } = deps;
  const signing = createCommandSigning({ signer: commandKeys, log });
  /** Every connection, whether it has a session or not. */
  const peers = new Set<Peer>();
  const byAgent = new Map<string, Peer>();
  let timer: NodeJS.Timeout | undefined;
  let offKeys: (() => void) | undefined;
  let offCertificates: (() => void) | undefined;
  let toldTrust: bigint | undefined;
  let draining = false;
  let emptied: (() => void) | undefined;

  const accept: AcceptConnection = (connection, settled) => {
    let phase: 'hello' | 'challenging' | 'proof' | 'opening' | 'open' | 'closed' = 'hello';
    let challenge: OpenChallenge | undefined;
    let sealed: SealedConnection | undefined;
    let unsubscribe: (() => void)[] = [];
    const connections = metrics.agentConnections.labels(connection.peer.transport);
    const peer: Peer = {
      connection,
      since: clock.monotonic(),
      session: undefined,
      welcomed: false,
      degraded: false,
      renewTokenAt: Number.POSITIVE_INFINITY,
      certificate: undefined,
      end,
    };
    peers.add(peer);
    connections.inc();

    function end(error: ViworksError | undefined): void {
      if (phase === 'closed') return;
      if (error === undefined || error.code === 'heartbeat_missed') {
        // A peer that is silent does not read a farewell either.
        if (error === undefined) peer.connection.close();
        else peer.connection.destroy();
      } else {
        const value = errorBody(error, true, 0n);
        if (phase !== 'open') connection.send(envelope({ case: 'error', value }, clock.now()));
        else peer.session?.send({ case: 'error', value });
        peer.connection.close(error);
      }
      closed(error);
    }

    function closed(error: ViworksError | undefined): void {
      if (phase === 'closed') return;
      if (phase === 'proof' && challenge !== undefined) authentication.abandon(challenge);
      phase = 'closed';
      settled();
      for (const off of unsubscribe) off();
      peers.delete(peer);
      connections.dec();
      if (peers.size === 0) emptied?.();
      const { session } = peer;
      if (session === undefined) return;
      const { agentId, epoch } = session.link;
      sessionTokens.end(session.sessionId);
      engine.links.remove(session.link);
      if (byAgent.get(agentId) === peer) byAgent.delete(agentId);
      const at = new Date(clock.now());
      const reason = error?.code ?? (draining ? 'draining' : 'closed by the agent');
      presence.changed({ agentId, epoch, presence: 'offline', seenAt: at });
      presence.ended({ sessionId: session.sessionId, at, reason });
      if (reason === 'internal') log.error({ agentId, epoch, err: error }, 'session ended by a defect');
      else log.info({ agentId, epoch, reason }, 'session ended');
    }

    async function openSession(asked: OpenChallenge, proof: Proof): Promise<void> {
      const authenticated = await authentication.verify(asked, proof, connection.peer);
      const { publicKey, secrets, acceptedKeyId, executions } = authenticated;
      peer.certificate = authenticated.certificate;
      const { offer } = asked;
      const { agentId, incarnation } = offer;
      const name = { agentId, incarnation };
      // A copy: what was received is one buffer with all of the offer.
      const bootId = new Uint8Array(offer.bootId);
      const sessionId = newId();
      const startedAt = new Date(clock.now());
      // First, so that an enrolment anew is heard of however the answers of the database cross.
      unsubscribe = [
        bus.subscribe('agent.enrolled', agentId, () => end(superseded())),
        bus.subscribe('agent.barred', agentId, () => end(barred())),
        bus.subscribe('agent.key', agentId, () => sendBack(peer, 'a new key is wanted')),
      ];
      const { keysSince } = authentication;
      const opened = await presence.open(
        openingOf(offer, { sessionId, startedAt, keysSince: keysSince(), ...connection.peer }),
      );
      // It may have closed before there was anything to take back.
      if (!peers.has(peer)) for (const off of unsubscribe) off();
      if (opened === undefined) {
        throw await standing.refusal({ agentId, incarnation, generation: generationOf(offer) });
      }
      const { epoch } = opened;
      const { capabilities, executionCredit: window } = offer;
      const facts = { ...opened, ...name, sessionId, bootId, capabilities, window };
      if (secrets !== undefined) {
        sealed = sealConnection(connection, {
          role: 'server',
          secrets,
          clock,
          limits: deps.sealing,
          deliver,
        });
        peer.connection = sealed;
      }
      const ofAgent = certificates && certificatesOf(certificates, name, peer);
      const own = { ...deps, certificates: ofAgent, signing, log };
      const session = createSession(own, facts, peer.connection, end);
      // The older session ends before anything is decided, so that nothing is handed to it any more.
      if (!takeOver(peer, session)) throw superseded();
      const cancels = await engine.reconcile(session.link, accountOf(executions));
      if (!peers.has(peer)) return;
      phase = 'open';
      const keys = { rotateKey: opened.rotateKey && acceptedKeyId === undefined, acceptedKeyId };
      settled();
      const token = sessionTokens.issue({ sessionId, agentId, epoch, publicKey });
      peer.renewTokenAt = token.renewAt;
      const confirmation = secrets?.confirmations.server ?? new Uint8Array(0);
      const { encoding } = connection.peer;
      const maximumMessageBytes =
        sealed === undefined ? wireLimits.messageBytes : sealedEnvelopeBytes(encoding);
      const signedCommandKeys = commandKeys.message;
      const told = { sessionId, epoch, signedCommandKeys, token, confirmation, maximumMessageBytes };
      const more = certificates && certificateFacts(certificates, offer);
      const value = { ...welcome(told, limits), ...defined(keys), ...more };
      peer.connection.send(envelope({ case: 'welcome', value }, clock.now()));
      sealed?.bind(sessionId, BigInt(epoch));
      peer.welcomed = true;
      for (const { executionId, attempt, reason } of cancels)
        session.link.cancel(executionId, attempt, reason);
      engine.links.put(session.link);
      engine.dispatcher.wake(agentId);
      const { transport } = connection.peer;
      log.info({ agentId, epoch, transport, sealed: sealed !== undefined }, 'session opened');
      if (draining) session.drain('the server is stopping', 1000);
    }

    async function challengeAgent(hello: Hello): Promise<void> {
      const made = await authentication.challenge(hello, connection.peer.remoteAddress);
      if (phase !== 'challenging') return authentication.abandon(made);
      challenge = made;
      phase = 'proof';
      connection.send(envelope({ case: 'challenge', value: made.message }, clock.now()));
    }

    function receive(message: Envelope): void {
      const { body } = message;
      if (phase === 'open') return sealed === undefined ? deliver(message) : sealed.receive(message);
      count(message);
      if (phase === 'hello' && body.case === 'hello') {
        phase = 'challenging';
        challengeAgent(body.value).catch((error: unknown) => end(report(error)));
        return;
      }
      if (phase === 'proof' && body.case === 'proof' && challenge !== undefined) {
        phase = 'opening';
        const asked = challenge;
        // An idle session is as small as it can be.
        challenge = undefined;
        openSession(asked, body.value).catch((error: unknown) => end(report(error)));
        return;
      }
      throw new ViworksError(
        'protocol_violation',
        `${body.case ?? 'an empty envelope'}: ${phase} was expected.`,
      );
    }

    function report(error: unknown): ViworksError {
      const known = ViworksError.from(error);
      if (known.code === 'internal') log.error({ err: known, cause: known.cause }, 'a session failed');
      return known;
    }

    function count({ body }: Envelope): void {
      metrics.envelopes.inc({ direction: 'in', kind: body.case ?? 'acknowledgement' });
    }

    /** What the agent says in its session. */
    function deliver(message: Envelope): void {
      if (phase === 'closed') return;
      count(message);
      try {
        peer.session?.receive(message);
      } catch (error) {
        end(report(error));
      }
    }

    return {
      onEnvelope(message) {
        if (phase === 'closed') return;
        try {
          receive(message);
        } catch (error) {
          end(report(error));
        }
      },
      onClose: closed,
    };
  };

  /** Puts the peer in the place of an older session of its agent; false if a newer one is there. */
  function takeOver(peer: Peer, session: Session): boolean {
    const other = byAgent.get(session.link.agentId);
    if (other?.session !== undefined && other.session.link.epoch > session.link.epoch) return false;
    if (!peers.has(peer)) {
      // It broke while the database was asked; the books must not show it as online.
      const { agentId, epoch } = session.link;
      const at = new Date(clock.now());
      presence.changed({ agentId, epoch, presence: 'offline', seenAt: at });
      presence.ended({ sessionId: session.sessionId, at, reason: 'connection_lost' });
      // The database has fenced the older one off: it must not look alive.
      other?.end(superseded());
      return true;
    }
    peer.session = session;
    byAgent.set(session.link.agentId, peer);
    other?.end(superseded());
    return true;
  }

  function renewToken(peer: Peer, session: Session): void {
    const granted = sessionTokens.renew(session.sessionId);
    peer.renewTokenAt = granted?.renewAt ?? Number.POSITIVE_INFINITY;
    if (granted === undefined) return;
    const { token, expiresAt } = granted;
    const value = create(SessionTokenSchema, { token, expiresAt: timestampFromMs(expiresAt) });
    session.send({ case: 'sessionToken', value });
  }

  /** Every open session hears of the new keys before the first command that is signed with them. */
  function tellKeys(): void {
    for (const { session, welcomed } of peers)
      if (welcomed) session?.send({ case: 'commandKeys', value: commandKeys.message });
  }

  /** Every open session hears of new trust, and one whose certificate counts no more ends. */
  function tellTrust(): void {
    const { trust } = certificates ?? {};
    const isNew = trust !== undefined && trust.version !== toldTrust;
    toldTrust = trust?.version;
    for (const peer of [...peers]) {
      if (isNew && peer.welcomed) peer.session?.send({ case: 'tlsTrust', value: trust.message });
      checkCertificate(peer);
    }
  }

  function checkCertificate(peer: Peer): void {
    if (peer.session === undefined || certificates?.holds(peer.certificate) !== false) return;
    sendBack(peer, 'its certificate counts no more');
  }

  /** One look over everybody instead of a timer for each. */
  function look(): void {
    const now = clock.monotonic();
    for (const peer of peers) {
      if (peer.session === undefined) {
        if (now - peer.since > wireLimits.handshakeTimeoutMs) {
          peer.end(new ViworksError('deadline_exceeded', 'The handshake took too long.'));
        }
        continue;
      }
      const { agentId, epoch } = peer.session.link;
      const liveness = livenessOf(now - peer.session.heardAt, limits.heartbeatIntervalMs);
      if (liveness === 'dead') {
        peer.end(new ViworksError('heartbeat_missed', 'Three heartbeats were missed.'));
      } else if ((liveness === 'degraded') !== peer.degraded) {
        peer.degraded = liveness === 'degraded';
        presence.changed({ agentId, epoch, presence: liveness, seenAt: new Date(clock.now()) });
      }
      if (peer.welcomed) peer.session.look();
      if (now >= peer.renewTokenAt) renewToken(peer, peer.session);
      checkCertificate(peer);
    }
  }

  return {
    accept,
    get open() {
      return byAgent.size;
    },
    start() {
      offKeys ??= commandKeys.onChange(tellKeys);
      toldTrust = certificates?.trust?.version;
      offCertificates ??= certificates?.onChange(tellTrust);
      timer ??= setInterval(look, Math.min(1000, limits.heartbeatIntervalMs / 4));
    },
    setTelemetryInterval(telemetryIntervalMs) {
      if (telemetryIntervalMs === limits.telemetryIntervalMs) return;
      limits = { ...limits, telemetryIntervalMs };
      const value = create(TelemetryTermsSchema, { interval: durationFromMs(telemetryIntervalMs) });
      for (const { session, welcomed } of peers)
        if (welcomed) session?.send({ case: 'telemetryTerms', value });
    },
    async drain(windowMs) {
      draining = true;
      clearInterval(timer);
      offKeys?.();
      offCertificates?.();
      const empty = new Promise<void>((resolve) => {
        emptied = resolve;
        if (peers.size === 0) resolve();
      });
      for (const peer of [...peers]) {
        if (peer.welcomed)
          peer.session?.drain('the server is stopping', Math.round(Math.random() * windowMs));
        peer.end(peer.welcomed ? undefined : new ViworksError('draining', 'The server is stopping.'));
      }
      await empty;
    },
  };
}

const superseded = () => new ViworksError('superseded', 'A newer session of this agent took over.');
