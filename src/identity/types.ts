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
  /** Calls in a window that its token may make, in place of what everybody may; 0: any number. */
  rateLimit?: number | undefined;
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
  create(actor: string, spec: EnrollmentTokenSpec): Promise<CreatedToken>;
}

export interface CreatedToken {
  /** What it is called in lists. */
  tokenId: string;
  token: string;
  expiresAt: Date;
}

export const enrollmentTokenStates = ['active', 'spent', 'expired', 'revoked'] as const;

/** What is known of a token; the token itself is not stored. */
export interface EnrollmentToken {
  tokenId: string;
  site: string;
  labels: Record<string, string>;
  /** Only this identity may use it. */
  agentId: string | undefined;
  uses: number;
  usesLeft: number;
  createdBy: string;
  createdAt: Date;
  expiresAt: Date;
  state: (typeof enrollmentTokenStates)[number];
  revokedBy: string | undefined;
  /** The agents that enrolled with it, newest first, at most 100. */
  usedBy: string[];
}

export const enrollmentRequestStates = ['pending', 'approved', 'rejected'] as const;

/** An agent without a token that asks to be enrolled. */
export interface EnrollmentRequest {
  requestId: string;
  agentId: string;
  /** The fingerprint of its key. */
  keyId: string;
  labels: Record<string, string>;
  hostname: string;
  remoteAddress: string;
  state: (typeof enrollmentRequestStates)[number];
  requestedAt: Date;
  expiresAt: Date;
  decidedBy: string | undefined;
  decidedAt: Date | undefined;
  reason: string | undefined;
  /** The identity exists: an approval enrols it anew. */
  agentExists: boolean;
}

export interface EnrollmentApproval {
  /** As the agent shows it; dashes do not count. */
  fingerprint: string;
  site: string;
  /** On top of those that the agent asked for. */
  labels: Record<string, string>;
  /** An identity that exists is enrolled anew, and what waits for it is cancelled. */
  again: boolean;
}

/** What the API calls to look after enrolment. */
export interface EnrollmentAdmin {
  /** Newest first. */
  listTokens(filter: { all: boolean }, page: PageRequest): Promise<Page<EnrollmentToken>>;
  /** @throws enrollment_unknown */
  getToken(tokenId: string): Promise<EnrollmentToken>;
  /** Nobody enrols with it any more; who did stays enrolled. @throws enrollment_unknown */
  revokeToken(actor: string, tokenId: string): Promise<EnrollmentToken>;
  /** Newest first. */
  listRequests(filter: { all: boolean }, page: PageRequest): Promise<Page<EnrollmentRequest>>;
  /** @throws enrollment_unknown, enrollment_state, agent_exists, invalid_request where the fingerprint differs */
  approve(actor: string, requestId: string, approval: EnrollmentApproval): Promise<EnrollmentRequest>;
  /** @throws enrollment_unknown, enrollment_state */
  reject(actor: string, requestId: string, reason: string): Promise<EnrollmentRequest>;
}

/** What the API calls. */
export interface CommandKeyService {
  list(): Promise<CommandKeyList>;
  /** A new key signs from now on, or after a delay. @throws command_key_state */
  rotate(actor: string, options?: RotateOptions): Promise<CommandKeyList>;
  /** The key is believed no more, by any agent, at once. @throws command_key_unknown */
  revoke(actor: string, keyId: string, reason: string): Promise<CommandKeyList>;
}

export interface RotateOptions {
  /** Milliseconds until the new key signs; agents know it from now on. */
  delayMs?: number | undefined;
  /** Milliseconds that the keys before it are believed after that; with a delay, a minute at least. */
  overlapMs?: number | undefined;
}

export interface CommandKeyList {
  /** The server's identity, which agents know from their enrolment; it vouches for the others. */
  serverKey: { keyId: string; publicKey: Uint8Array };
  /** Of the set that agents believe. */
  version: number;
  /** Newest first. */
  keys: CommandKey[];
}

export interface CommandKey {
  keyId: string;
  /** next: will sign; active: signs; retired: did, and is believed until `notAfter`; revoked: believed by nobody. */
  state: 'next' | 'active' | 'retired' | 'revoked';
  createdAt: Date;
  createdBy: string;
  notBefore: Date | undefined;
  notAfter: Date | undefined;
  revokedAt: Date | undefined;
  revokedBy: string | undefined;
  revokeReason: string | undefined;
}

/** A long-lived token of an application. */
export interface ServiceToken {
  tokenId: string;
  name: string;
  role: Role;
  scope: Scope | undefined;
  /** Calls in a window of `security.rate_limit_window`; 0: any number. Undefined: as many as everybody. */
  rateLimit: number | undefined;
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
  /** Calls in a window; 0: any number. Undefined: as many as everybody. */
  rateLimit?: number | undefined;
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
