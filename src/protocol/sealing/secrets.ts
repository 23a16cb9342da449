import { signedInput } from '../signed.ts';
import { derivation, digest } from './primitives.ts';

/** Which way a frame goes, as it stands in nonces and additional data. */
export const directions = { agent: 1, server: 2 } as const;
/** Who sends. */
export type Role = keyof typeof directions;

/** All that was said and signed in a handshake, as it was sent. */
export interface Transcript {
  offer: Uint8Array;
  terms: Uint8Array;
  challengeSignature: Uint8Array;
  statement: Uint8Array;
  proofSignature: Uint8Array;
}

/** What both ends of one session alone know. */
export interface SessionSecrets {
  /** Of each direction: what its keys are made of, one after the other. */
  chains: Record<Role, Uint8Array>;
  /** What each end says to show that it has them. */
  confirmations: Record<Role, Uint8Array>;
}

const none = new Uint8Array(0);

export function transcriptHash(said: Transcript): Uint8Array {
  const { offer, terms, challengeSignature, statement, proofSignature } = said;
  const domain = 'viworks.handshake.transcript.v1';
  return digest(signedInput(domain, offer, terms, challengeSignature, statement, proofSignature));
}

/** @param shared of the two ephemeral keys */
export function sessionSecrets(shared: Uint8Array, said: Transcript): SessionSecrets {
  const derive = derivation(shared, transcriptHash(said));
  const of = (info: string): Record<Role, Uint8Array> => ({
    agent: derive(`${info}.agent.v1`),
    server: derive(`${info}.server.v1`),
  });
  return { chains: of('viworks.seal'), confirmations: of('viworks.seal.confirm') };
}

/** The key that encrypts, of one generation. */
export const keyOfChain = (chain: Uint8Array): Uint8Array => derivation(chain, none)('viworks.seal.key.v1');

/** What is known of the next chain tells nothing of this one. */
export const nextChain = (chain: Uint8Array): Uint8Array => derivation(chain, none)('viworks.seal.next.v1');

/** What was known of this chain tells nothing of the next one. */
export const freshChain = (chain: Uint8Array, shared: Uint8Array): Uint8Array =>
  derivation(shared, chain)('viworks.seal.fresh.v1');
