import { errors, jwtVerify, SignJWT } from 'jose';
import { z } from 'zod';
import { ViworksError } from '../errors.ts';
import type { Clock } from '../lib/clock.ts';
import { newId } from '../lib/ids.ts';
import { type Actor, type Role, roles } from './types.ts';

/**
 * A user token says who calls the API and in which role: a JWT that this service issues and checks itself.
 * Algorithm, type, issuer and audience are pinned (RFC 8725), so that no token made for another purpose
 * passes for one of these.
 */

const algorithm = 'HS256';
/** RFC 9068's type of an access token, without the optional `application/` prefix. */
const type = 'at+jwt';
const issuer = 'viworks';
const audience = 'viworks-api';
/** RFC 7518, 3.2: a key of HS256 has at least the size of its hash. */
const secretBytes = 32;

const claimsSchema = z.object({
  sub: z.string().min(1).max(128),
  role: z.enum(roles),
  /** Seconds since 1970. */
  exp: z.number(),
});
const rememberedTokens = 1000;

export interface UserTokensDeps {
  /** At least 32 bytes; text counts in UTF-8. */
  secret: Uint8Array | string;
  clock: Pick<Clock, 'now'>;
}

export interface UserTokens {
  issue(spec: { subject: string; role: Role; lifetimeMs: number }): Promise<string>;
  /** @throws unauthenticated, with one message for every reason */
  verify(token: string): Promise<Actor>;
}

/** @throws config_invalid if the secret is too short */
export function createUserTokens({ secret, clock }: UserTokensDeps): UserTokens {
  const key = typeof secret === 'string' ? new TextEncoder().encode(secret) : secret;
  if (key.byteLength < secretBytes) {
    throw new ViworksError('config_invalid', `security.jwt_secret: must have at least ${secretBytes} bytes`, {
      fields: [{ field: 'security.jwt_secret', problem: `must have at least ${secretBytes} bytes` }],
    });
  }
  /** Tokens whose signature was checked; the oldest one makes room. A check costs a turn of the thread pool. */
  const checked = new Map<string, { actor: Actor; expiresAt: number }>();
  function remember(token: string, actor: Actor, expiresAt: number): Actor {
    const [oldest] = checked.keys();
    if (checked.size >= rememberedTokens && oldest !== undefined) checked.delete(oldest);
    checked.set(token, { actor, expiresAt });
    return actor;
  }
  return {
    issue({ subject, role, lifetimeMs }) {
      const now = Math.floor(clock.now() / 1000);
      return new SignJWT({ role })
        .setProtectedHeader({ alg: algorithm, typ: type })
        .setIssuer(issuer)
        .setAudience(audience)
        .setSubject(subject)
        .setJti(newId())
        .setIssuedAt(now)
        .setExpirationTime(now + Math.ceil(lifetimeMs / 1000))
        .sign(key);
    },

    async verify(token) {
      const known = checked.get(token);
      if (known !== undefined && clock.now() < known.expiresAt) return known.actor;
      checked.delete(token);
      try {
        const { payload } = await jwtVerify(token, key, {
          algorithms: [algorithm],
          typ: type,
          issuer,
          audience,
          requiredClaims: ['exp', 'iat', 'jti', 'sub', 'role'],
          currentDate: new Date(clock.now()),
        });
        const claims = claimsSchema.parse(payload);
        return remember(token, { subject: claims.sub, role: claims.role }, claims.exp * 1000);
      } catch (cause) {
        // The reason stays in the log: it would only help somebody who forges tokens.
        if (cause instanceof errors.JOSEError || cause instanceof z.ZodError) throw refused(cause);
        throw cause;
      }
    },
  };
}

function refused(cause: unknown): ViworksError {
  return new ViworksError('unauthenticated', 'The token is missing, expired or not valid.', { cause });
}
