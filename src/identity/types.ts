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
