import { readFileSync } from 'node:fs';
import { fromBinary } from '@bufbuild/protobuf';
import { expect, test } from 'vitest';
import { EnvelopeSchema } from '#gen/viworks/agent/v1/envelope_pb.js';
import { SealedContentSchema } from '#gen/viworks/agent/v1/sealing_pb.js';
import { framesFile, makeFrameVectors } from '../../scripts/make-frame-vectors.ts';
import type { Connection } from '../../src/protocol/connection.ts';
import { decodeBinary } from '../../src/protocol/envelope.ts';
import { sealConnection } from '../../src/protocol/sealing/connection.ts';
import { ephemeralFromSeed } from '../../src/protocol/sealing/primitives.ts';
import { type Role, sessionSecrets } from '../../src/protocol/sealing/secrets.ts';

const vectors: ReturnType<typeof makeFrameVectors> = JSON.parse(readFileSync(framesFile, 'utf8'));
const bytes = (hex: string) => new Uint8Array(Buffer.from(hex, 'hex'));

test('the vectors are what the code makes', () => {
  expect(vectors, 'run: node scripts/make-frame-vectors.ts').toEqual(makeFrameVectors());
});

test.each<Role>(['agent', 'server'])('the %s opens the first frames of the other end', (role) => {
  const { ephemeral, handshake, session } = vectors;
  const own = ephemeralFromSeed(bytes(ephemeral[`${role}_seed`]));
  const peer: Role = role === 'agent' ? 'server' : 'agent';
  const heard: string[] = [];
  const below: Connection = {
    peer: { transport: 'grpc', encoding: 'binary', remoteAddress: '', tls: false },
    send: () => {},
    bufferedBytes: 0,
    receivedBytes: 0,
    pause: () => {},
    resume: () => {},
    close: () => {},
    destroy: () => {},
  };
  const connection = sealConnection(below, {
    role,
    secrets: sessionSecrets(own.agree(bytes(ephemeral[`${peer}_public_key`])), {
      offer: bytes(handshake.hello_offer),
      terms: bytes(handshake.challenge_terms),
      challengeSignature: bytes(handshake.challenge_signature),
      statement: bytes(handshake.proof_statement),
      proofSignature: bytes(handshake.proof_signature),
    }),
    clock: { monotonic: () => 0 },
    deliver: ({ body }) => {
      heard.push(body.case ?? 'acknowledgement');
      if (body.case === 'welcome') connection.bind(body.value.sessionId, body.value.epoch);
    },
  });
  if (role === 'server') connection.bind(session.session_id, BigInt(session.epoch));
  const frames = vectors.frames.filter(({ from }) => from === peer);
  // What follows a fresh agreement is sealed with keys that only the vectors know.
  const first = role === 'agent' ? frames.slice(0, 1) : frames.slice(0, 2);
  for (const { envelope } of first) connection.receive(decodeBinary(bytes(envelope)));
  expect(heard).toEqual(role === 'agent' ? ['welcome'] : ['heartbeat', 'acknowledgement', 'acknowledgement']);
});

test('what is in the frames is what the messages say', () => {
  for (const { envelope, content, counter, key_generation, ciphertext } of vectors.frames) {
    const { body } = fromBinary(EnvelopeSchema, bytes(envelope));
    expect(body.value).toMatchObject({
      counter: BigInt(counter),
      keyGeneration: key_generation,
      ciphertext: bytes(ciphertext),
    });
    expect(() => fromBinary(SealedContentSchema, bytes(content))).not.toThrow();
  }
});
