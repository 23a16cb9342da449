import { randomBytes } from 'node:crypto';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import {
  type Challenge,
  ChallengeSchema,
  type ChallengeTerms,
  ChallengeTermsSchema,
  type ExecutionAccount,
  type Hello,
  type HelloOffer,
  HelloOfferSchema,
  HelloSchema,
  type Proof,
  ProofSchema,
  type ProofStatement,
  ProofStatementSchema,
} from '#gen/viworks/agent/v1/handshake_pb.js';
import { createMemoryNonceCache, type NonceCache, nonceCapacity } from '../bus/nonces.ts';
import { ViworksError } from '../errors.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/logger.ts';
import type { ShownCertificate } from '../protocol/certificates/client-check.ts';
import { timestampMs } from '../protocol/envelope.ts';
import { type KeyPair, keyIdOf, signBytes, verifyBytes } from '../protocol/keys.ts';
import { type Ephemeral, newEphemeral, publicKeyBytes, sameBytes } from '../protocol/sealing/primitives.ts';
import { type SessionSecrets, sessionSecrets } from '../protocol/sealing/secrets.ts';
import { challengeInput, nextKeyInput, proofInput } from '../protocol/signed.ts';
import { assertValid } from '../protocol/validation.ts';
import { chooseVersion, protocolFloor, protocolVersion } from '../protocol/versions.ts';
import {
  type AgentKeyName,
  type AgentKeyRow,
  acceptNextKey,
  findAgentKeys,
  promoteNextKey,
} from '../storage/agent-keys.ts';
import { createBatchWriter } from '../storage/batch-writer.ts';
import type { Database } from '../storage/database.ts';
import type { CertificateRefusal, Certificates } from './certificates/certificates.ts';
import { createWaitingOffers, withoutAccount } from './waiting-offers.ts';

/**
 * Authentication of agents: the server's half of the handshake. Both sides sign the exact bytes that were
 * said, so nothing in HELLO can be stripped or altered on the way.
 */
export interface AgentAuthentication {
  /**
   * Answers HELLO without the database.
   * @param address where the agent is, for records
   * @throws protocol_violation, version_unsupported, unavailable
   */
  challenge(hello: Hello, address?: string): Promise<OpenChallenge>;
  /**
   * Checks PROOF against the keys of the newest incarnation, and takes the key that is to follow, where one was
   * asked for.
   * @param tls what is known of the connection's TLS at this end
   * @throws authentication_failed with one indistinct message; database_unavailable, unavailable when it cannot be
   * checked
   */
  verify(challenge: OpenChallenge, proof: Proof, tls?: TlsFacts): Promise<Authenticated>;
  /** The connection is gone before its PROOF: the challenge makes room for another. */
  abandon(challenge: OpenChallenge): void;
  /** A key that is older than this is to be replaced. */
  keysSince(): Date;
}

export interface OpenChallenge {
  /** Without its executions. */
  offer: HelloOffer;
  offerBytes: Uint8Array;
  message: Challenge;
  terms: ChallengeTerms;
  /** On the monotonic clock: the nonce is good until then. */
  expiresAt: number;
  /** Where the session will be sealed. */
  ephemeral: Ephemeral | undefined;
  /** The offer waits no more. */
  release(): void;
}

export interface TlsFacts {
  tlsExporter?: Uint8Array | undefined;
  /** What the agent showed; that it holds the key, TLS has seen to. DER. */
  certificate?: Uint8Array | undefined;
}

export interface Authenticated {
  /** The key that signed. */
  publicKey: Uint8Array;
  /** Where the session is sealed. */
  secrets: SessionSecrets | undefined;
  /** The key that is accepted to follow. */
  acceptedKeyId: string | undefined;
  /** The one that was shown, and counts. */
  certificate: ShownCertificate | undefined;
  /** What the agent says it has. */
  executions: readonly ExecutionAccount[];
}

/** Why an agent is refused; for records, and never for the agent. */
export type RefusalReason =
  | 'challenge_expired'
  | 'challenge_used'
  | 'key_unknown'
  | 'signature_wrong'
  | 'confirmation_wrong'
  | 'next_key_wrong'
  | 'not_sealed'
  | 'tls_exporter_absent'
  | 'tls_exporter_differs'
  | CertificateRefusal;

export interface RefusedAgent {
  /** As it says of itself: nothing of it is proven. */
  agentId: string;
  incarnation: number;
  keyId: string;
  address: string | undefined;
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
  /** Milliseconds after which an agent is asked for a new key; 0 or nothing: never. */
  keyMaxAgeMs?: number;
  nonces?: NonceCache;
  sealing?: SealingMode;
  tlsExporter?: ExporterPolicy;
  /** Decides about what agents show beside their proof. */
  certificates?: Pick<Certificates, 'check'> | undefined;
  /** Told of every refusal beside the log. */
  onRefused?: (reason: RefusalReason, agent: RefusedAgent) => void;
}

/** Milliseconds for which the key before the one in use is believed. */
const keyOverlapMs = 3_600_000;
const nonceLifetimeMs = 30_000;
/** Bytes of all offers that wait for their proof; an agent that has nothing to tell takes a few hundred. */
const waitingBytes = 64 * 1024 * 1024;
/** An agent whose clock is further off than this is worth a word; nothing is decided by it. */
const skewWorthTellingMs = 60_000;

export function createAgentAuthentication(deps: AuthenticationDeps): AgentAuthentication {
  const { database, serverKey, clock, log, sealing = 'on', keyMaxAgeMs = 0 } = deps;
  const { tlsExporter: exporterPolicy = 'record' } = deps;
  const nonces = deps.nonces ?? createMemoryNonceCache({ capacity: nonceCapacity }, clock);

  const waiting = createWaitingOffers(waitingBytes);

  /** The keys of those who come at the same time are looked up together. */
  const keys = createBatchWriter<AgentKeyName, AgentKeyRow | undefined>({
    maximumBatch: 500,
    maximumWaiting: 100_000,
    retryForMs: 0,
    write: (names) => findAgentKeys(database.query, names, new Date(clock.now())),
  });

  /** Where those are who made an offer: what is checked has the offer in hand, whatever it is. */
  const addresses = new WeakMap<HelloOffer, string>();

  function refuse(offer: HelloOffer, reason: RefusalReason): never {
    const { agentId, incarnation, keyId } = offer;
    const refused = { agentId, incarnation, keyId, address: addresses.get(offer) };
    log.warn({ ...refused, reason }, 'an agent failed to authenticate');
    deps.onRefused?.(reason, refused);
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

  function tellSkew({ agentId }: HelloOffer, { agentTime }: ProofStatement): void {
    const skewMs = Math.round((timestampMs(agentTime) ?? 0) - clock.now());
    if (Math.abs(skewMs) > skewWorthTellingMs) log.warn({ agentId, skewMs }, 'the clock of an agent is off');
  }

  /** The secrets of the session, where it is sealed. */
  function sealedBy(
    { offer, offerBytes, message, ephemeral }: OpenChallenge,
    { statement, signature, confirmation }: Proof,
  ): SessionSecrets | undefined {
    if (ephemeral === undefined) {
      if (sealing === 'required') refuse(offer, 'not_sealed');
      return undefined;
    }
    const secrets = sessionSecrets(ephemeral.agree(offer.ephemeralKey), {
      offer: offerBytes,
      terms: message.terms,
      challengeSignature: message.signature,
      statement,
      proofSignature: signature,
    });
    if (!sameBytes(secrets.confirmations.agent, confirmation)) refuse(offer, 'confirmation_wrong');
    return secrets;
  }

  const keysSince = () => new Date(keyMaxAgeMs === 0 ? 0 : clock.now() - keyMaxAgeMs);

  /** The id of the key that is accepted to follow, if the agent has one and it is in order. */
  async function takeNextKey(
    { offer, offerBytes, message }: OpenChallenge,
    { nextPublicKey, nextSignature }: ProofStatement,
  ): Promise<string | undefined> {
    if (nextPublicKey.byteLength === 0) return undefined;
    const input = nextKeyInput(offerBytes, message.terms, message.signature, nextPublicKey);
    if (!verifyBytes(nextPublicKey, input, nextSignature)) refuse(offer, 'next_key_wrong');
    const next = { keyId: keyIdOf(nextPublicKey), publicKey: nextPublicKey };
    if (!(await acceptNextKey(database.query, offer, next, keysSince()))) return undefined;
    log.info({ agentId: offer.agentId, keyId: next.keyId }, 'the next key of an agent is accepted');
    return next.keyId;
  }

  return {
    keysSince,
    async challenge(hello, address) {
      assertValid(HelloSchema, hello, 'protocol_violation', 'hello.');
      const offer = parse(HelloOfferSchema, () => withoutAccount(hello.offer), 'hello.offer');
      assertValid(HelloOfferSchema, offer, 'protocol_violation', 'hello.offer.');
      if (address !== undefined) addresses.set(offer, address);
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
      const release = waiting.hold(hello.offer.byteLength);
      try {
        await nonces.issue(nonce, nonceLifetimeMs);
      } catch (error) {
        release();
        throw error;
      }
      return { offer, offerBytes: hello.offer, message, terms, expiresAt, ephemeral, release };
    },

    async verify(challenge, proof, { tlsExporter, certificate: shown } = {}) {
      const { offer, offerBytes, message, terms, expiresAt } = challenge;
      challenge.release();
      assertValid(ProofSchema, proof, 'protocol_violation', 'proof.');
      const statement = parse(ProofStatementSchema, () => proof.statement, 'proof.statement');
      assertValid(ProofStatementSchema, statement, 'protocol_violation', 'proof.statement.');
      if (clock.monotonic() > expiresAt) refuse(offer, 'challenge_expired');
      // First of all, so that nothing that follows is tried twice with one challenge.
      if (!(await nonces.consume(terms.nonce))) refuse(offer, 'challenge_used');
      const now = new Date(clock.now());
      const key = await keys.add(offer);
      if (key === undefined) refuse(offer, 'key_unknown');
      const input = proofInput(offerBytes, message.terms, message.signature, proof.statement);
      if (!verifyBytes(key.publicKey, input, proof.signature)) refuse(offer, 'signature_wrong');
      const { executions } = whole(offerBytes);
      checkExporter(offer, statement.tlsExporter, tlsExporter);
      const { problem, certificate } = deps.certificates?.check(offer, shown) ?? {};
      if (problem !== undefined) refuse(offer, problem);
      const secrets = sealedBy(challenge, proof);
      tellSkew(offer, statement);
      if (key.role === 'next') {
        const until = new Date(clock.now() + keyOverlapMs);
        await promoteNextKey(database.query, offer, now, until);
        log.info({ agentId: offer.agentId, keyId: offer.keyId }, 'an agent uses its new key');
      }
      const acceptedKeyId = await takeNextKey(challenge, statement);
      return { publicKey: key.publicKey, secrets, acceptedKeyId, certificate, executions };
    },

    abandon({ terms, release }) {
      release();
      // Where it cannot be given back it is over by itself soon.
      nonces.consume(terms.nonce).catch(() => {});
    },
  };
}

/** The offer with all that it says. @throws protocol_violation */
function whole(offerBytes: Uint8Array): HelloOffer {
  const offer = parse(HelloOfferSchema, () => offerBytes, 'hello.offer');
  assertValid(HelloOfferSchema, offer, 'protocol_violation', 'hello.offer.');
  return offer;
}

function parse<Desc extends Parameters<typeof fromBinary>[0]>(
  schema: Desc,
  bytes: () => Uint8Array,
  field: string,
) {
  try {
    return fromBinary(schema, bytes());
  } catch (cause) {
    throw new ViworksError('protocol_violation', `${field}: is not a serialised ${schema.typeName}.`, {
      cause,
    });
  }
}
