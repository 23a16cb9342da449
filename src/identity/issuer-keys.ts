import { createPublicKey, type KeyObject } from 'node:crypto';
import { ViworksError } from '../errors.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/logger.ts';
import { generateKeyPair, type KeyPair } from '../protocol/keys.ts';
import type { Database } from '../storage/database.ts';
import {
  type IssuerKeyRow,
  insertIssuerKey,
  issuerKeySigns,
  lockIssuerKeys,
  newestIssuerKeys,
  revokeIssuerKeyRow,
} from '../storage/issuer-keys.ts';
import { openPrivateKey, type SecretBox, sealPrivateKey } from './secret-box.ts';
import type { IssuerKey, IssuerKeyService, Jwks } from './types.ts';

/**
 * The keys that sign tokens. The newest signs; the ones before it are believed until the last token that they
 * signed has expired, or until they are revoked. Every instance reads them from the database, which holds the
 * private halves sealed; a row that does not open with the secret is no key.
 */
export interface IssuerKeys extends IssuerKeyService {
  /** The key that signs a token that expires then. */
  signer(expiresAt: Date): Promise<KeyPair>;
  /** The public key of that name, if it is believed. */
  find(keyId: string): Promise<KeyObject | undefined>;
}

export interface IssuerKeysDeps {
  database: Database;
  secret: SecretBox;
  clock: Pick<Clock, 'now'>;
  log: Logger;
  /** Milliseconds after which a new key signs, without anybody's asking. */
  rotateAfterMs: number;
}

/** Milliseconds for which what was read is good: within them a revocation reaches every instance. */
const freshMs = 2000;
const mostKeys = 200;
const bySystem = 'viworks';

interface KeySet {
  readAt: number;
  keys: Map<string, { row: IssuerKeyRow; publicKey: KeyObject }>;
}

export function createIssuerKeys(deps: IssuerKeysDeps): IssuerKeys {
  const { database, secret, clock, log, rotateAfterMs } = deps;
  let known: KeySet | undefined;
  let reading: Promise<KeySet> | undefined;

  async function read(): Promise<KeySet> {
    const readAt = clock.now();
    const keys: KeySet['keys'] = new Map();
    for (const [index, row] of (await newestIssuerKeys(database.query, mostKeys)).entries()) {
      if (row.revokedAt !== null || (index > 0 && row.lastExpiry.getTime() <= readAt)) continue;
      const before = known?.keys.get(row.keyId);
      const pair = before === undefined ? openPrivateKey(secret, row.keyId, row.sealedKey) : undefined;
      const publicKey = before?.publicKey ?? (pair && createPublicKey(pair.privateKey));
      if (publicKey !== undefined) keys.set(row.keyId, { row, publicKey });
      else log.warn({ keyId: row.keyId }, 'a key that signs tokens does not open with the token secret');
    }
    return { readAt, keys };
  }

  /** Those that are believed, as they were a moment ago at most. */
  async function believed(): Promise<KeySet['keys']> {
    const age = known === undefined ? Number.NaN : clock.now() - known.readAt;
    if (known !== undefined && age >= 0 && age < freshMs) return known.keys;
    reading ??= read()
      .then((set) => {
        known = set;
        return set;
      })
      .finally(() => {
        reading = undefined;
      });
    return (await reading).keys;
  }

  async function addKey(query: Database['query'], by: string): Promise<KeyPair> {
    const pair = generateKeyPair();
    const { keyId, publicKey } = pair;
    const createdAt = new Date(clock.now());
    await insertIssuerKey(query, {
      keyId,
      publicKey,
      sealedKey: sealPrivateKey(secret, pair),
      createdBy: by,
      createdAt,
    });
    log.info({ keyId, by }, 'a new key signs tokens');
    return pair;
  }

  /** Whatever changes the keys is seen here at once. */
  async function changing<T>(work: (query: Database['query']) => Promise<T>): Promise<T> {
    try {
      return await database.transaction(async (query) => {
        await lockIssuerKeys(query);
        return work(query);
      });
    } finally {
      await reading?.catch(() => {});
      known = undefined;
    }
  }

  async function listKeys(): Promise<IssuerKey[]> {
    const rows = await newestIssuerKeys(database.query, mostKeys);
    const now = clock.now();
    return rows.map((row, index) => ({
      keyId: row.keyId,
      state: stateOf(row, index === 0, now),
      createdAt: row.createdAt,
      createdBy: row.createdBy,
      believedUntil: index === 0 || row.revokedAt !== null ? undefined : row.lastExpiry,
      revokedAt: row.revokedAt ?? undefined,
      revokedBy: row.revokedBy ?? undefined,
    }));
  }

  return {
    listKeys,

    signer: (expiresAt) =>
      changing(async (query) => {
        const [newest] = await newestIssuerKeys(query, 1);
        const isGood =
          newest !== undefined &&
          newest.revokedAt === null &&
          newest.createdAt.getTime() + rotateAfterMs > clock.now();
        const pair =
          (isGood ? openPrivateKey(secret, newest.keyId, newest.sealedKey) : undefined) ??
          (await addKey(query, bySystem));
        await issuerKeySigns(query, pair.keyId, expiresAt);
        return pair;
      }),

    find: async (keyId) => (await believed()).get(keyId)?.publicKey,

    async jwks(): Promise<Jwks> {
      const keys = [...(await believed()).values()].map(({ row, publicKey }) => {
        const { x = '' } = publicKey.export({ format: 'jwk' });
        return { kty: 'OKP', crv: 'Ed25519', x, kid: row.keyId, alg: 'EdDSA', use: 'sig' } as const;
      });
      return { keys };
    },

    async rotateKey(actor) {
      await changing((query) => addKey(query, actor));
      return listKeys();
    },

    async revokeKey(actor, keyId) {
      await changing(async (query) => {
        const [newest] = await newestIssuerKeys(query, 1);
        if (!(await revokeIssuerKeyRow(query, keyId, new Date(clock.now()), actor)))
          throw new ViworksError('issuer_key_unknown', `There is no key ${keyId} that signs tokens.`);
        log.warn({ keyId, by: actor }, 'a key that signs tokens was revoked');
        if (newest?.keyId === keyId && newest.revokedAt === null) await addKey(query, actor);
      });
      return listKeys();
    },
  };
}

function stateOf(row: IssuerKeyRow, signs: boolean, now: number): IssuerKey['state'] {
  if (row.revokedAt !== null) return 'revoked';
  if (signs) return 'active';
  return row.lastExpiry.getTime() > now ? 'retired' : 'over';
}
