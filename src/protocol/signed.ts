/**
 * What is signed on the wire. Each input is a domain followed by the exact bytes of its parts, each with its
 * length in front, so that no two different inputs share a serialisation.
 */

const encoder = new TextEncoder();

/** lp(domain) lp(part) …, where lp(x) is the length of x as 4 bytes big endian, then x. */
export function signedInput(domain: string, ...parts: Uint8Array[]): Uint8Array {
  const all = [encoder.encode(domain), ...parts];
  const bytes = new Uint8Array(all.reduce((sum, part) => sum + 4 + part.byteLength, 0));
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const part of all) {
    view.setUint32(at, part.byteLength);
    bytes.set(part, at + 4);
    at += 4 + part.byteLength;
  }
  return bytes;
}

/** What the server's identity key signs in CHALLENGE. */
export const challengeInput = (offer: Uint8Array, terms: Uint8Array): Uint8Array =>
  signedInput('viworks.handshake.challenge.v1', offer, terms);

/** What the agent's key signs in PROOF. */
export const proofInput = (
  offer: Uint8Array,
  terms: Uint8Array,
  challengeSignature: Uint8Array,
  statement: Uint8Array,
): Uint8Array => signedInput('viworks.handshake.proof.v1', offer, terms, challengeSignature, statement);

/** What the agent's key signs at enrolment: it holds the key, and the token was meant for this identity. */
export const enrollInput = (token: string, agentId: string, publicKey: Uint8Array): Uint8Array =>
  signedInput('viworks.enroll.v1', encoder.encode(token), encoder.encode(agentId), publicKey);

/** What the key that is to follow signs in PROOF: the agent holds it too. */
export const nextKeyInput = (
  offer: Uint8Array,
  terms: Uint8Array,
  challengeSignature: Uint8Array,
  nextPublicKey: Uint8Array,
): Uint8Array =>
  signedInput('viworks.handshake.next-key.v1', offer, terms, challengeSignature, nextPublicKey);

/** What the agent's key signs where it asks an operator for an identity. */
export const enrollRequestInput = (agentId: string, publicKey: Uint8Array): Uint8Array =>
  signedInput('viworks.enroll-request.v1', encoder.encode(agentId), publicKey);

/** What the agent's key signs to use a session token. */
export function sessionTokenInput(
  token: string,
  purpose: string,
  counter: bigint,
  content: Uint8Array,
): Uint8Array {
  const count = Buffer.alloc(8);
  count.writeBigUInt64BE(counter);
  const [name, use] = [encoder.encode(token), encoder.encode(purpose)];
  return signedInput('viworks.session-token.v1', name, use, count, content);
}

/** What the server's identity key signs of the keys that sign commands. @param set a serialised CommandKeySet */
export const commandKeysInput = (set: Uint8Array): Uint8Array => signedInput('viworks.command-keys.v1', set);

/** What the server's identity key signs of certificates. @param document a serialised TlsTrustDocument */
export const tlsTrustInput = (document: Uint8Array): Uint8Array =>
  signedInput('viworks.tls-trust.v1', document);

/** What the agent's key signs of a request for a certificate at enrolment. */
export const certificateRequestInput = (agentId: string, request: Uint8Array): Uint8Array =>
  signedInput('viworks.certificate-request.v1', encoder.encode(agentId), request);

/** What the agent's key signs to get a certificate outside of a session. */
export function renewCertificateInput(
  agentId: string,
  incarnation: number,
  nonce: Uint8Array,
  request: Uint8Array,
): Uint8Array {
  const count = Buffer.alloc(4);
  count.writeUInt32BE(incarnation);
  return signedInput('viworks.renew-certificate.v1', encoder.encode(agentId), count, nonce, request);
}
