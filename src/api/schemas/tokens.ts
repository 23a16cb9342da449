import { z } from 'zod';
import type { IssuerKey, ServiceToken } from '../../identity/types.ts';
import { roles } from '../../identity/types.ts';
import { type Scope, siteForm, verbPatternForm } from '../../lib/scope.ts';
import {
  agentIdSchema,
  labelsSchema,
  nextPageToken,
  optionalTimeView,
  pageInput,
  siteSchema,
  timeSchema,
  timeView,
} from './common.ts';

const hourMs = 3_600_000;
const yearMs = 365 * 24 * hourMs;

export const createEnrollmentInput = z.strictObject({
  /** Every agent that enrols with the token belongs to this site. */
  site: siteSchema,
  labels: labelsSchema.default({}),
  /** How many agents may use it. */
  uses: z.int().min(1).max(100_000).default(1),
  lifetimeMs: z
    .int()
    .min(1000)
    .max(30 * 24 * hourMs)
    .default(hourMs),
  /** Only this identity may use it; with it, an identity that exists is enrolled anew. */
  agentId: agentIdSchema.optional(),
});

/** What a token is limited to; absent parts do not limit it. */
const limitsInput = {
  sites: z.array(z.string().regex(siteForm, 'must be names of sites')).min(1).max(1000).optional(),
  /** Names of verbs; a `*` at the end stands for any rest. */
  verbs: z
    .array(
      z
        .string()
        .regex(verbPatternForm, 'must be names of verbs, or their beginnings with a * as in docker.*'),
    )
    .min(1)
    .max(1000)
    .optional(),
};

export const createApiInput = z.strictObject({
  /** Whose token it is; shown in records. */
  subject: z.string().min(1).max(128),
  role: z.enum(roles),
  /** Absent: as configured. */
  lifetimeMs: z.int().min(1000).max(yearMs).optional(),
  ...limitsInput,
});

/** The token is shown once. */
export const tokenOutput = z.strictObject({ token: z.string(), expiresAt: timeSchema });

const printable = /^[^\p{C}]+$/u;

export const createTokenInput = z.strictObject({
  /** The actor of what it does. */
  name: z.string().min(1).max(128).regex(printable, 'must be printable text'),
  role: z.enum(roles),
  /** Absent: until it is revoked. */
  lifetimeMs: z
    .int()
    .min(1000)
    .max(10 * yearMs)
    .optional(),
  /** Calls in a window of `security.rate_limit_window`; 0: any number. Absent: as many as everybody. */
  rateLimit: z.int().min(0).max(1_000_000_000).optional(),
  ...limitsInput,
});

/** Undefined where nothing limits it. */
export function scopeOf({ sites, verbs }: { sites?: string[] | undefined; verbs?: string[] | undefined }) {
  if (sites === undefined && verbs === undefined) return undefined;
  return { ...(sites && { sites }), ...(verbs && { verbs }) };
}

export const scopeSchema = z.strictObject({
  sites: z.array(z.string()).optional(),
  verbs: z.array(z.string()).optional(),
  maxFleetShare: z.number().optional(),
});

export const scopeView = ({ sites, verbs, maxFleetShare }: Scope): z.output<typeof scopeSchema> => ({
  ...(sites && { sites: [...sites] }),
  ...(verbs && { verbs: [...verbs] }),
  ...(maxFleetShare === undefined ? {} : { maxFleetShare }),
});

const serviceTokenSchema = z.strictObject({
  tokenId: z.string(),
  name: z.string(),
  role: z.enum(roles),
  /** Absent: it is not limited. */
  scope: scopeSchema.optional(),
  /** Calls in a window; 0: any number. Absent: as many as everybody. */
  rateLimit: z.number().optional(),
  createdBy: z.string(),
  createdAt: timeSchema,
  /** Absent: it does not expire. */
  expiresAt: timeSchema.optional(),
  /** To the minute. */
  lastUsedAt: timeSchema.optional(),
  revokedAt: timeSchema.optional(),
  revokedBy: z.string().optional(),
});
export type ServiceTokenView = z.output<typeof serviceTokenSchema>;

export const serviceTokenView = (token: ServiceToken): ServiceTokenView => ({
  ...token,
  scope: token.scope && scopeView(token.scope),
  createdAt: timeView(token.createdAt),
  expiresAt: optionalTimeView(token.expiresAt),
  lastUsedAt: optionalTimeView(token.lastUsedAt),
  revokedAt: optionalTimeView(token.revokedAt),
});

/** The token is shown once. */
export const createTokenOutput = z.strictObject({ token: z.string(), details: serviceTokenSchema });
export const listTokensInput = z
  .strictObject({ withRevoked: z.boolean().default(false), ...pageInput })
  .prefault({});
export const listTokensOutput = z.strictObject({ tokens: z.array(serviceTokenSchema), nextPageToken });
export const revokeTokenInput = z.strictObject({
  /** Of a service token its id, of a signed one its `jti`. */
  tokenId: z.string().min(1).max(256).regex(printable, 'must be printable text'),
});
/** Absent: it is not the id of a service token; a signed token with it counts no more. */
export const revokeTokenOutput = z.strictObject({ revoked: serviceTokenSchema.optional() });

const issuerKeySchema = z.strictObject({
  keyId: z.string(),
  state: z.enum(['active', 'retired', 'over', 'revoked']),
  createdAt: timeSchema,
  createdBy: z.string(),
  /** Of a retired one: when the last token that it signed expires. */
  believedUntil: timeSchema.optional(),
  revokedAt: timeSchema.optional(),
  revokedBy: z.string().optional(),
});
export type IssuerKeyView = z.output<typeof issuerKeySchema>;

export const issuerKeyView = (key: IssuerKey): IssuerKeyView => ({
  ...key,
  createdAt: timeView(key.createdAt),
  believedUntil: optionalTimeView(key.believedUntil),
  revokedAt: optionalTimeView(key.revokedAt),
});

export const issuerKeysInput = z.strictObject({}).prefault({});
export const issuerKeysOutput = z.strictObject({ keys: z.array(issuerKeySchema) });
export const revokeKeyInput = z.strictObject({
  keyId: z.string().regex(/^[0-9a-f]{32}$/, 'must be the id of a key: 32 hexadecimal digits'),
});
