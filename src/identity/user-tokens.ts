import { createSecretKey, type KeyObject } from 'node:crypto';
import { decodeJwt, errors, type JWTHeaderParameters, jwtVerify, SignJWT } from 'jose';
import { z } from 'zod';
import type { AuditTrail } from '../audit/trail.ts';
import { invalidField, ViworksError } from '../errors.ts';
import type { Clock } from '../lib/clock.ts';
import { newId } from '../lib/ids.ts';
import { type Scope, siteForm, verbPatternForm } from '../lib/scope.ts';
import { isStorable } from '../lib/text.ts';
import { type ExternalIssuer, externalPrefix, scopeOf } from './external-issuer.ts';
import type { IssuerKeys } from './issuer-keys.ts';
import { type ServiceTokens, serviceTokenPrefix } from './service-tokens.ts';
import { type Actor, type Role, roles } from './types.ts';

/**
 * A user token says who calls the API, in which role and within which limits: a JWT that this service issues and
 * checks itself, one of another issuer, or a service token. Of a JWT the algorithm, type, issuer and audience are
 * pinned (RFC 8725), so that no token made for another purpose passes for one of these; a key has one algorithm,
 * and comes from where the configuration says, never from the token.
 */

/** RFC 9068's type of an access token, without the optional `application/` prefix. */
const type = 'at+jwt';
const ownIssuer = 'viworks';
const audience = 'viworks-api';
/** RFC 7518, 3.2: a key of HS256 has at least the size of its hash. */
const secretBytes = 32;

const claimsSchema = z.object({
  sub: z.string().min(1).max(128).refine(isStorable),
  role: z.enum(roles),
  jti: z.string().min(1).max(256),
  /** Seconds since 1970. */
  exp: z.number(),
  sites: z.array(z.string().regex(siteForm)).max(1000).optional(),
  verbs: z.array(z.string().regex(verbPatternForm)).max(1000).optional(),
});

const rememberedTokens = 1000;
/** Milliseconds until a token is checked anew: within them a revocation is seen everywhere. */
export const checkedForMs = 2000;
const mostCharacters = 8192;

/** Signs our own tokens: with keys that rotate, or with a secret that the configuration gives. */
export interface TokenSigner {
  readonly algorithm: 'EdDSA' | 'HS256';
  signer(expiresAt: Date): Promise<{ keyId: string | undefined; key: KeyObject }>;
  /** The key that a token says it was signed with, if it is one of ours. */
  find(keyId: string | undefined): Promise<KeyObject | undefined>;
}

export interface UserTokensDeps {
  signer: TokenSigner;
  services: Pick<ServiceTokens, 'verify' | 'isRevoked'>;
  external?: ExternalIssuer | undefined;
  clock: Pick<Clock, 'now'>;
  audit: Pick<AuditTrail, 'tell'>;
}

export interface UserTokens {
  issue(spec: {
    subject: string;
    role: Role;
    lifetimeMs: number;
    scope?: Scope | undefined;
  }): Promise<string>;
  /** @throws unauthenticated, with one message for every reason; database_unavailable, unavailable */
  verify(token: string): Promise<Actor>;
  /** Checks every token anew when it is used next. */
  forget(): void;
}

export const rotatingSigner = (keys: Pick<IssuerKeys, 'signer' | 'find'>): TokenSigner => ({
  algorithm: 'EdDSA',
  async signer(expiresAt) {
    const { keyId, privateKey } = await keys.signer(expiresAt);
    return { keyId, key: privateKey };
  },
  find: async (keyId) => (keyId === undefined ? undefined : keys.find(keyId)),
});

/** @param secret at least 32 bytes; text counts in UTF-8 @throws config_invalid if it is too short */
export function secretSigner(secret: Uint8Array | string): TokenSigner {
  const bytes = typeof secret === 'string' ? new TextEncoder().encode(secret) : secret;
  if (bytes.byteLength < secretBytes) {
    throw new ViworksError('config_invalid', `security.jwt_secret: must have at least ${secretBytes} bytes`, {
      fields: [{ field: 'security.jwt_secret', problem: `must have at least ${secretBytes} bytes` }],
    });
  }
  const key = createSecretKey(bytes);
  return {
    algorithm: 'HS256',
    signer: async () => ({ keyId: undefined, key }),
    find: async (keyId) => (keyId === undefined ? key : undefined),
  };
}

interface Checked {
  actor: Actor;
  expiresAt: number;
}

export function createUserTokens(deps: UserTokensDeps): UserTokens {
  const { signer, services, external, clock, audit } = deps;
  /** Tokens that were good a moment ago; the oldest one makes room. */
  const remembered = new Map<string, Checked & { at: number }>();
  const checking = new Map<string, Promise<Actor>>();
  let generation = 0;

  async function checkOwn(token: string): Promise<Checked> {
    const keyOf = async ({ kid }: JWTHeaderParameters) => {
      const key = await signer.find(kid);
      if (key === undefined) throw new errors.JWKSNoMatchingKey();
      return key;
    };
    const { payload } = await jwtVerify(token, keyOf, {
      algorithms: [signer.algorithm],
      typ: type,
      issuer: ownIssuer,
      audience,
      requiredClaims: ['exp', 'iat', 'jti', 'sub', 'role'],
      currentDate: new Date(clock.now()),
    });
    const claims = claimsSchema.parse(payload);
    const { sub: subject, role, jti: tokenId, exp } = claims;
    return { actor: { subject, role, scope: scopeOf(claims), tokenId }, expiresAt: exp * 1000 };
  }

  async function check(token: string): Promise<Checked> {
    if (token.length > mostCharacters) throw refused();
    if (token.startsWith(serviceTokenPrefix)) {
      const held = await services.verify(token);
      if (held === undefined) throw refused();
      return held;
    }
    try {
      // Nothing is believed of it yet: it only says who is to check it.
      const { iss } = decodeJwt(token);
      const isExternal = external !== undefined && iss === external.issuer;
      const found = await (isExternal ? external.verify(token) : checkOwn(token));
      if (await services.isRevoked(found.actor.tokenId ?? '')) throw refused();
      return found;
    } catch (cause) {
      // The reason stays in the log: it would only help somebody who forges tokens.
      if (cause instanceof errors.JOSEError || cause instanceof z.ZodError) throw refused(cause);
      throw cause;
    }
  }

  async function checkAndRemember(token: string): Promise<Actor> {
    const [at, began] = [clock.now(), generation];
    const found = await check(token);
    const [oldest] = remembered.keys();
    if (remembered.size >= rememberedTokens && oldest !== undefined) remembered.delete(oldest);
    if (began === generation) remembered.set(token, { ...found, at });
    return found.actor;
  }

  return {
    async issue({ subject, role, lifetimeMs, scope }) {
      if (!isStorable(subject)) throw invalidField('subject', 'must be text without NUL');
      if (subject.startsWith(externalPrefix)) {
        throw invalidField('subject', `must not begin with ${externalPrefix}, which is for the other issuer`);
      }
      const now = Math.floor(clock.now() / 1000);
      const end = now + Math.ceil(lifetimeMs / 1000);
      const tokenId = newId();
      audit.tell({ resourceId: tokenId });
      const { keyId, key } = await signer.signer(new Date(end * 1000));
      const limits = scope && { sites: scope.sites, verbs: scope.verbs };
      return new SignJWT({ role, ...limits })
        .setProtectedHeader({ alg: signer.algorithm, typ: type, ...(keyId && { kid: keyId }) })
        .setIssuer(ownIssuer)
        .setAudience(audience)
        .setSubject(subject)
        .setJti(tokenId)
        .setIssuedAt(now)
        .setExpirationTime(end)
        .sign(key);
    },

    verify(token) {
      const known = remembered.get(token);
      const now = clock.now();
      const age = known === undefined ? Number.NaN : now - known.at;
      if (known !== undefined && age >= 0 && age < checkedForMs && now < known.expiresAt)
        return Promise.resolve(known.actor);
      remembered.delete(token);
      const under = checking.get(token);
      if (under !== undefined) return under;
      const check = checkAndRemember(token).finally(() => {
        if (checking.get(token) === check) checking.delete(token);
      });
      checking.set(token, check);
      return check;
    },

    forget() {
      generation += 1;
      remembered.clear();
      checking.clear();
    },
  };
}

function refused(cause?: unknown): ViworksError {
  return new ViworksError('unauthenticated', 'The token is missing, expired or not valid.', { cause });
}
