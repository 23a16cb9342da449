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
  ProofStatementSchema,
} from '#gen/viworks/agent/v1/handshake_pb.js';
import { ViworksError } from '../errors.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/logger.ts';
import { type KeyPair, signBytes, verifyBytes } from '../protocol/keys.ts';
import { challengeInput, proofInput } from '../protocol/signed.ts';
import { assertValid } from '../protocol/validation.ts';
import { chooseVersion, protocolFloor, protocolVersion } from '../protocol/versions.ts';
import type { Database } from '../storage/database.ts';
import { findAgentKey } from '../storage/enrollment.ts';

/**
 * Authentication of agents: the server's half of the handshake. Both sides sign the exact bytes that were
 * said, so nothing in HELLO can be stripped or altered on the way.
 */
export interface AgentAuthentication {
  /** Answers HELLO at once, without the database. @throws protocol_violation, version_unsupported */
  challenge(hello: Hello): OpenChallenge;
  /**
   * Checks PROOF against the key of the newest incarnation.
   * @throws authentication_failed with one indistinct message; database_unavailable when it cannot be checked
   */
  verify(challenge: OpenChallenge, proof: Proof): Promise<void>;
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
  /** Told of each agent that is refused, and why. */
  onRefused?: ((reason: string, facts: { agentId: string; keyId: string }) => void) | undefined;
}

const nonceLifetimeMs = 30_000;

export function createAgentAuthentication({
  database,
  serverKey,
  clock,
  log,
  onRefused,
}: AuthenticationDeps): AgentAuthentication {
  function refuse(offer: HelloOffer, reason: string): never {
    log.warn({ agentId: offer.agentId, keyId: offer.keyId, reason }, 'an agent failed to authenticate');
    onRefused?.(reason, { agentId: offer.agentId, keyId: offer.keyId });
    throw new ViworksError('authentication_failed', 'The agent could not be authenticated.');
  }

  return {
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

    async verify({ offer, offerBytes, message, expiresAt }, proof) {
      assertValid(ProofSchema, proof, 'protocol_violation', 'proof.');
      const statement = parse(ProofStatementSchema, proof.statement, 'proof.statement');
      assertValid(ProofStatementSchema, statement, 'protocol_violation', 'proof.statement.');
      if (clock.monotonic() > expiresAt) refuse(offer, 'the challenge has expired');
      const key = await findAgentKey(database.query, offer.agentId, offer.incarnation, offer.keyId);
      if (key === undefined) refuse(offer, 'no such agent, incarnation and key');
      const input = proofInput(offerBytes, message.terms, message.signature, proof.statement);
      if (!verifyBytes(key, input, proof.signature)) refuse(offer, 'the signature is wrong');
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
