import { z } from 'zod';
import { roles } from '../../identity/types.ts';
import { agentIdSchema, labelsSchema, siteSchema, timeSchema } from './common.ts';

const hourMs = 3_600_000;

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

export const createApiInput = z.strictObject({
  /** Whose token it is; shown in records. */
  subject: z.string().min(1).max(128),
  role: z.enum(roles),
  /** Absent: as configured. */
  lifetimeMs: z
    .int()
    .min(1000)
    .max(365 * 24 * hourMs)
    .optional(),
});

/** The token is shown once. */
export const tokenOutput = z.strictObject({ token: z.string(), expiresAt: timeSchema });
