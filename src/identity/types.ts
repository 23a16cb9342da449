import type { Page, PageRequest } from '../lib/page.ts';
import type { Scope } from '../lib/scope.ts';

/** Who a caller of the API is, and what it may do. */

export const roles = ['viewer', 'operator', 'admin'] as const;
/** Each role may do what the ones before it may. */
export type Role = (typeof roles)[number];

export interface Actor {
  /** The `sub` of the token; shown in records. */
  subject: string;
  role: Role;
  /** What it is limited to; undefined where it is not. */
  scope?: Scope | undefined;
  /** The id of its token, by which it can be revoked. */
  tokenId?: string | undefined;
}

export interface EnrollmentTokenSpec {
  site: string;
  labels: Record<string, string>;
  /** How many agents may use it. */
  uses: number;
  lifetimeMs: number;
  /** Only this identity may use it; with it, an identity that exists is enrolled anew. */
  agentId?: string | undefined;
}

/** What the API calls. */
export interface EnrollmentTokens {
  /** The token is returned once; only its hash is stored. */
  create(actor: string, spec: EnrollmentTokenSpec): Promise<{ token: string; expiresAt: Date }>;
}

/** A long-lived token of an application. */
export interface ServiceToken {
  tokenId: string;
  name: string;
  role: Role;
  scope: Scope | undefined;
  createdBy: string;
  createdAt: Date;
  /** Undefined: it does not expire. */
  expiresAt: Date | undefined;
  /** To the minute. */
  lastUsedAt: Date | undefined;
  revokedAt: Date | undefined;
  revokedBy: string | undefined;
}

export interface ServiceTokenSpec {
  /** The subject of what it does. */
  name: string;
  role: Role;
  scope?: Scope | undefined;
  /** Undefined: until it is revoked. */
  lifetimeMs?: number | undefined;
}

/** What the API calls of service tokens, and of the end of any token. */
export interface TokenService {
  /** The token is returned once; only a keyed hash of it is stored. */
  create(actor: string, spec: ServiceTokenSpec): Promise<{ token: string; details: ServiceToken }>;
  /** Newest first. */
  list(filter: { withRevoked: boolean }, page: PageRequest): Promise<Page<ServiceToken>>;
  /**
   * Ends a token: a service token by its id, a signed one by its `jti`. Repeating it changes nothing.
   * Answers with the service token, if it is one.
   */
  revoke(actor: string, tokenId: string): Promise<ServiceToken | undefined>;
}

export interface IssuerKey {
  keyId: string;
  /** active: it signs. retired: it is believed until its last token has expired. over: that has happened. */
  state: 'active' | 'retired' | 'over' | 'revoked';
  createdAt: Date;
  createdBy: string;
  /** Of a retired one. */
  believedUntil: Date | undefined;
  revokedAt: Date | undefined;
  revokedBy: string | undefined;
}

/** A JSON Web Key Set (RFC 7517) of Ed25519 keys (RFC 8037). */
export interface Jwks {
  keys: {
    kty: 'OKP';
    crv: 'Ed25519';
    x: string;
    kid: string;
    alg: 'EdDSA';
    use: 'sig';
  }[];
}

/** What the API calls of the keys that sign tokens. */
export interface IssuerKeyService {
  /** Newest first, 200 at most. */
  listKeys(): Promise<IssuerKey[]>;
  /** A new key signs from now on; the one before is believed until its tokens have expired. */
  rotateKey(actor: string): Promise<IssuerKey[]>;
  /** No token that the key signed is believed any more. @throws issuer_key_unknown */
  revokeKey(actor: string, keyId: string): Promise<IssuerKey[]>;
  /** What others verify our tokens with. */
  jwks(): Promise<Jwks>;
}
