import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { onTestFinished } from 'vitest';
import { EnrollRequestSchema } from '#gen/viworks/agent/v1/agent_service_pb.js';
import {
  ArgsEncoding,
  type CommandBody,
  CommandBodySchema,
  CommandUpdateSchema,
  Result_Outcome as Outcome,
  ResultSchema,
} from '#gen/viworks/agent/v1/command_pb.js';
import { type Envelope, EnvelopeSchema } from '#gen/viworks/agent/v1/envelope_pb.js';
import { HeartbeatSchema } from '#gen/viworks/agent/v1/flow_pb.js';
import {
  type Challenge,
  HelloOfferSchema,
  HelloSchema,
  ExecutionAccount_Phase as Phase,
  ProofSchema,
  ProofStatementSchema,
  type Welcome,
} from '#gen/viworks/agent/v1/handshake_pb.js';
import { ExecResultSchema } from '#gen/viworks/verbs/v1/system_pb.js';
import { createConnectDialer } from '../../src/agent/transport/connect.ts';
import type { TlsSource } from '../../src/agent/transport/tls.ts';
import { createWebSocketDialer } from '../../src/agent/transport/websocket.ts';
import type { ViworksError } from '../../src/errors.ts';
import { newIdBytes } from '../../src/lib/ids.ts';
import type { EnvelopeKind } from '../../src/protocol/envelope.ts';
import { generateKeyPair, type KeyPair, signBytes } from '../../src/protocol/keys.ts';
import { enrollInput, proofInput } from '../../src/protocol/signed.ts';
import type { Core } from './app-core.ts';

/**
 * An agent without any sense of its own: it says over a real connection what a test tells it to say, however
 * wrong, and keeps what it hears.
 */
export interface FakeAgent {
  agentId: string;
  incarnation: number;
  key: KeyPair;
  /** Dials and shakes hands. */
  connect(options?: ConnectOptions): Promise<FakeSession>;
}

type OfferInit = MessageInitShape<typeof HelloOfferSchema>;
type EnvelopeInit = MessageInitShape<typeof EnvelopeSchema>;
type BodyInit = NonNullable<EnvelopeInit['body']>;
type ResultInit = Omit<MessageInitShape<typeof ResultSchema>, '$typeName'>;
type Body<K extends EnvelopeKind> =
  Extract<Envelope['body'], { case: K }> extends { value: infer Value } ? Value : never;

export interface ConnectOptions {
  /** The server to dial, where it is not the one that enrolled the agent. */
  core?: Pick<Core, 'url'>;
  transport?: 'connect' | 'websocket';
  tls?: TlsSource;
  offer?: OfferInit;
  account?: readonly { order: Pick<CommandBody, 'executionId' | 'attempt'>; phase: keyof typeof Phase }[];
}

export interface FakeSession {
  readonly welcome: Welcome;
  /** Kinds of everything that came, in order. */
  readonly heard: readonly (EnvelopeKind | undefined)[];
  /** The next envelope of the kind; those of other kinds stay. Rejects when the connection ended without one. */
  next<K extends EnvelopeKind>(kind: K): Promise<Body<K>>;
  /** The next COMMAND, read. */
  order(): Promise<CommandBody>;
  /** Sends with the next sequence, or with what is given; answers with the sequence. */
  send(body: BodyInit, given?: Omit<EnvelopeInit, 'body' | '$typeName'>): bigint;
  accepted(order: Named): bigint;
  running(order: Named): bigint;
  /** Succeeded with exit code 0 unless said otherwise. */
  result(order: Named, init?: ResultInit): bigint;
  /** Resolves when the server has acknowledged the sequence. */
  acknowledged(sequence: bigint): Promise<void>;
  /** Resolves when the server has answered a heartbeat, and so has read all that was sent before. */
  beat(): Promise<void>;
  /** Fulfilled when the connection ended. */
  closed: Promise<ViworksError | undefined>;
  close(): void;
  destroy(): void;
}

type Named = Pick<CommandBody, 'executionId' | 'attempt'>;

/** Everything but the heartbeats: what came that has a meaning. */
export const spoken = (session: FakeSession) =>
  session.heard.filter((kind) => kind !== undefined && kind !== 'heartbeat');

/** Enrols an agent with the core. */
export async function enrolled(
  core: Core,
  agentId: string,
  options: { site?: string; again?: boolean; key?: KeyPair } = {},
): Promise<FakeAgent> {
  const { site = `site-of-${agentId}`, again = false, key = generateKeyPair() } = options;
  const spec = { site, labels: {}, uses: 1, lifetimeMs: 60_000, agentId: again ? agentId : undefined };
  const { token } = await core.enrollment.create('test', spec);
  const { incarnation } = await core.enrollment.enroll(enrollRequest(token, agentId, key));
  const agent: FakeAgent = {
    agentId,
    incarnation,
    key,
    connect: (connect = {}) => openSession(connect.core ?? core, agent, connect),
  };
  return agent;
}

/** Enrols an agent and connects it. */
export async function connected(core: Core, agentId: string, options: ConnectOptions = {}) {
  const agent = await enrolled(core, agentId);
  return { agent, session: await agent.connect(options) };
}

export function enrollRequest(token: string, agentId: string, key: KeyPair, labels = {}) {
  return create(EnrollRequestSchema, {
    token,
    agentId,
    publicKey: key.publicKey,
    signature: signBytes(key, enrollInput(token, agentId, key.publicKey)),
    labels,
  });
}

/** Dials and shakes hands as whoever is given. */
export async function openSession(
  core: Pick<Core, 'url'>,
  agent: Pick<FakeAgent, 'agentId' | 'incarnation' | 'key'>,
  options: ConnectOptions,
): Promise<FakeSession> {
  const session = await dial(core, options.transport, options.tls);
  const hello = sayHello(session, agent, options);
  session.send(
    { case: 'proof', value: proofOf(agent.key, hello, await session.next('challenge')) },
    { sequence: 0n },
  );
  await session.next('welcome');
  return session;
}

/** Says HELLO; answers with the bytes of the offer. */
export function sayHello(
  session: Pick<FakeSession, 'send'>,
  agent: Pick<FakeAgent, 'agentId' | 'incarnation' | 'key'>,
  options: Pick<ConnectOptions, 'offer' | 'account'> = {},
): Uint8Array {
  const offer = toBinary(
    HelloOfferSchema,
    create(HelloOfferSchema, {
      agentId: agent.agentId,
      keyId: agent.key.keyId,
      incarnation: agent.incarnation,
      bootId: newIdBytes(),
      protocolVersions: [1],
      capabilities: ['exec', 'system', 'file'],
      executionCredit: 10,
      executions: (options.account ?? []).map(({ order: { executionId, attempt }, phase }) => ({
        executionId,
        attempt,
        phase: Phase[phase],
      })),
      ...options.offer,
    }),
  );
  session.send({ case: 'hello', value: create(HelloSchema, { offer }) }, { sequence: 0n });
  return offer;
}

export function proofOf(key: KeyPair, offer: Uint8Array, challenge: Challenge) {
  const statement = toBinary(
    ProofStatementSchema,
    create(ProofStatementSchema, { agentTime: timestampFromMs(Date.now()) }),
  );
  const input = proofInput(offer, challenge.terms, challenge.signature, statement);
  return create(ProofSchema, { statement, signature: signBytes(key, input) });
}

/** A connection on which nothing is said yet. It is cut when the test ends. */
export async function dial(
  core: Pick<Core, 'url'>,
  transport: 'connect' | 'websocket' = 'connect',
  tls: TlsSource = undefined,
): Promise<FakeSession> {
  const to = { url: core.url, tls };
  const dialer = transport === 'connect' ? createConnectDialer(to) : createWebSocketDialer(to);
  const inbox: Envelope[] = [];
  const heard: (EnvelopeKind | undefined)[] = [];
  const waiting = new Set<() => void>();
  const { promise: closed, resolve } = Promise.withResolvers<ViworksError | undefined>();
  let end: { error: ViworksError | undefined } | undefined;
  let welcome: Welcome | undefined;
  let sent = 0n;
  let acknowledged = 0n;

  const wakeAll = () => {
    for (const wake of [...waiting]) wake();
  };
  /** Waits until something is found in what came. */
  async function find<T>(what: string, look: () => T | undefined): Promise<T> {
    for (;;) {
      const found = look();
      if (found !== undefined) return found;
      if (end !== undefined)
        throw new Error(`ended (${end.error?.code}) without ${what}`, { cause: end.error });
      await new Promise<void>((wake) => {
        const once = () => {
          waiting.delete(once);
          wake();
        };
        waiting.add(once);
      });
    }
  }
  const connection = await dialer.dial(
    {
      onEnvelope(message) {
        heard.push(message.body.case);
        if (message.acknowledged > acknowledged) acknowledged = message.acknowledged;
        if (message.body.case === 'welcome') welcome = message.body.value;
        if (message.body.case !== undefined) inbox.push(message);
        wakeAll();
      },
      onClose(error) {
        end = { error };
        resolve(error);
        wakeAll();
      },
    },
    AbortSignal.timeout(10_000),
  );
  onTestFinished(() => connection.destroy());

  const session: FakeSession = {
    get welcome() {
      if (welcome === undefined) throw new Error('there was no WELCOME');
      return welcome;
    },
    heard,
    closed,
    next<K extends EnvelopeKind>(kind: K) {
      return find(kind, () => {
        const index = inbox.findIndex(({ body }) => body.case === kind);
        return index < 0 ? undefined : (inbox.splice(index, 1)[0]?.body.value as Body<K>);
      });
    },
    order: async () => fromBinary(CommandBodySchema, (await session.next('command')).body),
    send(body, given = {}) {
      if (given.sequence === undefined) sent += 1n;
      const sequence = given.sequence ?? sent;
      connection.send(create(EnvelopeSchema, { messageId: newIdBytes(), sequence, ...given, body }));
      return sequence;
    },
    accepted: ({ executionId, attempt }) =>
      session.send({
        case: 'commandUpdate',
        value: create(CommandUpdateSchema, { executionId, attempt, update: { case: 'accepted', value: {} } }),
      }),
    running: ({ executionId, attempt }) =>
      session.send({
        case: 'commandUpdate',
        value: create(CommandUpdateSchema, { executionId, attempt, update: { case: 'running', value: {} } }),
      }),
    result: ({ executionId, attempt }, init = {}) =>
      session.send({
        case: 'result',
        value: create(ResultSchema, {
          executionId,
          attempt,
          outcome: Outcome.SUCCEEDED,
          exitCode: 0,
          output: toBinary(ExecResultSchema, create(ExecResultSchema, { duration: { nanos: 5_000_000 } })),
          outputEncoding: ArgsEncoding.PROTOBUF,
          startedAt: timestampFromMs(Date.now()),
          finishedAt: timestampFromMs(Date.now()),
          ...init,
        }),
      }),
    acknowledged: async (sequence) =>
      void (await find(`acknowledgement of ${sequence}`, () => acknowledged >= sequence || undefined)),
    async beat() {
      session.send({ case: 'heartbeat', value: create(HeartbeatSchema) }, { sequence: 0n });
      await session.next('heartbeat');
    },
    close: () => connection.close(),
    destroy: () => connection.destroy(),
  };
  return session;
}
