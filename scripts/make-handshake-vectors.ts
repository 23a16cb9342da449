import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { create, toBinary } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { EnvelopeSchema } from '#gen/viworks/agent/v1/envelope_pb.js';
import {
  ChallengeTermsSchema,
  HelloOfferSchema,
  ProofStatementSchema,
  Transport,
} from '#gen/viworks/agent/v1/handshake_pb.js';
import { keyPairFromSeed, signBytes } from '../src/protocol/keys.ts';
import { challengeInput, enrollInput, proofInput, signedInput } from '../src/protocol/signed.ts';

/**
 * Makes test/vectors/handshake.json: one enrolment and one handshake with fixed keys, times and nonces, byte
 * by byte, for authors of agents to check their code against. Ed25519 is deterministic, so that whoever runs
 * this again gets the same file: `node scripts/make-handshake-vectors.ts`.
 */

export const vectorsFile = fileURLToPath(new URL('../test/vectors/handshake.json', import.meta.url));

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const counted = (length: number, first: number) => Uint8Array.from({ length }, (_, index) => first + index);

export function makeVectors() {
  const agentSeed = counted(32, 0x00);
  const serverSeed = counted(32, 0x20);
  const agent = keyPairFromSeed(agentSeed);
  const server = keyPairFromSeed(serverSeed);
  const agentId = 'web-1';
  const token = 'vwe_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX';
  const serverTime = Date.UTC(2026, 0, 2, 3, 4, 5);

  const enrolled = enrollInput(token, agentId, agent.publicKey);
  const offer = toBinary(
    HelloOfferSchema,
    create(HelloOfferSchema, {
      agentId,
      keyId: agent.keyId,
      incarnation: 1,
      bootId: counted(16, 0x40),
      protocolVersions: [1],
      transports: [Transport.CONNECT],
      capabilities: ['system'],
      software: 'example/1',
      executionCredit: 4,
    }),
  );
  const terms = toBinary(
    ChallengeTermsSchema,
    create(ChallengeTermsSchema, {
      nonce: counted(32, 0x60),
      serverTime: timestampFromMs(serverTime),
      protocolVersion: 1,
    }),
  );
  const challenged = challengeInput(offer, terms);
  const challengeSignature = signBytes(server, challenged);
  const statement = toBinary(
    ProofStatementSchema,
    create(ProofStatementSchema, { agentTime: timestampFromMs(serverTime + 1500) }),
  );
  const proven = proofInput(offer, terms, challengeSignature, statement);
  const proofSignature = signBytes(agent, proven);
  const messageId = Buffer.from('019b7cc1d588700080000000000000', 'hex');
  const envelopeOf = (last: number, body: Parameters<typeof bodyOnly>[0]) =>
    hex(toBinary(EnvelopeSchema, bodyOnly(body, Buffer.concat([messageId, Uint8Array.of(last)]))));

  return {
    comment:
      'All values are lower-case hex, but agent_id and token. Made by scripts/make-handshake-vectors.ts.',
    lp: {
      domain: 'a',
      parts: ['', '0102'],
      bytes: hex(signedInput('a', Uint8Array.of(), Uint8Array.of(1, 2))),
    },
    keys: {
      agent_seed: hex(agentSeed),
      agent_public_key: hex(agent.publicKey),
      agent_key_id: agent.keyId,
      server_seed: hex(serverSeed),
      server_public_key: hex(server.publicKey),
      server_key_id: server.keyId,
    },
    enrollment: {
      token,
      agent_id: agentId,
      signed: hex(enrolled),
      signature: hex(signBytes(agent, enrolled)),
    },
    handshake: {
      hello_offer: hex(offer),
      hello_envelope: envelopeOf(1, { case: 'hello', value: { offer } }),
      challenge_terms: hex(terms),
      challenge_signed: hex(challenged),
      challenge_signature: hex(challengeSignature),
      challenge_envelope: envelopeOf(2, {
        case: 'challenge',
        value: { terms, signature: challengeSignature, keyId: server.keyId },
      }),
      proof_statement: hex(statement),
      proof_signed: hex(proven),
      proof_signature: hex(proofSignature),
      proof_envelope: envelopeOf(3, { case: 'proof', value: { statement, signature: proofSignature } }),
    },
  };
}

type HandshakeBody =
  | { case: 'hello'; value: { offer: Uint8Array } }
  | { case: 'challenge'; value: { terms: Uint8Array; signature: Uint8Array; keyId: string } }
  | { case: 'proof'; value: { statement: Uint8Array; signature: Uint8Array } };

const bodyOnly = (body: HandshakeBody, messageId: Uint8Array) => create(EnvelopeSchema, { messageId, body });

if (import.meta.main) writeFileSync(vectorsFile, `${JSON.stringify(makeVectors(), null, 2)}\n`);
