import { z } from 'zod';
import {
  type EnrollmentRequest,
  type EnrollmentToken,
  enrollmentRequestStates,
  enrollmentTokenStates,
} from '../../identity/types.ts';
import {
  countSchema,
  labelsSchema,
  nextPageToken,
  optionalTimeView,
  pageInput,
  reasonSchema,
  siteSchema,
  timeSchema,
  timeView,
} from './common.ts';

const labels = z.record(z.string(), z.string());

const enrollmentTokenSchema = z.strictObject({
  tokenId: z.string(),
  site: z.string(),
  labels,
  /** Only this identity may use it; absent: any new one. */
  agentId: z.string().optional(),
  uses: countSchema,
  usesLeft: countSchema,
  createdBy: z.string(),
  createdAt: timeSchema,
  expiresAt: timeSchema,
  state: z.enum(enrollmentTokenStates),
  revokedBy: z.string().optional(),
  /** The agents that enrolled with it, newest first, at most 100. */
  usedBy: z.array(z.string()),
});
export type EnrollmentTokenView = z.output<typeof enrollmentTokenSchema>;

export function enrollmentTokenView({ createdAt, expiresAt, ...rest }: EnrollmentToken): EnrollmentTokenView {
  return { ...rest, createdAt: timeView(createdAt), expiresAt: timeView(expiresAt) };
}

const enrollmentRequestSchema = z.strictObject({
  requestId: z.string(),
  agentId: z.string(),
  /** The fingerprint of its key, as the agent shows it on its own terminal. */
  keyId: z.string(),
  /** Labels that it asks for. */
  labels,
  hostname: z.string(),
  remoteAddress: z.string(),
  state: z.enum(enrollmentRequestStates),
  requestedAt: timeSchema,
  expiresAt: timeSchema,
  decidedBy: z.string().optional(),
  decidedAt: timeSchema.optional(),
  reason: z.string().optional(),
  /** The identity exists: an approval enrols it anew and cancels its queue. */
  agentExists: z.boolean(),
});
export type EnrollmentRequestView = z.output<typeof enrollmentRequestSchema>;

export function enrollmentRequestView(request: EnrollmentRequest): EnrollmentRequestView {
  return {
    ...request,
    requestedAt: timeView(request.requestedAt),
    expiresAt: timeView(request.expiresAt),
    decidedAt: optionalTimeView(request.decidedAt),
  };
}

export const createTokenOutput = z.strictObject({
  tokenId: z.string(),
  /** Shown once. */
  token: z.string(),
  expiresAt: timeSchema,
});

/** `all`: also what counts no more. */
export const listEnrollmentInput = z
  .strictObject({ all: z.boolean().default(false), ...pageInput })
  .prefault({});
export const listTokensOutput = z.strictObject({ tokens: z.array(enrollmentTokenSchema), nextPageToken });
export const tokenIdInput = z.strictObject({
  tokenId: z.uuid({ error: 'must be the id of a token, a UUID' }),
});
export const enrollmentTokenOutput = z.strictObject({ token: enrollmentTokenSchema });
export const listRequestsOutput = z.strictObject({
  requests: z.array(enrollmentRequestSchema),
  nextPageToken,
});

const requestId = z.uuid({ error: 'must be the id of a request, a UUID' });

export const approveEnrollmentInput = z.strictObject({
  requestId,
  /** As the agent shows it on its own terminal; dashes do not count. */
  fingerprint: z.string().max(64),
  site: siteSchema,
  /** On top of those that the agent asked for. */
  labels: labelsSchema.default({}),
  /** An identity that exists is enrolled anew, and what waits for it is cancelled. */
  again: z.boolean().default(false),
});
export const rejectEnrollmentInput = z.strictObject({ requestId, reason: reasonSchema.default('') });
export const enrollmentRequestOutput = z.strictObject({ request: enrollmentRequestSchema });
