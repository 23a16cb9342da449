import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { Result_Outcome, ResultSchema } from '#gen/viworks/agent/v1/command_pb.js';
import {
  type Challenge,
  ChallengeTermsSchema,
  ExecutionAccount_Phase,
  HelloOfferSchema,
  type Proof,
  ProofSchema,
  ProofStatementSchema,
} from '#gen/viworks/agent/v1/handshake_pb.js';
import { ViworksError } from '../errors.ts';
import { timestampMs } from '../protocol/envelope.ts';
import { type KeyPair, signBytes, verifyBytes } from '../protocol/keys.ts';
import type { Ephemeral } from '../protocol/sealing/primitives.ts';
import { type SessionSecrets, sessionSecrets } from '../protocol/sealing/secrets.ts';
import { challengeInput, nextKeyInput, proofInput } from '../protocol/signed.ts';
import { protocolFloor, protocolVersion } from '../protocol/versions.ts';
import type { AgentIdentity } from './identity.ts';

/**
 * The agent's side of HELLO → CHALLENGE → PROOF → WELCOME as functions over exact bytes: what was sent and
 * received is what is signed, and never a re-serialisation of it.
 */

/** Whether an agent's envelopes are sealed: never, where the server does it too, or else no session. */
export type SealingChoice = 'off' | 'on' | 'required';

/** What HELLO says beside the identity. */
export type HelloFacts = Omit<
  Exclude<MessageInitShape<typeof HelloOfferSchema>, { $typeName: string }>,
  'agentId' | 'keyId' | 'incarnation' | 'generation' | 'protocolVersions' | 'ephemeralKey' | '$typeName'
>;

const offeredVersions: readonly number[] = Array.from(
  { length: protocolVersion - protocolFloor + 1 },
  (_, index) => protocolVersion - index,
);

/** The bytes of HELLO.offer. Without an ephemeral key the session is not sealed. */
export function writeOffer(
  identity: AgentIdentity,
  facts: HelloFacts,
  generation = 0n,
  ephemeral?: Ephemeral,
): Uint8Array {
  return toBinary(
    HelloOfferSchema,
    create(HelloOfferSchema, {
      ...facts,
      agentId: identity.agentId,
      keyId: identity.key.keyId,
      incarnation: identity.incarnation,
      protocolVersions: [...offeredVersions],
      generation,
      ...(ephemeral === undefined ? {} : { ephemeralKey: ephemeral.publicKey }),
    }),
  );
}

export interface AcceptedChallenge {
  protocolVersion: number;
  /** Milliseconds since 1970, by the server's clock. */
  serverTime: number;
  /** The server's half of the agreement; undefined where it does not seal. */
  ephemeralKey: Uint8Array | undefined;
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
  const { protocolVersion: version, ephemeralKey } = terms;
  return {
    protocolVersion: version,
    serverTime,
    ephemeralKey: ephemeralKey.byteLength === 0 ? undefined : ephemeralKey,
  };
}

/**
 * The halves of the agreement, where the session is sealed.
 * @throws authentication_failed where it has to be and is not, protocol_violation
 */
export function agreementOf(
  choice: SealingChoice,
  own: Ephemeral | undefined,
  peerKey: Uint8Array | undefined,
): ProofInput['agreement'] {
  if (own !== undefined && peerKey !== undefined) return { own, peerKey };
  if (peerKey !== undefined)
    throw new ViworksError('protocol_violation', 'The server seals envelopes, which was not offered.');
  if (choice === 'required')
    throw new ViworksError(
      'authentication_failed',
      'The server does not seal envelopes, and this agent requires it.',
    );
  return undefined;
}

/** What PROOF is made of beside the identity. */
export interface ProofInput {
  offer: Uint8Array;
  challenge: Challenge;
  /** Milliseconds since 1970. */
  now: number;
  /** The key that is to take the place of the one that signs. */
  next?: KeyPair | undefined;
  /** Of this end of the TLS connection. */
  tlsExporter?: Uint8Array | undefined;
  /** Where both ends named a key for it. */
  agreement?: { own: Ephemeral; peerKey: Uint8Array } | undefined;
}

/** PROOF, and the secrets of the session where it is sealed. @throws protocol_violation where the server's key is none */
export function writeProof(
  identity: AgentIdentity,
  input: ProofInput,
): { proof: Proof; secrets: SessionSecrets | undefined } {
  const { offer, challenge, now, next, tlsExporter, agreement } = input;
  const statement = toBinary(
    ProofStatementSchema,
    create(ProofStatementSchema, {
      agentTime: timestampFromMs(now),
      ...(next && nextKeyOf(offer, challenge, next)),
      ...(tlsExporter === undefined ? {} : { tlsExporter }),
    }),
  );
  const { terms, signature: challengeSignature } = challenge;
  const signature = signBytes(identity.key, proofInput(offer, terms, challengeSignature, statement));
  const said = { offer, terms, challengeSignature, statement, proofSignature: signature };
  const secrets = agreement && sessionSecrets(agreement.own.agree(agreement.peerKey), said);
  const confirmation = secrets?.confirmations.agent ?? new Uint8Array(0);
  return { proof: create(ProofSchema, { statement, signature, confirmation }), secrets };
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

/** A result that says "unknown" is of an execution whose outcome a crash hides. */
export function phaseOf(result: Uint8Array): ExecutionAccount_Phase {
  return fromBinary(ResultSchema, result).outcome === Result_Outcome.UNKNOWN
    ? ExecutionAccount_Phase.UNKNOWN
    : ExecutionAccount_Phase.FINISHED;
}
