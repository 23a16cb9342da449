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
import { createMemoryNonceCache, type NonceCache, nonceCapacity } from '../bus/nonces.ts';
import { ViworksError } from '../errors.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/logger.ts';
import { timestampMs } from '../protocol/envelope.ts';
import { type KeyPair, signBytes, verifyBytes } from '../protocol/keys.ts';
import { type Ephemeral, newEphemeral, publicKeyBytes, sameBytes } from '../protocol/sealing/primitives.ts';
import { type SessionSecrets, sessionSecrets } from '../protocol/sealing/secrets.ts';
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
  /**
   * Answers HELLO without the database.
   * @throws protocol_violation, version_unsupported, unavailable
   */
  challenge(hello: Hello): Promise<OpenChallenge>;
  /**
   * Checks PROOF against the key of the newest incarnation.
   * @param tlsExporter of this end of the connection, where it has one
   * @throws authentication_failed with one indistinct message; database_unavailable, unavailable when it cannot be
   * checked
   */
  verify(challenge: OpenChallenge, proof: Proof, tlsExporter?: Uint8Array): Promise<Authenticated>;
  /** The connection is gone before its PROOF: the challenge makes room for another. */
  abandon(challenge: OpenChallenge): void;
}

export interface OpenChallenge {
  offer: HelloOffer;
  offerBytes: Uint8Array;
  message: Challenge;
  terms: ChallengeTerms;
  /** On the monotonic clock: the nonce is good until then. */
  expiresAt: number;
  /** Where the session will be sealed. */
  ephemeral: Ephemeral | undefined;
}

export interface Authenticated {
  /** The key that signed. */
  publicKey: Uint8Array;
  /** Where the session is sealed. */
  secrets: SessionSecrets | undefined;
}

/** Why an agent is refused; for records, and never for the agent. */
export type RefusalReason =
  | 'challenge_expired'
  | 'challenge_used'
  | 'key_unknown'
  | 'signature_wrong'
  | 'confirmation_wrong'
  | 'not_sealed'
  | 'tls_exporter_absent'
  | 'tls_exporter_differs';

export interface RefusedAgent {
  /** As it says of itself: nothing of it is proven. */
  agentId: string;
  incarnation: number;
  keyId: string;
}

/** Whether envelopes are sealed: never, where the agent offers it, or else no session. */
export type SealingMode = 'off' | 'on' | 'required';
/** Whether the TLS exporter that the agent signed must be ours, is compared for the log, or is not looked at. */
export type ExporterPolicy = 'require' | 'record' | 'off';

export interface AuthenticationDeps {
  database: Database;
  serverKey: KeyPair;
  clock: Clock;
  log: Logger;
  nonces?: NonceCache;
  sealing?: SealingMode;
  tlsExporter?: ExporterPolicy;
  /** Told of every refusal beside the log. */
  onRefused?: (reason: RefusalReason, agent: RefusedAgent) => void;
}

const nonceLifetimeMs = 30_000;
/** An agent whose clock is further off than this is worth a word; nothing is decided by it. */
const skewWorthTellingMs = 60_000;

export function createAgentAuthentication(deps: AuthenticationDeps): AgentAuthentication {
  const { database, serverKey, clock, log, sealing = 'on', tlsExporter: exporterPolicy = 'record' } = deps;
  const nonces = deps.nonces ?? createMemoryNonceCache({ capacity: nonceCapacity }, clock);

  function refuse({ agentId, incarnation, keyId }: HelloOffer, reason: RefusalReason): never {
    log.warn({ agentId, incarnation, keyId, reason }, 'an agent failed to authenticate');
    deps.onRefused?.(reason, { agentId, incarnation, keyId });
    throw new ViworksError('authentication_failed', 'The agent could not be authenticated.');
  }

  function checkExporter(offer: HelloOffer, theirs: Uint8Array, ours: Uint8Array | undefined): void {
    if (exporterPolicy === 'off') return;
    const present = ours !== undefined && theirs.byteLength > 0;
    if (present && sameBytes(ours, theirs)) return;
    if (exporterPolicy === 'require') refuse(offer, present ? 'tls_exporter_differs' : 'tls_exporter_absent');
    if (present || ours !== undefined || theirs.byteLength > 0) {
      const { agentId } = offer;
      log.warn({ agentId }, 'the TLS of the agent does not end here: something stands between');
    }
  }

  return {
    async challenge(hello) {
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
      const offered = offer.ephemeralKey.byteLength;
      if (offered !== 0 && offered !== publicKeyBytes) {
        throw new ViworksError(
          'protocol_violation',
          'hello.offer.ephemeral_key: must have 32 bytes, or none.',
        );
      }
      const ephemeral = offered === 0 || sealing === 'off' ? undefined : newEphemeral();
      const nonce = new Uint8Array(randomBytes(32));
      const terms = create(ChallengeTermsSchema, {
        nonce,
        serverTime: timestampFromMs(clock.now()),
        protocolVersion: version,
        ...(ephemeral === undefined ? {} : { ephemeralKey: ephemeral.publicKey }),
      });
      const termsBytes = toBinary(ChallengeTermsSchema, terms);
      const message = create(ChallengeSchema, {
        terms: termsBytes,
        signature: signBytes(serverKey, challengeInput(hello.offer, termsBytes)),
        keyId: serverKey.keyId,
      });
      const expiresAt = clock.monotonic() + nonceLifetimeMs;
      await nonces.issue(nonce, nonceLifetimeMs);
      return { offer, offerBytes: hello.offer, message, terms, expiresAt, ephemeral };
    },

    async verify({ offer, offerBytes, message, terms, expiresAt, ephemeral }, proof, tlsExporter) {
      assertValid(ProofSchema, proof, 'protocol_violation', 'proof.');
      const statement = parse(ProofStatementSchema, proof.statement, 'proof.statement');
      assertValid(ProofStatementSchema, statement, 'protocol_violation', 'proof.statement.');
      if (clock.monotonic() > expiresAt) refuse(offer, 'challenge_expired');
      // First of all, so that nothing that follows is tried twice with one challenge.
      if (!(await nonces.consume(terms.nonce))) refuse(offer, 'challenge_used');
      const publicKey = await findAgentKey(database.query, offer.agentId, offer.incarnation, offer.keyId);
      if (publicKey === undefined) refuse(offer, 'key_unknown');
      const input = proofInput(offerBytes, message.terms, message.signature, proof.statement);
      if (!verifyBytes(publicKey, input, proof.signature)) refuse(offer, 'signature_wrong');
      checkExporter(offer, statement.tlsExporter, tlsExporter);
      const skewMs = Math.round((timestampMs(statement.agentTime) ?? 0) - clock.now());
      if (Math.abs(skewMs) > skewWorthTellingMs) {
        log.warn({ agentId: offer.agentId, skewMs }, 'the clock of an agent is off');
      }
      if (ephemeral === undefined) {
        if (sealing === 'required') refuse(offer, 'not_sealed');
        return { publicKey, secrets: undefined };
      }
      const secrets = sessionSecrets(ephemeral.agree(offer.ephemeralKey), {
        offer: offerBytes,
        terms: message.terms,
        challengeSignature: message.signature,
        statement: proof.statement,
        proofSignature: proof.signature,
      });
      if (!sameBytes(secrets.confirmations.agent, proof.confirmation)) refuse(offer, 'confirmation_wrong');
      return { publicKey, secrets };
    },

    abandon({ terms }) {
      // Where it cannot be given back it is over by itself soon.
      nonces.consume(terms.nonce).catch(() => {});
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
