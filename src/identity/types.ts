/** Who a caller of the API is, and what it may do. */

export const roles = ['viewer', 'operator', 'admin'] as const;
/** Each role may do what the ones before it may. */
export type Role = (typeof roles)[number];

export interface Actor {
  /** The `sub` of the token; shown in records. */
  subject: string;
  role: Role;
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
