import { create } from '@bufbuild/protobuf';
import { AgentService, EnrollResponseSchema } from '#gen/viworks/agent/v1/agent_service_pb.js';
import { type Envelope, EnvelopeSchema } from '#gen/viworks/agent/v1/envelope_pb.js';
import { ViworksError } from '../../src/errors.ts';
import { createAddressList } from '../../src/lib/addresses.ts';
import { silentLogger } from '../../src/lib/logger.ts';
import type { Connection, ConnectionHandler } from '../../src/protocol/connection.ts';
import { createAgentListener } from '../../src/transport/agent-listener.ts';
import type { Certificate } from './tls-certificate.ts';

/** Remembers what a connection's owner was told, and lets a test wait for it. */
export interface Inbox extends ConnectionHandler {
  readonly envelopes: Envelope[];
  readonly closes: (ViworksError | undefined)[];
  /** Resolves with the first that many envelopes. */
  atLeast(count: number): Promise<Envelope[]>;
  readonly closed: Promise<ViworksError | undefined>;
}

export function createInbox(): Inbox {
  const envelopes: Envelope[] = [];
  const closes: (ViworksError | undefined)[] = [];
  const waiting: { count: number; resolve(): void }[] = [];
  const closed = Promise.withResolvers<ViworksError | undefined>();
  return {
    envelopes,
    closes,
    closed: closed.promise,
    onEnvelope(envelope) {
      if (closes.length > 0) throw new Error('an envelope after the close');
      envelopes.push(envelope);
      for (const wait of waiting) if (wait.count === envelopes.length) wait.resolve();
    },
    onClose(error) {
      closes.push(error);
      closed.resolve(error);
    },
    async atLeast(count) {
      const { promise, resolve } = Promise.withResolvers<void>();
      waiting.push({ count, resolve });
      if (envelopes.length < count) await promise;
      return envelopes.slice(0, count);
    },
  };
}

export interface Accepted {
  connection: Connection;
  settled(): void;
  inbox: Inbox;
}

export interface TestServerOptions {
  tls?: Certificate | undefined;
  maxConnections?: number;
  headersTimeoutMs?: number;
  unreadTimeoutMs?: number;
  trustedProxies?: string[];
  maxHandshakes?: number;
}

export type TestServer = Awaited<ReturnType<typeof startServer>>;

export async function startServer(options: TestServerOptions = {}) {
  const accepted: Accepted[] = [];
  const waiting: ((one: Accepted) => void)[] = [];
  const listener = createAgentListener({
    host: '127.0.0.1',
    port: 0,
    tls: options.tls,
    maxConnections: options.maxConnections ?? 1_000,
    proxies: createAddressList(options.trustedProxies ?? []),
    ...(options.maxHandshakes === undefined ? {} : { maxHandshakes: options.maxHandshakes }),
    ...(options.headersTimeoutMs === undefined ? {} : { headersTimeoutMs: options.headersTimeoutMs }),
    ...(options.unreadTimeoutMs === undefined ? {} : { unreadTimeoutMs: options.unreadTimeoutMs }),
    log: silentLogger,
    accept(connection, settled) {
      const one = { connection, settled, inbox: createInbox() };
      const waiter = waiting.shift();
      if (waiter === undefined) accepted.push(one);
      else waiter(one);
      return one.inbox;
    },
    unary(router) {
      router.service(AgentService, {
        enroll(request) {
          if (request.token === 'refused') throw new ViworksError('enrollment_refused', 'No such token.');
          return create(EnrollResponseSchema, { agentId: request.agentId, incarnation: 1 });
        },
      });
    },
  });
  const { port } = await listener.start();
  return {
    port,
    url: `${options.tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}`,
    ca: options.tls?.cert,
    listener,
    /** The next connection, in the order in which they came. */
    async next(): Promise<Accepted> {
      const one = accepted.shift();
      if (one !== undefined) return one;
      return new Promise((resolve) => waiting.push(resolve));
    },
    [Symbol.asyncDispose]: () => listener.stop(0),
  };
}

/** A small envelope that is told by its number. */
export const numbered = (sequence: number): Envelope =>
  create(EnvelopeSchema, {
    sequence: BigInt(sequence),
    body: { case: 'heartbeat', value: { running: sequence } },
  });

/** An envelope with that many bytes inside. */
export const sized = (bytes: number): Envelope =>
  create(EnvelopeSchema, { body: { case: 'hello', value: { offer: new Uint8Array(bytes) } } });

export const sequences = (envelopes: readonly Envelope[]): number[] =>
  envelopes.map((envelope) => Number(envelope.sequence));
