import { create, type DescFile, toBinary } from '@bufbuild/protobuf';
import { type FileDescriptorProto, FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { type ConnectError, createClient } from '@connectrpc/connect';
import { createConnectTransport, createGrpcTransport, Http2SessionManager } from '@connectrpc/connect-node';
import {
  type ClientDuplexStream,
  credentials,
  loadPackageDefinition,
  type ServiceError,
} from '@grpc/grpc-js';
import { loadFileDescriptorSetFromBuffer } from '@grpc/proto-loader';
import { AgentService, file_viworks_agent_v1_agent_service } from '#gen/viworks/agent/v1/agent_service_pb.js';
import { type Envelope, EnvelopeSchema } from '#gen/viworks/agent/v1/envelope_pb.js';
import { createConnectDialer } from '../../src/agent/transport/connect.ts';
import { createWebSocketDialer } from '../../src/agent/transport/websocket.ts';
import type { Dialer } from '../../src/protocol/connection.ts';
import { createInbox } from './transport-server.ts';

/** A client of any make, as the contract suite drives it. */
export interface TestClient {
  received(count: number): Promise<Envelope[]>;
  send(envelope: Envelope): void;
  /** Ends in order. */
  close(): void;
  /** Breaks off. */
  destroy(): void;
  /** What the client's library says of the end: undefined for a good one, else the status or the code. */
  closed: Promise<string | undefined>;
}

export interface Target {
  url: string;
  ca: string | undefined;
}

export interface ClientKind {
  name: string;
  /** How the server names the transport. */
  transport: string;
  dial(target: Target): Promise<TestClient>;
}

const tlsOf = (target: Target) => (target.ca === undefined ? {} : { tls: { ca: target.ca } });

async function dialOwn(dialer: Dialer): Promise<TestClient> {
  const inbox = createInbox();
  const connection = await dialer.dial(inbox, new AbortController().signal);
  return {
    received: (count) => inbox.atLeast(count),
    send: (envelope) => connection.send(envelope),
    close: () => connection.close(),
    destroy: () => connection.destroy(),
    closed: inbox.closed.then((error) => error?.code),
  };
}

/** An async iterable that is pushed into. */
function outgoing() {
  const queue: Envelope[] = [];
  let wake: (() => void) | undefined;
  let ended = false;
  async function* iterate() {
    for (;;) {
      const next = queue.shift();
      if (next !== undefined) yield next;
      else if (ended) return;
      else await new Promise<void>((resolve) => (wake = resolve));
    }
  }
  return {
    iterable: iterate(),
    push(envelope: Envelope) {
      queue.push(envelope);
      wake?.();
    },
    end() {
      ended = true;
      wake?.();
    },
  };
}

async function dialConnectNode(target: Target, protocol: 'connect' | 'grpc'): Promise<TestClient> {
  const sessionManager = new Http2SessionManager(
    target.url,
    {},
    target.ca === undefined ? {} : { ca: target.ca },
  );
  const options = { baseUrl: target.url, httpVersion: '2' as const, sessionManager };
  const transport = protocol === 'connect' ? createConnectTransport(options) : createGrpcTransport(options);
  const abort = new AbortController();
  const out = outgoing();
  const inbox = createInbox();
  const responses = createClient(AgentService, transport).open(out.iterable, { signal: abort.signal });
  const read = async (): Promise<string | undefined> => {
    try {
      for await (const envelope of responses) inbox.onEnvelope(envelope);
      return undefined;
    } catch (thrown) {
      const error = thrown as ConnectError;
      return error.metadata.get('viworks-error-code') ?? String(error.code);
    } finally {
      out.end();
      sessionManager.abort();
    }
  };
  return {
    received: (count) => inbox.atLeast(count),
    send: out.push,
    close: out.end,
    destroy: () => abort.abort(),
    closed: read(),
  };
}

interface PlainEnvelope {
  sequence?: string;
  heartbeat?: { running: number };
}

/** What proto-loader gets is what the proto files say; its own parser does not read the validation rules. */
function packageDefinition() {
  const files = new Map<string, FileDescriptorProto>();
  const add = (file: DescFile): void => {
    for (const dependency of file.dependencies) add(dependency);
    files.set(file.proto.name, file.proto);
  };
  add(file_viworks_agent_v1_agent_service);
  const set = create(FileDescriptorSetSchema, { file: [...files.values()] });
  const bytes = Buffer.from(toBinary(FileDescriptorSetSchema, set));
  return loadFileDescriptorSetFromBuffer(bytes, { longs: String, oneofs: true });
}

const definition = loadPackageDefinition(packageDefinition());

async function dialGrpcJs(target: Target): Promise<TestClient> {
  type Stub = { Open(): ClientDuplexStream<PlainEnvelope, PlainEnvelope>; close(): void };
  const packages = definition as unknown as {
    viworks: { agent: { v1: { AgentService: new (address: string, ...rest: unknown[]) => Stub } } };
  };
  const stub = new packages.viworks.agent.v1.AgentService(
    new URL(target.url).host,
    target.ca === undefined ? credentials.createInsecure() : credentials.createSsl(Buffer.from(target.ca)),
  );
  const call = stub.Open();
  const inbox = createInbox();
  const { promise, resolve } = Promise.withResolvers<string | undefined>();
  call.on('data', (plain: PlainEnvelope) =>
    inbox.onEnvelope(create(EnvelopeSchema, { sequence: BigInt(plain.sequence ?? 0) })),
  );
  call.on('error', (error: ServiceError) => {
    resolve(String(error.metadata?.get('viworks-error-code')[0] ?? error.code));
    stub.close();
  });
  call.on('end', () => call.end());
  call.on('status', (status: { code: number }) => {
    if (status.code !== 0) return;
    resolve(undefined);
    stub.close();
  });
  return {
    received: (count) => inbox.atLeast(count),
    send(envelope) {
      const plain: Record<string, unknown> = { sequence: envelope.sequence.toString() };
      if (envelope.body.case !== undefined) plain[envelope.body.case] = envelope.body.value;
      call.write(plain as PlainEnvelope);
    },
    close: () => call.end(),
    destroy: () => call.cancel(),
    closed: promise,
  };
}

export const clientKinds: readonly ClientKind[] = [
  {
    name: 'our Connect dialer',
    transport: 'connect',
    dial: (target) => dialOwn(createConnectDialer({ url: target.url, ...tlsOf(target) })),
  },
  {
    name: 'our WebSocket dialer, binary',
    transport: 'websocket',
    dial: (target) => dialOwn(createWebSocketDialer({ url: target.url, ...tlsOf(target) })),
  },
  {
    name: 'our WebSocket dialer, JSON',
    transport: 'websocket',
    dial: (target) => dialOwn(createWebSocketDialer({ url: target.url, encoding: 'json', ...tlsOf(target) })),
  },
  {
    name: 'connect-node, Connect',
    transport: 'connect',
    dial: (target) => dialConnectNode(target, 'connect'),
  },
  {
    name: 'connect-node, gRPC',
    transport: 'grpc',
    dial: (target) => dialConnectNode(target, 'grpc'),
  },
  {
    name: 'grpc-js',
    transport: 'grpc',
    dial: dialGrpcJs,
  },
];
