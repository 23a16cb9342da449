import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import {
  type Challenge,
  ChallengeTermsSchema,
  HelloOfferSchema,
  ProofSchema,
  ProofStatementSchema,
} from '#gen/viworks/agent/v1/handshake_pb.js';
import { ViworksError } from '../errors.ts';
import { timestampMs } from '../protocol/envelope.ts';
import { type KeyPair, signBytes, verifyBytes } from '../protocol/keys.ts';
import { challengeInput, nextKeyInput, proofInput } from '../protocol/signed.ts';
import { protocolFloor, protocolVersion } from '../protocol/versions.ts';
import type { AgentIdentity } from './identity.ts';

/**
 * The agent's side of HELLO → CHALLENGE → PROOF → WELCOME as functions over exact bytes: what was sent and
 * received is what is signed, and never a re-serialisation of it.
 */

/** What HELLO says beside the identity. */
export type HelloFacts = Omit<
  Exclude<MessageInitShape<typeof HelloOfferSchema>, { $typeName: string }>,
  'agentId' | 'keyId' | 'incarnation' | 'generation' | 'protocolVersions' | 'ephemeralKey' | '$typeName'
>;

const offeredVersions: readonly number[] = Array.from(
  { length: protocolVersion - protocolFloor + 1 },
  (_, index) => protocolVersion - index,
);

/** The bytes of HELLO.offer. */
export function writeOffer(identity: AgentIdentity, facts: HelloFacts, generation = 0n): Uint8Array {
  return toBinary(
    HelloOfferSchema,
    create(HelloOfferSchema, {
      ...facts,
      agentId: identity.agentId,
      keyId: identity.key.keyId,
      incarnation: identity.incarnation,
      protocolVersions: [...offeredVersions],
      generation,
    }),
  );
}

export interface AcceptedChallenge {
  protocolVersion: number;
  /** Milliseconds since 1970, by the server's clock. */
  serverTime: number;
}

/**
 * Believes a challenge only if a server key of the enrolment signed it over this very offer.
 * @param now milliseconds since 1970
 * @throws authentication_failed, version_unsupported, protocol_violation
 */
export function checkChallenge(
  identity: AgentIdentity,
  offer: Uint8Array,
  challenge: Challenge,
  now: number,
): AcceptedChallenge {
  const key = identity.serverKeys.find((known) => known.keyId === challenge.keyId);
  if (key === undefined)
    throw new ViworksError('authentication_failed', 'The server signs with a key that is not known here.');
  if (key.notAfter !== undefined && key.notAfter < now)
    throw new ViworksError('authentication_failed', 'The server signs with a key that is no longer valid.');
  if (!verifyBytes(key.publicKey, challengeInput(offer, challenge.terms), challenge.signature))
    throw new ViworksError('authentication_failed', "The server's signature of the challenge is wrong.");
  const terms = parseTerms(challenge.terms);
  const serverTime = timestampMs(terms.serverTime);
  if (serverTime === undefined || terms.nonce.byteLength !== 32)
    throw new ViworksError('protocol_violation', 'The challenge lacks its nonce or its time.');
  if (!offeredVersions.includes(terms.protocolVersion))
    throw new ViworksError(
      'version_unsupported',
      `The server chose version ${terms.protocolVersion} of the protocol, which was not offered.`,
    );
  return { protocolVersion: terms.protocolVersion, serverTime };
}

/**
 * @param now milliseconds since 1970
 * @param next the key that is to take the place of the one that signs
 */
export function writeProof(
  identity: AgentIdentity,
  offer: Uint8Array,
  challenge: Challenge,
  now: number,
  next?: KeyPair,
) {
  const parts = { agentTime: timestampFromMs(now), ...(next && nextKeyOf(offer, challenge, next)) };
  const statement = toBinary(ProofStatementSchema, create(ProofStatementSchema, parts));
  const input = proofInput(offer, challenge.terms, challenge.signature, statement);
  return create(ProofSchema, { statement, signature: signBytes(identity.key, input) });
}

function nextKeyOf(offer: Uint8Array, { terms, signature }: Challenge, next: KeyPair) {
  const input = nextKeyInput(offer, terms, signature, next.publicKey);
  return { nextPublicKey: next.publicKey, nextSignature: signBytes(next, input) };
}

function parseTerms(bytes: Uint8Array) {
  try {
    return fromBinary(ChallengeTermsSchema, bytes);
  } catch (cause) {
    throw new ViworksError('protocol_violation', 'The terms of the challenge cannot be read.', { cause });
  }
}
