import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { type Envelope, EnvelopeSchema } from '#gen/viworks/agent/v1/envelope_pb.js';
import { ChallengeTermsSchema, HelloOfferSchema, SealedSchema } from '#gen/viworks/agent/v1/handshake_pb.js';
import { keyPairFromSeed, signBytes } from '../src/protocol/keys.ts';
import { writeContent } from '../src/protocol/sealing/content.ts';
import { createLane, type SealedFrame } from '../src/protocol/sealing/lane.ts';
import { ephemeralFromSeed } from '../src/protocol/sealing/primitives.ts';
import {
  directions,
  freshChain,
  keyOfChain,
  nextChain,
  type Role,
  sessionSecrets,
  transcriptHash,
} from '../src/protocol/sealing/secrets.ts';
import { challengeInput, proofInput, signedInput } from '../src/protocol/signed.ts';
import { makeVectors } from './make-handshake-vectors.ts';

/**
 * Makes test/vectors/frames.json: the handshake of handshake.json with ephemeral keys in it, the secrets that both
 * ends make of it, and frames of either direction over a ratchet and a fresh agreement. Everything is fixed, so that
 * whoever runs this again gets the same file: `node scripts/make-frame-vectors.ts`.
 */

export const framesFile = fileURLToPath(new URL('../test/vectors/frames.json', import.meta.url));

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const bytes = (text: string) => new Uint8Array(Buffer.from(text, 'hex'));
const counted = (length: number, first: number) => Uint8Array.from({ length }, (_, index) => first + index);

const sessionId = '019b7cc1-d588-7000-8000-0000000000ff';
const epoch = 7n;

export function makeFrameVectors() {
  const { keys, handshake } = makeVectors();
  const seeds = {
    agent: counted(32, 0x80),
    server: counted(32, 0xa0),
    next_agent: counted(32, 0xc0),
    next_server: counted(32, 0xe0),
  };
  const [agent, server] = [ephemeralFromSeed(seeds.agent), ephemeralFromSeed(seeds.server)];
  const [nextAgent, nextServer] = [ephemeralFromSeed(seeds.next_agent), ephemeralFromSeed(seeds.next_server)];
  const offer = toBinary(
    HelloOfferSchema,
    create(HelloOfferSchema, {
      ...fromBinary(HelloOfferSchema, bytes(handshake.hello_offer)),
      ephemeralKey: agent.publicKey,
    }),
  );
  const terms = toBinary(
    ChallengeTermsSchema,
    create(ChallengeTermsSchema, {
      ...fromBinary(ChallengeTermsSchema, bytes(handshake.challenge_terms)),
      ephemeralKey: server.publicKey,
    }),
  );
  const statement = bytes(handshake.proof_statement);
  const challengeSignature = signBytes(
    keyPairFromSeed(bytes(keys.server_seed)),
    challengeInput(offer, terms),
  );
  const proofSignature = signBytes(
    keyPairFromSeed(bytes(keys.agent_seed)),
    proofInput(offer, terms, challengeSignature, statement),
  );
  const said = { offer, terms, challengeSignature, statement, proofSignature };
  const shared = agent.agree(server.publicKey);
  const secrets = sessionSecrets(shared, said);
  const nextShared = nextAgent.agree(nextServer.publicKey);
  const named = (chains: Record<Role, Uint8Array>) => ({
    agent: hex(chains.agent),
    server: hex(chains.server),
  });
  const both = (make: (chain: Uint8Array) => Uint8Array, of: Record<Role, Uint8Array>) => ({
    agent: make(of.agent),
    server: make(of.server),
  });
  const ratcheted = both(nextChain, secrets.chains);
  const fresh = {
    agent: freshChain(ratcheted.agent, nextShared),
    server: freshChain(secrets.chains.server, nextShared),
  };

  const vectors = {
    comment:
      'All values are lower-case hex, but session_id and numbers. Made by scripts/make-frame-vectors.ts.',
    ephemeral: {
      agent_seed: hex(seeds.agent),
      agent_public_key: hex(agent.publicKey),
      server_seed: hex(seeds.server),
      server_public_key: hex(server.publicKey),
      shared: hex(shared),
    },
    handshake: {
      hello_offer: hex(offer),
      challenge_terms: hex(terms),
      challenge_signature: hex(challengeSignature),
      proof_statement: hex(statement),
      proof_signature: hex(proofSignature),
      transcript: hex(transcriptHash(said)),
    },
    confirmations: named(secrets.confirmations),
    chains: {
      first: named(secrets.chains),
      first_keys: named(both(keyOfChain, secrets.chains)),
      ratcheted: named(ratcheted),
      ratcheted_keys: named(both(keyOfChain, ratcheted)),
      fresh_agent_seed: hex(seeds.next_agent),
      fresh_agent_public_key: hex(nextAgent.publicKey),
      fresh_server_seed: hex(seeds.next_server),
      fresh_server_public_key: hex(nextServer.publicKey),
      fresh_shared: hex(nextShared),
      fresh: named(fresh),
      fresh_keys: named(both(keyOfChain, fresh)),
    },
    session: { session_id: sessionId, epoch: Number(epoch) },
    frames: [] as FrameVector[],
  };

  // The lanes wipe what they are made of.
  const lanes = {
    agent: createLane('agent', secrets.chains.agent.slice()),
    server: createLane('server', secrets.chains.server.slice()),
  };
  const say = (what: string, from: Role, envelopes: Envelope[], ephemeralKey?: Uint8Array) => {
    const content = writeContent(
      envelopes.map((each) => toBinary(EnvelopeSchema, each)),
      ephemeralKey,
    );
    vectors.frames.push(vectorOf(what, from, content, lanes[from].seal(content)));
  };
  const envelope = (sequence: bigint, body: Envelope['body'] = { case: undefined }) =>
    create(EnvelopeSchema, { sequence, acknowledged: sequence === 0n ? 1n : 0n, body });
  const welcome = create(EnvelopeSchema, {
    body: {
      case: 'welcome',
      value: { sessionId, epoch, confirmation: secrets.confirmations.server },
    },
  });
  say('WELCOME', 'server', [welcome]);
  lanes.agent.bind(sessionId, epoch);
  lanes.server.bind(sessionId, epoch);
  const heartbeat = create(EnvelopeSchema, { body: { case: 'heartbeat', value: { running: 3 } } });
  say('two envelopes of one tick', 'agent', [heartbeat, envelope(1n)]);
  lanes.agent.step(undefined);
  say('the next key, and the question for a fresh agreement', 'agent', [envelope(2n)], nextAgent.publicKey);
  say('the answer, without an envelope', 'server', [], nextServer.publicKey);
  lanes.server.step(nextShared);
  say('the server with its fresh key', 'server', [envelope(0n)]);
  lanes.agent.step(nextShared);
  say('the agent with its fresh key', 'agent', [envelope(3n)]);
  return vectors;
}

interface FrameVector {
  what: string;
  from: Role;
  counter: number;
  key_generation: number;
  nonce: string;
  additional_data: string;
  content: string;
  ciphertext: string;
  envelope: string;
}

function vectorOf(what: string, from: Role, content: Uint8Array, frame: SealedFrame): FrameVector {
  const value = create(SealedSchema, frame);
  const welcome = what === 'WELCOME';
  const nonce = Buffer.alloc(12);
  nonce.writeUInt32BE(directions[from], 0);
  nonce.writeBigUInt64BE(frame.counter, 4);
  const header = Buffer.alloc(22);
  header.writeBigUInt64BE(welcome ? 0n : epoch, 0);
  header.writeUInt8(directions[from], 8);
  header.writeUInt8(welcome ? 1 : 2, 9);
  header.writeUInt32BE(frame.keyGeneration, 10);
  header.writeBigUInt64BE(frame.counter, 14);
  return {
    what,
    from,
    counter: Number(frame.counter),
    key_generation: frame.keyGeneration,
    nonce: hex(nonce),
    additional_data: hex(signedInput('viworks.sealed.v1', Buffer.from(welcome ? '' : sessionId), header)),
    content: hex(content),
    ciphertext: hex(frame.ciphertext),
    envelope: hex(toBinary(EnvelopeSchema, create(EnvelopeSchema, { body: { case: 'sealed', value } }))),
  };
}

if (import.meta.main) writeFileSync(framesFile, `${JSON.stringify(makeFrameVectors(), null, 2)}\n`);
