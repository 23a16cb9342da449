import { create } from '@bufbuild/protobuf';
import { type Envelope, EnvelopeSchema } from '#gen/viworks/agent/v1/envelope_pb.js';
import type { ViworksError } from '../../src/errors.ts';
import type { Connection } from '../../src/protocol/connection.ts';
import { decodeBinary, encodeBinary } from '../../src/protocol/envelope.ts';
import {
  type SealedConnection,
  type SealingLimits,
  sealConnection,
  sealingLimits,
} from '../../src/protocol/sealing/connection.ts';
import { newEphemeral } from '../../src/protocol/sealing/primitives.ts';
import { type Role, sessionSecrets, type Transcript } from '../../src/protocol/sealing/secrets.ts';

/** The two ends of a sealed connection, and the wire between them in a test's hands. */

export const said: Transcript = {
  offer: Uint8Array.of(1),
  terms: Uint8Array.of(2),
  challengeSignature: Uint8Array.of(3),
  statement: Uint8Array.of(4),
  proofSignature: Uint8Array.of(5),
};

/** One end, with what left it and what came out of its frames. */
export interface End {
  connection: SealedConnection;
  /** Frames that left and have not been taken. */
  wire: Envelope[];
  heard: bigint[];
  closed: (ViworksError | undefined)[];
  /** Of the last frame that left. */
  generation(): number;
}

export interface Pair {
  agent: End;
  server: End;
  time: { ms: number };
  /** Hands over the next frame of one end to the other. */
  pass(from: Role): void;
}

export function createEnd(role: Role, shared: Uint8Array, limits: SealingLimits, time: { ms: number }): End {
  const wire: Envelope[] = [];
  let generation = 0;
  const heard: bigint[] = [];
  const closed: (ViworksError | undefined)[] = [];
  const below: Connection = {
    peer: { transport: 'connect', encoding: 'binary', remoteAddress: '', tls: false },
    send: (message) => {
      wire.push(decodeBinary(encodeBinary(message)));
      generation = frame(message).keyGeneration;
    },
    bufferedBytes: 0,
    receivedBytes: 0,
    pause: () => {},
    resume: () => {},
    close: (error) => void closed.push(error),
    destroy: () => {},
  };
  const connection = sealConnection(below, {
    role,
    secrets: sessionSecrets(shared, said),
    clock: { monotonic: () => time.ms },
    limits,
    deliver: ({ sequence }) => void heard.push(sequence),
  });
  return { connection, wire, heard, closed, generation: () => generation };
}

/** Two ends after WELCOME. */
export async function createPair(limits: SealingLimits = sealingLimits): Promise<Pair> {
  const [one, two] = [newEphemeral(), newEphemeral()];
  const time = { ms: 0 };
  const agent = createEnd('agent', one.agree(two.publicKey), limits, time);
  const server = createEnd('server', two.agree(one.publicKey), limits, time);
  const pair: Pair = {
    agent,
    server,
    time,
    pass(from) {
      const [sender, taker] = from === 'agent' ? [agent, server] : [server, agent];
      const frame = sender.wire.shift();
      if (frame === undefined) throw new Error('nothing left');
      taker.connection.receive(frame);
    },
  };
  server.connection.send(numbered(0));
  server.connection.bind('the-session', 7n);
  pair.pass('server');
  agent.connection.bind('the-session', 7n);
  agent.heard.length = 0;
  return pair;
}

export const numbered = (sequence: number) => create(EnvelopeSchema, { sequence: BigInt(sequence) });
export const tick = () => Promise.resolve();
export const frame = ({ body }: Envelope) => {
  if (body.case !== 'sealed') throw new Error('not a frame');
  return body.value;
};
