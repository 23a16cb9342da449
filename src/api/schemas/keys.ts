import { z } from 'zod';
import type { CommandKeyList } from '../../identity/types.ts';
import { optionalTimeView, reasonSchema, timeSchema, timeView } from './common.ts';

const dayMs = 86_400_000;

export const listKeysInput = z.strictObject({}).prefault({});

export const rotateKeyInput = z
  .strictObject({
    /** Milliseconds until the new key signs; agents know it from now on. */
    delayMs: z
      .int()
      .min(0)
      .max(30 * dayMs)
      .optional(),
    /** Milliseconds that the keys before it are believed after that; an hour unless asked otherwise, a minute at
     * least where there is a delay. */
    overlapMs: z
      .int()
      .min(0)
      .max(30 * dayMs)
      .optional(),
  })
  .prefault({});

export const revokeKeyInput = z.strictObject({
  keyId: z
    .string()
    .regex(/^[0-9a-f]{32}$/, { error: 'must be the id of a key, 32 characters of 0-9 and a-f' }),
  reason: reasonSchema.default(''),
});

const keySchema = z.strictObject({
  keyId: z.string(),
  /** next: will sign; active: signs; retired: did, believed until notAfter; revoked: no agent believes it. */
  state: z.enum(['next', 'active', 'retired', 'revoked']),
  createdAt: timeSchema,
  createdBy: z.string(),
  /** Between these times agents believe it; without both, no agent does. */
  notBefore: timeSchema.optional(),
  notAfter: timeSchema.optional(),
  revokedAt: timeSchema.optional(),
  revokedBy: z.string().optional(),
  revokeReason: z.string().optional(),
});

export const keysOutput = z.strictObject({
  /** The server's identity, which agents know from their enrolment; it vouches for the others. */
  serverKey: z.strictObject({
    keyId: z.string(),
    /** Raw Ed25519, base64. */
    publicKey: z.string(),
  }),
  /** Of the set that agents believe; grows with every change. */
  version: z.int(),
  /** Newest first. */
  keys: z.array(keySchema),
});
export type KeysView = z.output<typeof keysOutput>;

export function keysView({ serverKey, version, keys }: CommandKeyList): KeysView {
  return {
    serverKey: {
      keyId: serverKey.keyId,
      publicKey: Buffer.from(serverKey.publicKey).toString('base64'),
    },
    version,
    keys: keys.map(({ createdAt, notBefore, notAfter, revokedAt, ...rest }) => ({
      ...rest,
      createdAt: timeView(createdAt),
      notBefore: optionalTimeView(notBefore),
      notAfter: optionalTimeView(notAfter),
      revokedAt: optionalTimeView(revokedAt),
    })),
  };
}
