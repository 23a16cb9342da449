import { createRemoteJWKSet, customFetch, errors, type JWTVerifyGetKey, jwtVerify } from 'jose';
import { z } from 'zod';
import { ViworksError } from '../errors.ts';
import type { Clock } from '../lib/clock.ts';
import { type Scope, siteForm, verbPatternForm } from '../lib/scope.ts';
import { isStorable } from '../lib/text.ts';
import { type Actor, type Role, roles } from './types.ts';

/**
 * Tokens of somebody else's issuer. Its keys are fetched from where the configuration says, never from where a
 * token says. When they cannot be fetched, nobody can say whether a token is good: the answer is to try again.
 */
export interface ExternalIssuer {
  readonly issuer: string;
  /** @throws what jose finds wrong with it, ZodError, unavailable */
  verify(token: string): Promise<{ actor: Actor; expiresAt: number }>;
}

export interface ExternalIssuerOptions {
  issuer: string;
  audience: string;
  jwksUrl: string;
  /** What its header says in `typ`. */
  type: string;
  /** Where its claims say what; of a nested one the path, for example `realm_access.roles`. */
  roleClaim: string;
  sitesClaim: string;
  verbsClaim: string;
  /** Roles of ours by names of theirs. */
  roles: Readonly<Record<string, Role>>;
  clock: Pick<Clock, 'now'>;
}

/** Only signatures whose key can be published: a shared secret would make a key set into a password. */
const algorithms = [
  'EdDSA',
  'Ed25519',
  'ES256',
  'ES384',
  'ES512',
  'PS256',
  'PS384',
  'PS512',
  'RS256',
  'RS512',
];
const fetchTimeoutMs = 5000;
/** Milliseconds for which fetched keys are good. */
const keysFreshMs = 300_000;
/** Milliseconds after a fetch in which an unknown key id does not cause another one. */
const cooldownMs = 10_000;
const jwksBytes = 256 * 1024;

/** Keeps the subjects of both issuers apart: nobody there takes the name of somebody here. */
export const externalPrefix = 'external:';

const listClaim = (form: RegExp) => z.array(z.string().regex(form)).max(1000).optional();
const claimsSchema = z.object({
  // Both go into the database as they are.
  sub: z.string().min(1).max(119).refine(isStorable),
  jti: z.string().min(1).max(256).refine(isStorable),
  exp: z.number(),
  sites: listClaim(siteForm),
  verbs: listClaim(verbPatternForm),
});

export function createExternalIssuer(options: ExternalIssuerOptions): ExternalIssuer {
  const { issuer, audience, type, clock } = options;
  const fetchKeys = createRemoteJWKSet(new URL(options.jwksUrl), {
    timeoutDuration: fetchTimeoutMs,
    cooldownDuration: cooldownMs,
    cacheMaxAge: keysFreshMs,
    [customFetch]: boundedFetch,
  });
  const keyOf: JWTVerifyGetKey = async (header, token) => {
    try {
      return await fetchKeys(header, token);
    } catch (cause) {
      const isAnswer = isAny(cause, errors.JWKSNoMatchingKey, errors.JWKSMultipleMatchingKeys);
      if (isAnswer || isAny(cause, errors.JOSENotSupported)) throw cause;
      throw new ViworksError(
        'unavailable',
        'The keys of the token’s issuer cannot be fetched now; try again.',
        {
          cause,
          retryAfterMs: 5000,
        },
      );
    }
  };
  return {
    issuer,
    async verify(token) {
      const { payload } = await jwtVerify(token, keyOf, {
        algorithms,
        typ: type,
        issuer,
        audience,
        requiredClaims: ['exp', 'iat', 'sub', 'jti'],
        currentDate: new Date(clock.now()),
      });
      const claims = claimsSchema.parse({
        ...payload,
        sites: claimAt(payload, options.sitesClaim),
        verbs: claimAt(payload, options.verbsClaim),
      });
      const role = roleOf(claimAt(payload, options.roleClaim), options.roles);
      if (role === undefined) throw new errors.JWTClaimValidationFailed('no role of ours', payload);
      const { sub, jti, exp } = claims;
      const actor = { subject: externalPrefix + sub, role, scope: scopeOf(claims), tokenId: jti };
      return { actor, expiresAt: exp * 1000 };
    },
  };
}

const isAny = (error: unknown, ...kinds: (new (...args: never[]) => Error)[]): boolean =>
  kinds.some((kind) => error instanceof kind);

export function scopeOf({ sites, verbs }: Pick<Scope, 'sites' | 'verbs'>): Scope | undefined {
  if (sites === undefined && verbs === undefined) return undefined;
  return { ...(sites && { sites }), ...(verbs && { verbs }) };
}

/** Own properties alone, so that a path never leads out of the claims. */
function claimAt(claims: object, path: string): unknown {
  let at: unknown = claims;
  for (const name of Object.hasOwn(claims, path) ? [path] : path.split('.')) {
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, name)) return undefined;
    at = Reflect.get(at, name);
  }
  return at;
}

/** The highest of the roles that the claim names, which is a text or a list of them. */
function roleOf(claim: unknown, mapping: ExternalIssuerOptions['roles']): Role | undefined {
  const names: unknown[] = Array.isArray(claim) ? claim : [claim];
  const found = names.flatMap((name) =>
    typeof name === 'string' && Object.hasOwn(mapping, name) ? [mapping[name]] : [],
  );
  return roles.findLast((role) => found.includes(role));
}

/** Reads so much and no more, whatever the other side sends. */
async function boundedFetch(url: string, options: RequestInit): Promise<Response> {
  const response = await fetch(url, options);
  if (response.body === null) return response;
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const part of response.body) {
    bytes += part.byteLength;
    if (bytes > jwksBytes) throw new Error(`the key set has more than ${jwksBytes} bytes`);
    parts.push(part);
  }
  const { status, headers } = response;
  return new Response(Buffer.concat(parts), { status, headers });
}
