import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { durationFromMs, timestampFromMs } from '@bufbuild/protobuf/wkt';
import { CommandBodySchema, CommandSchema } from '#gen/viworks/agent/v1/command_pb.js';
import type { Envelope } from '#gen/viworks/agent/v1/envelope_pb.js';
import {
  ChallengeSchema,
  ChallengeTermsSchema,
  type HelloOffer,
  HelloOfferSchema,
  type LimitsSchema,
  WelcomeSchema,
} from '#gen/viworks/agent/v1/handshake_pb.js';
import type { AgentIdentity } from '../../src/agent/identity.ts';
import { newId } from '../../src/lib/ids.ts';
import type { Connection, ConnectionHandler, Dialer } from '../../src/protocol/connection.ts';
import { decodeBinary, type EnvelopeKind, encodeBinary, envelope } from '../../src/protocol/envelope.ts';
import { generateKeyPair, type KeyPair, signBytes, verifyBytes } from '../../src/protocol/keys.ts';
import { challengeInput, proofInput } from '../../src/protocol/signed.ts';

/** A server that says what a test tells it to, over an in-memory connection that moves real bytes. */
export interface ScriptedServer {
  identity: AgentIdentity;
  dialer: Dialer;
  /** What CHALLENGE says of the time, milliseconds since 1970. */
  time: number;
  /** The next connection that the agent opens. */
  accept(): Promise<ScriptedConnection>;
  /** The same, with its handshake done. */
  open(limits?: MessageInitShape<typeof LimitsSchema>): Promise<OpenedSession>;
}

export type Body<K extends EnvelopeKind> =
  Extract<Envelope['body'], { case: K; value: unknown }> extends { value: infer Value } ? Value : never;
type SentBody = Parameters<typeof envelope>[0];

export interface ScriptedConnection {
  /** Waits for the next envelope that is not an acknowledgement only. */
  receive(): Promise<Envelope>;
  /** Waits for the next envelope of the kind, passing over others. */
  next<K extends EnvelopeKind>(kind: K): Promise<Body<K>>;
  /** Waits until the agent has acknowledged this much. */
  acknowledged(sequence: bigint): Promise<void>;
  /** Sends with the next sequence, unless another is given, and acknowledges all that came. */
  send(body: SentBody, sequence?: bigint): void;
  /** Off: what comes in is not acknowledged by what goes out. */
  acknowledge: boolean;
  /** Acknowledges all that came, alone. */
  acknowledgeNow(): void;
  sendRaw(message: Envelope): void;
  /** Resolves when the connection ended. */
  ended: Promise<void>;
  /** Ends it without a word. */
  cut(): void;
}

export interface OpenedSession {
  connection: ScriptedConnection;
  offer: HelloOffer;
}

export function createScriptedServer(): ScriptedServer {
  const serverKey = generateKeyPair();
  const agentKey = generateKeyPair();
  const identity: AgentIdentity = {
    agentId: 'agent-1',
    incarnation: 1,
    site: 'test',
    key: agentKey,
    serverKeys: [{ keyId: serverKey.keyId, publicKey: serverKey.publicKey, notAfter: undefined }],
  };
  const connections = createQueue<ScriptedConnection>();
  let epoch = 0n;
  const accept = () => connections.shift();
  const server: ScriptedServer = {
    identity,
    time: Date.UTC(2026, 0, 1),
    dialer: {
      transport: 'connect',
      dial(handler) {
        const { agentSide, serverSide } = createPair(handler);
        connections.push(serverSide);
        return Promise.resolve(agentSide);
      },
    },
    accept,
    async open(limits) {
      const connection = await accept();
      const hello = await connection.next('hello');
      const { challenge, terms } = challengeFor(hello.offer, serverKey, server.time);
      connection.send({ case: 'challenge', value: challenge }, 0n);
      const proof = await connection.next('proof');
      const input = proofInput(hello.offer, terms, challenge.signature, proof.statement);
      if (!verifyBytes(agentKey.publicKey, input, proof.signature)) throw new Error('the proof is wrong');
      epoch += 1n;
      const value = create(WelcomeSchema, {
        sessionId: newId(),
        epoch,
        limits: {
          heartbeatInterval: durationFromMs(10_000),
          telemetryInterval: durationFromMs(60_000),
          reconnectBase: durationFromMs(1_000),
          reconnectMaximum: durationFromMs(60_000),
          telemetryCredit: 2,
          ...limits,
        },
      });
      connection.send({ case: 'welcome', value }, 0n);
      return { connection, offer: fromBinary(HelloOfferSchema, hello.offer) };
    },
  };
  return server;
}

export function challengeFor(offer: Uint8Array, key: KeyPair, serverTime = Date.UTC(2026, 0, 1)) {
  const terms = toBinary(
    ChallengeTermsSchema,
    create(ChallengeTermsSchema, {
      nonce: new Uint8Array(32).fill(7),
      serverTime: timestampFromMs(serverTime),
      protocolVersion: 1,
    }),
  );
  const signature = signBytes(key, challengeInput(offer, terms));
  return { terms, challenge: create(ChallengeSchema, { terms, signature, keyId: key.keyId }) };
}

/** The body of a COMMAND for the scripted server's agent. */
export function commandFor(init: MessageInitShape<typeof CommandBodySchema>): SentBody {
  const body = create(CommandBodySchema, {
    agentId: 'agent-1',
    incarnation: 1,
    executionId: newId(),
    commandId: newId(),
    attempt: 1,
    verb: 'system.info',
    timeout: durationFromMs(5_000),
    ...init,
  });
  return { case: 'command', value: create(CommandSchema, { body: toBinary(CommandBodySchema, body) }) };
}

function createPair(handler: ConnectionHandler) {
  const envelopes = createQueue<Envelope>();
  const { promise: ended, resolve: end } = Promise.withResolvers<void>();
  const waiting: { sequence: bigint; resolve: () => void }[] = [];
  let closed = false;
  let sent = 0n;
  let received = 0n;
  let agentAcknowledged = 0n;

  function close(): void {
    if (closed) return;
    closed = true;
    setImmediate(() => {
      handler.onClose(undefined);
      end();
    });
  }
  function toServer(message: Envelope): void {
    if (message.sequence > 0n) received = message.sequence;
    if (message.acknowledged > agentAcknowledged) agentAcknowledged = message.acknowledged;
    for (const waiter of waiting.splice(0)) {
      if (waiter.sequence <= agentAcknowledged) waiter.resolve();
      else waiting.push(waiter);
    }
    if (message.body.case !== undefined) envelopes.push(message);
  }
  const agentSide: Connection = {
    peer: { transport: 'connect', encoding: 'binary', remoteAddress: '', tls: false },
    send(message) {
      if (closed) return;
      const bytes = encodeBinary(message);
      setImmediate(() => toServer(decodeBinary(bytes)));
    },
    bufferedBytes: 0,
    receivedBytes: 0,
    pause() {},
    resume() {},
    close,
    destroy: close,
  };
  function sendRaw(message: Envelope): void {
    const bytes = encodeBinary(message);
    setImmediate(() => {
      if (!closed) handler.onEnvelope(decodeBinary(bytes));
    });
  }
  const serverSide: ScriptedConnection = {
    receive: () => envelopes.shift(),
    async next(kind) {
      for (;;) {
        const { body } = await envelopes.shift();
        if (body.case === kind) return body.value as Body<typeof kind>;
      }
    },
    acknowledged(sequence) {
      if (sequence <= agentAcknowledged) return Promise.resolve();
      return new Promise((resolve) => waiting.push({ sequence, resolve }));
    },
    send(body, sequence) {
      if (sequence === undefined) sent += 1n;
      const message = envelope(body, 0);
      message.sequence = sequence ?? sent;
      if (serverSide.acknowledge) message.acknowledged = received;
      sendRaw(message);
    },
    acknowledge: true,
    acknowledgeNow() {
      const message = envelope({ case: 'heartbeat', value: {} }, 0);
      message.acknowledged = received;
      sendRaw(message);
    },
    sendRaw,
    ended,
    cut: close,
  };
  return { agentSide, serverSide };
}

/** Things that come before or after somebody waits for them. */
export function createQueue<T>() {
  const items: T[] = [];
  const waiters: ((item: T) => void)[] = [];
  return {
    push(item: T): void {
      const waiter = waiters.shift();
      if (waiter === undefined) items.push(item);
      else waiter(item);
    },
    shift(): Promise<T> {
      const item = items.shift();
      return item === undefined ? new Promise((resolve) => waiters.push(resolve)) : Promise.resolve(item);
    },
  };
}
