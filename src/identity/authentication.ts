import { randomBytes } from 'node:crypto';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import {
  type Challenge,
  ChallengeSchema,
  type ChallengeTerms,
  ChallengeTermsSchema,
  type Hello,
  type HelloOffer,
  HelloOfferSchema,
  HelloSchema,
  type Proof,
  ProofSchema,
  type ProofStatement,
  ProofStatementSchema,
} from '#gen/viworks/agent/v1/handshake_pb.js';
import { ViworksError } from '../errors.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/logger.ts';
import { type KeyPair, keyIdOf, signBytes, verifyBytes } from '../protocol/keys.ts';
import { challengeInput, nextKeyInput, proofInput } from '../protocol/signed.ts';
import { assertValid } from '../protocol/validation.ts';
import { chooseVersion, protocolFloor, protocolVersion } from '../protocol/versions.ts';
import { acceptNextKey, findAgentKey, promoteNextKey } from '../storage/agent-keys.ts';
import type { Database } from '../storage/database.ts';

/**
 * Authentication of agents: the server's half of the handshake. Both sides sign the exact bytes that were
 * said, so nothing in HELLO can be stripped or altered on the way.
 */
export interface AgentAuthentication {
  /** Answers HELLO at once, without the database. @throws protocol_violation, version_unsupported */
  challenge(hello: Hello): OpenChallenge;
  /**
   * Checks PROOF against the keys of the newest incarnation, and takes the key that is to follow, where one was
   * asked for.
   * @throws authentication_failed with one indistinct message; database_unavailable when it cannot be checked
   */
  verify(challenge: OpenChallenge, proof: Proof): Promise<{ acceptedKeyId: string | undefined }>;
  /** A key that is older than this is to be replaced. */
  keysSince(): Date;
}

export interface OpenChallenge {
  offer: HelloOffer;
  offerBytes: Uint8Array;
  message: Challenge;
  terms: ChallengeTerms;
  /** On the monotonic clock: the nonce is good until then. */
  expiresAt: number;
}

export interface AuthenticationDeps {
  database: Database;
  serverKey: KeyPair;
  clock: Clock;
  log: Logger;
  /** Milliseconds after which an agent is asked for a new key; 0 or nothing: never. */
  keyMaxAgeMs?: number;
}

/** Milliseconds for which the key before the one in use is believed. */
const keyOverlapMs = 3_600_000;
const nonceLifetimeMs = 30_000;

export function createAgentAuthentication({
  database,
  serverKey,
  clock,
  log,
  keyMaxAgeMs = 0,
}: AuthenticationDeps): AgentAuthentication {
  function refuse(offer: HelloOffer, reason: string): never {
    log.warn({ agentId: offer.agentId, keyId: offer.keyId, reason }, 'an agent failed to authenticate');
    throw new ViworksError('authentication_failed', 'The agent could not be authenticated.');
  }

  const keysSince = () => new Date(keyMaxAgeMs === 0 ? 0 : clock.now() - keyMaxAgeMs);

  /** The id of the key that is accepted to follow, if the agent has one and it is in order. */
  async function takeNextKey(
    { offer, offerBytes, message }: OpenChallenge,
    { nextPublicKey, nextSignature }: ProofStatement,
  ): Promise<string | undefined> {
    if (nextPublicKey.byteLength === 0) return undefined;
    const input = nextKeyInput(offerBytes, message.terms, message.signature, nextPublicKey);
    if (!verifyBytes(nextPublicKey, input, nextSignature)) refuse(offer, 'it does not hold its next key');
    const next = { keyId: keyIdOf(nextPublicKey), publicKey: nextPublicKey };
    if (!(await acceptNextKey(database.query, offer, next, keysSince()))) return undefined;
    log.info({ agentId: offer.agentId, keyId: next.keyId }, 'the next key of an agent is accepted');
    return next.keyId;
  }

  return {
    keysSince,
    challenge(hello) {
      assertValid(HelloSchema, hello, 'protocol_violation', 'hello.');
      const offer = parse(HelloOfferSchema, hello.offer, 'hello.offer');
      assertValid(HelloOfferSchema, offer, 'protocol_violation', 'hello.offer.');
      const version = chooseVersion(offer.protocolVersions);
      if (version === undefined) {
        throw new ViworksError(
          'version_unsupported',
          `hello.offer.protocol_versions: this server speaks ${protocolFloor} to ${protocolVersion}.`,
        );
      }
      const terms = create(ChallengeTermsSchema, {
        nonce: randomBytes(32),
        serverTime: timestampFromMs(clock.now()),
        protocolVersion: version,
      });
      const termsBytes = toBinary(ChallengeTermsSchema, terms);
      const message = create(ChallengeSchema, {
        terms: termsBytes,
        signature: signBytes(serverKey, challengeInput(hello.offer, termsBytes)),
        keyId: serverKey.keyId,
      });
      return {
        offer,
        offerBytes: hello.offer,
        message,
        terms,
        expiresAt: clock.monotonic() + nonceLifetimeMs,
      };
    },

    async verify(challenge, proof) {
      const { offer, offerBytes, message, expiresAt } = challenge;
      assertValid(ProofSchema, proof, 'protocol_violation', 'proof.');
      const statement = parse(ProofStatementSchema, proof.statement, 'proof.statement');
      assertValid(ProofStatementSchema, statement, 'protocol_violation', 'proof.statement.');
      if (clock.monotonic() > expiresAt) refuse(offer, 'the challenge has expired');
      const now = new Date(clock.now());
      const key = await findAgentKey(database.query, offer.agentId, offer.incarnation, offer.keyId, now);
      if (key === undefined) refuse(offer, 'no such agent, incarnation and key');
      const input = proofInput(offerBytes, message.terms, message.signature, proof.statement);
      if (!verifyBytes(key.publicKey, input, proof.signature)) refuse(offer, 'the signature is wrong');
      if (key.role === 'next') {
        const until = new Date(clock.now() + keyOverlapMs);
        await promoteNextKey(database.query, offer, now, until);
        log.info({ agentId: offer.agentId, keyId: offer.keyId }, 'an agent uses its new key');
      }
      return { acceptedKeyId: await takeNextKey(challenge, statement) };
    },
  };
}

function parse<Desc extends Parameters<typeof fromBinary>[0]>(
  schema: Desc,
  bytes: Uint8Array,
  field: string,
) {
  try {
    return fromBinary(schema, bytes);
  } catch (cause) {
    throw new ViworksError('protocol_violation', `${field}: is not a serialised ${schema.typeName}.`, {
      cause,
    });
  }
}
