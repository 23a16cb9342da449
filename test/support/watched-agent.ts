import { create } from '@bufbuild/protobuf';
import { onTestFinished } from 'vitest';
import { type Envelope, EnvelopeSchema } from '#gen/viworks/agent/v1/envelope_pb.js';
import { ExecArgsSchema, ExecResultSchema } from '#gen/viworks/verbs/v1/system_pb.js';
import { type Agent, type AgentOptions, type AgentState, createAgent } from '../../src/agent/agent.ts';
import { defineExecutor, executorSet } from '../../src/agent/executors/executor.ts';
import { createMemoryLedger } from '../../src/agent/ledger.ts';
import { createConnectDialer } from '../../src/agent/transport/connect.ts';
import { createWebSocketDialer } from '../../src/agent/transport/websocket.ts';
import { silentLogger } from '../../src/lib/logger.ts';
import type { Connection, Dialer, Peer } from '../../src/protocol/connection.ts';
import { decodeBinary, encodeBinary } from '../../src/protocol/envelope.ts';
import { createQueue } from './agent-server.ts';
import type { Core } from './app-core.ts';
import { enrolled, type FakeAgent } from './fake-agent.ts';

/** The real agent on a real connection, with somebody in between who sees and changes what passes. */
export interface WatchedAgent {
  agent: Agent;
  /** Args of everything it ran. */
  runs: string[][];
  /** Every envelope that the agent sent, or that came to it, as it was on the wire. */
  sent: Envelope[];
  came: Envelope[];
  /** Resolves at the next state of the name, passing over others. */
  state<Name extends AgentState['name']>(name: Name): Promise<AgentState & { name: Name }>;
  /** Says something to the server in the agent's place. */
  inject(message: Envelope): void;
}

/** What becomes of an envelope that passes: itself, others, or nothing. */
export type Tamper = (message: Envelope) => readonly Envelope[];

export type WireName = 'connect' | 'websocket' | 'websocket-json';
export const wires: readonly WireName[] = ['connect', 'websocket', 'websocket-json'];

export interface WatchedAgentOptions extends Partial<AgentOptions> {
  wire?: WireName;
  ca?: string;
  up?: Tamper;
  down?: Tamper;
  /** What the agent believes of its connection in place of what is so. */
  peer?: Partial<Peer>;
  /** One that is enrolled already. */
  as?: FakeAgent;
}

export async function startWatchedAgent(
  core: Core,
  agentId: string,
  options: WatchedAgentOptions = {},
): Promise<WatchedAgent> {
  const { wire = 'connect', ca, up = same, down = same, as, peer, ...rest } = options;
  const { incarnation, key } = as ?? (await enrolled(core, agentId));
  const states = createQueue<AgentState>();
  const runs: string[][] = [];
  const sent: Envelope[] = [];
  const came: Envelope[] = [];
  let below: Connection | undefined;
  const inner = dialerOf(wire, core.url, ca);
  const dialer: Dialer = {
    transport: inner.transport,
    async dial(handler, signal) {
      const connection = await inner.dial(
        {
          onEnvelope(message) {
            for (const passed of down(message)) {
              came.push(passed);
              handler.onEnvelope(passed);
            }
          },
          onClose: handler.onClose,
        },
        signal,
      );
      below = connection;
      return between(connection, peer, (message) => {
        for (const passed of up(copyOf(message))) {
          sent.push(passed);
          connection.send(passed);
        }
      });
    },
  };
  const exec = defineExecutor(ExecArgsSchema, ExecResultSchema, ({ argv }) => {
    runs.push(argv);
    return Promise.resolve({
      exitCode: 0,
      output: create(ExecResultSchema, { duration: { nanos: 1_000_000 } }),
    });
  });
  const agent = createAgent({
    identity: {
      agentId,
      incarnation,
      site: 'test',
      key,
      serverKeys: [{ keyId: core.serverKey.keyId, publicKey: core.serverKey.publicKey, notAfter: undefined }],
    },
    dialer,
    executors: executorSet([exec]),
    ledger: createMemoryLedger(),
    log: silentLogger,
    onState: states.push,
    ...rest,
  });
  agent.start();
  onTestFinished(() => agent.stop(0));
  return {
    agent,
    runs,
    sent,
    came,
    async state<Name extends AgentState['name']>(name: Name) {
      for (;;) {
        const state = await states.shift();
        if (state.name === name) return state as AgentState & { name: Name };
      }
    },
    inject: (message) => below?.send(message),
  };
}

const same: Tamper = (message) => [message];

/** What was on the wire at that moment, whatever its sender does to it later. */
export const copyOf = (message: Envelope): Envelope => decodeBinary(encodeBinary(message));

function dialerOf(wire: WireName, url: string, ca: string | undefined): Dialer {
  const options = { url, tls: { ca } };
  if (wire === 'connect') return createConnectDialer(options);
  return createWebSocketDialer({ ...options, encoding: wire === 'websocket' ? 'binary' : 'json' });
}

function between(
  connection: Connection,
  peer: Partial<Peer> | undefined,
  send: (message: Envelope) => void,
): Connection {
  return {
    peer: { ...connection.peer, ...peer },
    send,
    get bufferedBytes() {
      return connection.bufferedBytes;
    },
    get receivedBytes() {
      return connection.receivedBytes;
    },
    pause: () => connection.pause(),
    resume: () => connection.resume(),
    close: (error) => connection.close(error),
    destroy: () => connection.destroy(),
  };
}

/** An envelope with a body and nothing else. */
export const bare = (body: Envelope['body']): Envelope => create(EnvelopeSchema, { body });

/** The frame in an envelope, if it is one. */
export const frameOf = ({ body }: Envelope) => (body.case === 'sealed' ? body.value : undefined);
