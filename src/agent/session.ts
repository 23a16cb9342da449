import type { AgentCertificate, TlsTrust } from '#gen/viworks/agent/v1/certificate_pb.js';
import type { Cancel, Command } from '#gen/viworks/agent/v1/command_pb.js';
import type { Envelope } from '#gen/viworks/agent/v1/envelope_pb.js';
import type { Error as ErrorBody } from '#gen/viworks/agent/v1/flow_pb.js';
import type { Challenge, CommandKeys, Welcome } from '#gen/viworks/agent/v1/handshake_pb.js';
import { ViworksError } from '../errors.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/logger.ts';
import type { Connection, ConnectionHandler } from '../protocol/connection.ts';
import { acknowledgement, envelope } from '../protocol/envelope.ts';
import type { KeyPair } from '../protocol/keys.ts';
import { wireLimits } from '../protocol/limits.ts';
import { type SealedConnection, type SealingLimits, sealConnection } from '../protocol/sealing/connection.ts';
import { type Ephemeral, newEphemeral, sameBytes } from '../protocol/sealing/primitives.ts';
import type { SessionSecrets } from '../protocol/sealing/secrets.ts';
import { createInbound, createOutbound } from '../protocol/sequence.ts';
import { errorBody, errorOf, positiveMs } from '../protocol/wire-errors.ts';
import {
  agreementOf,
  checkChallenge,
  type HelloFacts,
  type SealingChoice,
  writeOffer,
  writeProof,
} from './handshake.ts';
import type { AgentIdentity } from './identity.ts';
import type { SessionEnd } from './reconnect.ts';
import { defaultTelemetryIntervalMs, type SessionTerms, termsOf } from './session-terms.ts';
import type { Timers } from './timers.ts';

/**
 * A session is the agent's authenticated conversation with the control plane over one connection: the
 * handshake, the numbering and acknowledgement of envelopes, and the heartbeat. What the envelopes ask for is
 * the business of its owner.
 */
export interface Session {
  /** For the dialer. */
  readonly handler: ConnectionHandler;
  /** The connection is there: says HELLO. */
  begin(connection: Connection): void;
  /** Sends an envelope that needs acknowledgement; `delivered` is called when it has it. False when not open. */
  send(body: OutgoingBody, delivered?: () => void): boolean;
  readonly open: boolean;
  /** Bytes that the server has not taken yet. */
  readonly bufferedBytes: number;
  /** Tells the server that the epoch of this session is stored. */
  stored(epoch: bigint): void;
  /**
   * Lets what was sent leave, and ends.
   * @param reconnectMs connect again after that, and not as after a failure
   */
  close(reconnectMs?: number): void;
}

export type OutgoingBody = Parameters<typeof envelope>[0];

export interface SessionDeps {
  identity: AgentIdentity;
  /** See generation.ts. */
  generation: bigint;
  /** A key that is to take the place of the identity's. */
  nextKey?: KeyPair | undefined;
  /** Asked when the connection is there, so that the account of executions is of that moment. */
  hello(): HelloFacts;
  /** Whether envelopes are sealed: never, where the server does it too, or else no session. */
  sealing?: SealingChoice | undefined;
  /** When the keys of a sealed session change. */
  sealingLimits?: SealingLimits | undefined;
  clock: Clock;
  timers: Timers;
  log: Logger;
  /** Executions that run now, for HEARTBEAT. */
  running(): number;
  /** The server's time, milliseconds since 1970, at this moment. */
  onServerTime(serverTime: number): void;
  /** Before onOpen, and when they change. @throws authentication_failed */
  onCommandKeys(keys: CommandKeys): void;
  /** Before onOpen, and when it changes. @throws authentication_failed */
  onTlsTrust?(trust: TlsTrust): void;
  onCertificate?(certificate: AgentCertificate): void;
  onOpen(terms: SessionTerms): void;
  /** The envelope is acknowledged when the promise is fulfilled; a ViworksError refuses it. */
  onCommand(command: Command): Promise<void>;
  onCancel(cancel: Cancel): Promise<void>;
  onTelemetryCredit(credit: number): void;
  /** Samples are wanted this often, in milliseconds. */
  onTelemetryInterval(intervalMs: number): void;
  /** Exactly once. */
  onEnd(end: SessionEnd): void;
}

const missedHeartbeats = 3;
/** A connection that does not close in this time is destroyed. */
const closeTimeoutMs = 2_000;

type Phase = 'connecting' | 'hello' | 'proof' | 'open' | 'ended';

export function createSession(deps: SessionDeps): Session {
  const { identity, clock, timers, log, sealing = 'on' } = deps;
  let offer: Uint8Array = new Uint8Array();
  const inbound = createInbound();
  const outbound = createOutbound();
  let phase: Phase = 'connecting';
  let connection: Connection | undefined;
  /** The connection from PROOF on, where it is sealed. */
  let sealed: SealedConnection | undefined;
  let ephemeral: Ephemeral | undefined;
  let secrets: SessionSecrets | undefined;
  let acknowledged = 0n;
  let acknowledgeSoon = false;
  let openedAt: number | undefined;
  let unanswered = 0;
  let offTimer: (() => void) | undefined;
  let drainMs: number | undefined;
  let storedEpoch = 0n;
  /** Why we, or the server's ERROR, ended it; what the connection says afterwards counts less. */
  let cause: ViworksError | undefined;

  function transmit(body: OutgoingBody, sequence: bigint): void {
    const message = envelope(body, clock.now());
    message.sequence = sequence;
    message.acknowledged = inbound.handled;
    acknowledged = inbound.handled;
    connection?.send(message);
  }

  /** An acknowledgement rides on whatever else leaves in this tick, and goes alone if nothing does. */
  function acknowledgeInTick(): void {
    if (acknowledgeSoon) return;
    acknowledgeSoon = true;
    setImmediate(() => {
      acknowledgeSoon = false;
      acknowledgeNow();
    });
  }
  function acknowledgeNow(): void {
    if (phase !== 'open' || inbound.handled === acknowledged) return;
    acknowledged = inbound.handled;
    connection?.send(acknowledgement(acknowledged));
  }

  /** Ends the session for a reason of ours, which the server is told. */
  function fail(error: ViworksError): void {
    if (phase === 'ended') return;
    cause ??= error;
    const sequence = phase === 'open' ? outbound.next(undefined) : 0n;
    // Whoever cannot prove what it is learns nothing of why.
    const told =
      error.code === 'authentication_failed'
        ? new ViworksError('authentication_failed', 'The server could not be authenticated.')
        : error;
    transmit({ case: 'error', value: errorBody(told, true, 0n) }, sequence);
    end(told);
  }

  /** A peer that does not end in time is not waited for. */
  function end(error?: ViworksError): void {
    offTimer?.();
    offTimer = timers.after(closeTimeoutMs, () => connection?.destroy());
    connection?.close(error);
  }

  function onHandshake(message: Envelope): void {
    const { body } = message;
    if (body.case === 'error') onError(body.value);
    else if (message.sequence !== 0n) throw violation('An envelope of the handshake has a sequence.');
    else if (phase === 'hello' && body.case === 'challenge') onChallenge(body.value);
    else if (phase === 'proof' && body.case === 'welcome') onWelcome(body.value);
    else if (body.case !== undefined) throw violation(`${body.case} does not belong here in the handshake.`);
  }

  function onChallenge(challenge: Challenge): void {
    const { serverTime, ephemeralKey } = checkChallenge(identity, offer, challenge, clock.now());
    const agreement = agreementOf(sealing, ephemeral, ephemeralKey);
    deps.onServerTime(serverTime);
    phase = 'proof';
    const tlsExporter = connection?.peer.tlsExporter;
    const made = writeProof(identity, {
      offer,
      challenge,
      now: clock.now(),
      next: deps.nextKey,
      tlsExporter,
      agreement,
    });
    transmit({ case: 'proof', value: made.proof }, 0n);
    ephemeral = undefined;
    secrets = made.secrets;
    if (secrets === undefined || connection === undefined) return;
    sealed = sealConnection(connection, {
      role: 'agent',
      secrets,
      clock,
      limits: deps.sealingLimits,
      deliver,
    });
  }

  function onWelcome(welcome: Welcome): void {
    if (sealed !== undefined) {
      if (!sameBytes(secrets?.confirmations.server ?? new Uint8Array(0), welcome.confirmation))
        throw new ViworksError('authentication_failed', 'The server does not have the agreed keys.');
      sealed.bind(welcome.sessionId, welcome.epoch);
      connection = sealed;
    }
    if (welcome.signedCommandKeys !== undefined) deps.onCommandKeys(welcome.signedCommandKeys);
    if (welcome.tlsTrust !== undefined) deps.onTlsTrust?.(welcome.tlsTrust);
    offTimer?.();
    phase = 'open';
    openedAt = clock.monotonic();
    beat(positiveMs(welcome.limits?.heartbeatInterval, 30_000));
    deps.onOpen(termsOf(welcome));
  }

  /** Anything from the server shows that it is there; silence over three heartbeats shows that it is not. */
  function beat(intervalMs: number): void {
    offTimer = timers.after(intervalMs, () => {
      if (unanswered >= missedHeartbeats) {
        cause ??= new ViworksError('heartbeat_missed', 'The server does not answer heartbeats.');
        connection?.destroy();
        return;
      }
      unanswered += 1;
      transmit({ case: 'heartbeat', value: { running: deps.running(), generation: storedEpoch } }, 0n);
      beat(intervalMs);
    });
  }

  function onOpenEnvelope(message: Envelope): void {
    unanswered = 0;
    const { sequence, body } = message;
    if (sequence !== 0n && !inbound.receive(sequence))
      throw violation(`Sequence ${sequence} leaves a gap or is a repetition.`);
    if (!outbound.acknowledge(message.acknowledged))
      throw violation('The server acknowledges what was never sent.');
    switch (body.case) {
      case 'command':
      case 'cancel':
        if (sequence === 0n) throw violation(`A ${body.case} needs a sequence.`);
        void answer(
          sequence,
          body.case === 'command' ? deps.onCommand(body.value) : deps.onCancel(body.value),
        );
        return;
      case 'credit':
        if (body.value.telemetry !== undefined) deps.onTelemetryCredit(body.value.telemetry);
        break;
      case 'error':
        onError(body.value);
        break;
      case 'drain':
        onDrain(body.value.reason, positiveMs(body.value.reconnectAfter, 0), sequence);
        return;
      case 'commandKeys':
        deps.onCommandKeys(body.value);
        break;
      case 'tlsTrust':
        deps.onTlsTrust?.(body.value);
        break;
      case 'agentCertificate':
        deps.onCertificate?.(body.value);
        break;
      case 'telemetryTerms':
        deps.onTelemetryInterval(positiveMs(body.value.interval, defaultTelemetryIntervalMs));
        break;
      case 'heartbeat':
      case undefined:
        break;
      case 'channelMessage':
      case 'policy':
      case 'sessionToken':
        log.debug({ kind: body.case }, 'this agent does not use envelopes of this kind');
        break;
      case 'hello':
      case 'challenge':
      case 'proof':
      case 'welcome':
      case 'commandUpdate':
      case 'result':
      case 'telemetry':
      case 'sealed':
      case 'tlsTrustStored':
      case 'certificateRequest':
        throw violation(`The server does not send ${body.case} in an open session.`);
    }
    if (sequence !== 0n) settle(sequence);
  }

  async function answer(sequence: bigint, work: Promise<void>): Promise<void> {
    try {
      await work;
    } catch (thrown) {
      const error = ViworksError.from(thrown);
      log.warn({ err: thrown, code: error.code }, 'an envelope of the server is refused');
      if (phase === 'open') send({ case: 'error', value: errorBody(error, false, sequence) });
    }
    settle(sequence);
  }

  function settle(sequence: bigint): void {
    inbound.done(sequence);
    acknowledgeInTick();
  }

  function onDrain(reason: string, afterMs: number, sequence: bigint): void {
    log.info({ reason, afterMs }, 'the server is going away');
    drainMs = afterMs;
    if (sequence !== 0n) inbound.done(sequence);
    acknowledgeNow();
    end();
  }

  function onError(error: ErrorBody): void {
    const received = errorOf(error);
    if (!error.fatal && phase === 'open') {
      log.warn(
        { code: error.code, message: error.message, sequence: error.sequence.toString() },
        'the server refuses an envelope',
      );
      return;
    }
    cause ??= received;
    end();
  }

  function send(body: OutgoingBody, delivered?: () => void): boolean {
    if (phase !== 'open') return false;
    transmit(body, outbound.next(delivered));
    return true;
  }

  function deliver(message: Envelope): void {
    if (phase === 'ended' || cause !== undefined || drainMs !== undefined) return;
    try {
      if (phase === 'open') onOpenEnvelope(message);
      else onHandshake(message);
    } catch (thrown) {
      fail(ViworksError.from(thrown));
    }
  }

  return {
    handler: {
      onEnvelope(message) {
        if (sealed === undefined) return deliver(message);
        // Whoever is refused has no session, and so nothing to seal with.
        if (phase === 'proof' && message.body.case === 'error') return deliver(message);
        try {
          sealed.receive(message);
        } catch (thrown) {
          fail(ViworksError.from(thrown));
        }
      },
      onClose(error) {
        if (phase === 'ended') return;
        phase = 'ended';
        offTimer?.();
        deps.onEnd({
          error: cause ?? error,
          drainMs,
          openForMs: openedAt === undefined ? 0 : clock.monotonic() - openedAt,
        });
      },
    },
    begin(opened) {
      if (phase !== 'connecting') return;
      connection = opened;
      phase = 'hello';
      ephemeral = sealing === 'off' ? undefined : newEphemeral();
      offer = writeOffer(identity, deps.hello(), deps.generation, ephemeral);
      offTimer = timers.after(wireLimits.handshakeTimeoutMs, () => {
        cause ??= new ViworksError('deadline_exceeded', 'The server did not finish the handshake in time.');
        connection?.destroy();
      });
      transmit({ case: 'hello', value: { offer } }, 0n);
    },
    send,
    get open() {
      return phase === 'open';
    },
    get bufferedBytes() {
      return connection?.bufferedBytes ?? 0;
    },
    stored(epoch) {
      storedEpoch = epoch;
      if (phase === 'open')
        transmit({ case: 'heartbeat', value: { running: deps.running(), generation: epoch } }, 0n);
    },
    close(reconnectMs) {
      if (phase === 'ended' || connection === undefined) return;
      drainMs ??= reconnectMs;
      acknowledgeNow();
      end();
    },
  };
}

const violation = (message: string) => new ViworksError('protocol_violation', message);
