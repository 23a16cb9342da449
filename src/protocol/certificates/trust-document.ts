import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import {
  TlsAuthority_State as State,
  type TlsTrust,
  type TlsTrustDocument,
  TlsTrustDocumentSchema,
  TlsTrustSchema,
} from '#gen/viworks/agent/v1/certificate_pb.js';
import { ViworksError } from '../../errors.ts';
import { timestampMs } from '../envelope.ts';
import { type KeyPair, signBytes, verifyBytes } from '../keys.ts';
import { tlsTrustInput } from '../signed.ts';
import { assertValid } from '../validation.ts';

/** Which authorities and which keys of the server are believed below the handshake. Times: milliseconds since 1970. */
export interface TrustDocument {
  /** Grows with every change. */
  version: number;
  issuedAt: number;
  expiresAt: number;
  authorities: readonly TrustedAuthority[];
  /** First the one in use, then those that may follow; empty where the server is not pinned. */
  pins: readonly Uint8Array[];
}

export interface TrustedAuthority {
  /** DER. */
  certificate: Uint8Array;
  /** prepared: will issue; active: issues; retiring: did, and is believed for what it issued. */
  state: 'prepared' | 'active' | 'retiring';
}

const states = { prepared: State.PREPARED, active: State.ACTIVE, retiring: State.RETIRING };

export function signTrust(document: TrustDocument, key: KeyPair): TlsTrust {
  const { version, issuedAt, expiresAt, authorities, pins } = document;
  const bytes = toBinary(
    TlsTrustDocumentSchema,
    create(TlsTrustDocumentSchema, {
      version: BigInt(version),
      issuedAt: timestampFromMs(issuedAt),
      expiresAt: timestampFromMs(expiresAt),
      authorities: authorities.map(({ certificate, state }) => ({ certificate, state: states[state] })),
      pins: [...pins],
    }),
  );
  const signature = signBytes(key, tlsTrustInput(bytes));
  return create(TlsTrustSchema, { document: bytes, signature, keyId: key.keyId });
}

/** A key of the server that vouches for documents. */
export interface TrustSigner {
  keyId: string;
  publicKey: Uint8Array;
}

/**
 * Reads a document that one of the keys signed. Whether it is too old is the caller's to decide.
 * @throws authentication_failed where none did, protocol_violation
 */
export function openTrust(message: TlsTrust, signers: readonly TrustSigner[]): TrustDocument {
  assertValid(TlsTrustSchema, message, 'protocol_violation', 'tls_trust.');
  const signer = signers.find(({ keyId }) => keyId === message.keyId);
  if (signer === undefined)
    throw new ViworksError(
      'authentication_failed',
      'tls_trust: is signed with a key of the server that is not known here',
    );
  if (!verifyBytes(signer.publicKey, tlsTrustInput(message.document), message.signature))
    throw new ViworksError('authentication_failed', 'tls_trust: the signature is wrong');
  let document: TlsTrustDocument;
  try {
    document = fromBinary(TlsTrustDocumentSchema, message.document);
  } catch (cause) {
    throw new ViworksError('protocol_violation', 'tls_trust: the document cannot be read', { cause });
  }
  assertValid(TlsTrustDocumentSchema, document, 'protocol_violation', 'tls_trust.document.');
  return {
    version: Number(document.version),
    issuedAt: timestampMs(document.issuedAt) ?? 0,
    expiresAt: timestampMs(document.expiresAt) ?? 0,
    authorities: document.authorities.flatMap(({ certificate, state }) => {
      const known = stateNames.get(state);
      return known === undefined ? [] : [{ certificate, state: known }];
    }),
    pins: document.pins,
  };
}

const stateNames: ReadonlyMap<State, TrustedAuthority['state']> = new Map([
  [State.PREPARED, 'prepared'],
  [State.ACTIVE, 'active'],
  [State.RETIRING, 'retiring'],
]);
