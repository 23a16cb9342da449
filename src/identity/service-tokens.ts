import { randomBytes, timingSafeEqual } from 'node:crypto';
import type { AuditTrail } from '../audit/trail.ts';
import { invalidField, ViworksError } from '../errors.ts';
import type { Clock } from '../lib/clock.ts';
import { idForm, newId } from '../lib/ids.ts';
import type { Logger } from '../lib/logger.ts';
import { keyBefore, pageOf } from '../lib/page.ts';
import { canonicalJson } from '../lib/text.ts';
import type { Database } from '../storage/database.ts';
import {
  findServiceToken,
  insertServiceToken,
  isTokenIdRevoked,
  listServiceTokens,
  pruneRevokedTokens,
  revokeServiceToken,
  revokeTokenId,
  type ServiceTokenRow,
  serviceTokenUsed,
} from '../storage/tokens.ts';
import { externalPrefix } from './external-issuer.ts';
import type { SecretBox } from './secret-box.ts';
import { type Actor, type Role, roles, type ServiceToken, type TokenService } from './types.ts';

/**
 * Service tokens are opaque: what they may is in the database, vouched for by a secret that is not there. So
 * reading the table lets nobody in, and writing into it grants nobody anything.
 */
export interface ServiceTokens extends TokenService {
  /** Who holds the token, and until when in milliseconds since 1970; undefined if nobody does any more. */
  verify(token: string): Promise<{ actor: Actor; expiresAt: number } | undefined>;
  isRevoked(jti: string): Promise<boolean>;
}

export interface ServiceTokensDeps {
  database: Database;
  secret: Pick<SecretBox, 'macFor'>;
  clock: Pick<Clock, 'now'>;
  log: Logger;
  audit: Pick<AuditTrail, 'tell'>;
  /** A token that counted until now counts no more. */
  onRevoked?: () => void;
}

/** Shows in a log or a paste what the text is. */
export const serviceTokenPrefix = 'vwk_';
const form = /^vwk_[\w-]{43}$/;
/** Milliseconds between notes of a token's use. */
const usedEveryMs = 60_000;
/** No signed token lives longer; after it the end of one need not be remembered. */
const longestLifeMs = 366 * 86_400_000;

export function createServiceTokens(deps: ServiceTokensDeps): ServiceTokens {
  const { database, secret, clock, log, audit, onRevoked = () => {} } = deps;
  const { query } = database;
  const hashOf = secret.macFor('hashing');
  const vouch = secret.macFor('vouching');
  const sealOf = (row: Vouched) => vouch(vouchedText(row));

  return {
    async create(actor, { name, role, scope, lifetimeMs, rateLimit }) {
      if (name.startsWith(externalPrefix))
        throw invalidField('name', `must not begin with ${externalPrefix}, which is for the other issuer`);
      const token = serviceTokenPrefix + randomBytes(32).toString('base64url');
      const now = clock.now();
      const facts = {
        tokenId: newId(),
        tokenHash: hashOf(token),
        name,
        role,
        scope: scope ?? null,
        rateLimit: rateLimit ?? null,
        expiresAt: lifetimeMs === undefined ? null : new Date(now + lifetimeMs),
      };
      audit.tell({ resourceId: facts.tokenId });
      const row = { ...facts, seal: sealOf(facts), createdBy: actor, createdAt: new Date(now) };
      await insertServiceToken(query, row);
      log.info({ tokenId: row.tokenId, name, role, by: actor }, 'service token made');
      return { token, details: tokenOf({ ...row, lastUsedAt: null, revokedAt: null, revokedBy: null }) };
    },

    async list({ withRevoked }, page) {
      const rows = await listServiceTokens(query, keyBefore(page, idForm), withRevoked, page.size + 1);
      const { items, nextToken } = pageOf(rows, page.size, (row) => row.tokenId);
      return { items: items.map(tokenOf), nextToken };
    },

    async revoke(actor, tokenId) {
      const now = clock.now();
      const at = new Date(now);
      const row = await revokeServiceToken(query, tokenId, at, actor);
      if (row === undefined) {
        const expiresAt = new Date(now + longestLifeMs);
        await pruneRevokedTokens(query, at);
        await revokeTokenId(query, { jti: tokenId, by: actor, at, expiresAt });
      }
      log.warn({ tokenId, by: actor }, 'token revoked');
      onRevoked();
      return row && tokenOf(row);
    },

    async verify(token) {
      if (!form.test(token)) return undefined;
      const row = await findServiceToken(query, hashOf(token));
      if (row === undefined || row.revokedAt !== null) return undefined;
      const seal = Buffer.from(row.seal);
      const expected = sealOf(row);
      if (seal.byteLength !== expected.byteLength || !timingSafeEqual(seal, expected)) {
        log.error({ tokenId: row.tokenId }, 'a service token was changed in the database; it counts no more');
        return undefined;
      }
      const now = clock.now();
      if (row.expiresAt !== null && row.expiresAt.getTime() <= now) return undefined;
      if (row.lastUsedAt === null || now - row.lastUsedAt.getTime() >= usedEveryMs) {
        // Of no use to the caller, who need not wait for it.
        void serviceTokenUsed(query, row.tokenId, new Date(now)).catch(() => {});
      }
      const { name: subject, tokenId } = row;
      const actor = {
        subject,
        role: roleOf(row),
        scope: row.scope ?? undefined,
        tokenId,
        rateLimit: row.rateLimit ?? undefined,
      };
      return { actor, expiresAt: row.expiresAt?.getTime() ?? Number.POSITIVE_INFINITY };
    },

    isRevoked: (jti) => isTokenIdRevoked(query, jti),
  };
}

type Vouched = Pick<
  ServiceTokenRow,
  'tokenId' | 'tokenHash' | 'name' | 'role' | 'scope' | 'rateLimit' | 'expiresAt'
>;

const vouchedText = ({ tokenId, tokenHash, name, role, scope, rateLimit, expiresAt }: Vouched): string =>
  canonicalJson({
    tokenId,
    tokenHash: Buffer.from(tokenHash).toString('hex'),
    name,
    role,
    scope,
    expiresAt: expiresAt?.toISOString() ?? null,
    // Absent where it is null: tokens made before there were such limits stay vouched for.
    ...(rateLimit === null ? {} : { rateLimit }),
  });

function roleOf({ role }: Pick<ServiceTokenRow, 'role'>): Role {
  const known = roles.find((each) => each === role);
  if (known === undefined) throw new ViworksError('unauthenticated', 'The token has an unknown role.');
  return known;
}

function tokenOf(row: Omit<ServiceTokenRow, 'tokenHash' | 'seal'>): ServiceToken {
  return {
    tokenId: row.tokenId,
    name: row.name,
    role: roleOf(row),
    scope: row.scope ?? undefined,
    rateLimit: row.rateLimit ?? undefined,
    createdBy: row.createdBy,
    createdAt: row.createdAt,
    expiresAt: row.expiresAt ?? undefined,
    lastUsedAt: row.lastUsedAt ?? undefined,
    revokedAt: row.revokedAt ?? undefined,
    revokedBy: row.revokedBy ?? undefined,
  };
}
