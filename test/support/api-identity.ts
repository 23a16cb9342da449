import { ViworksError } from '../../src/errors.ts';
import type { ServiceTokens } from '../../src/identity/service-tokens.ts';
import type { IssuerKey, IssuerKeyService, ServiceToken } from '../../src/identity/types.ts';
import { createUserTokens, secretSigner } from '../../src/identity/user-tokens.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { newId } from '../../src/lib/ids.ts';

/** Who calls the API, kept in memory: tokens signed with a secret, and service tokens by their text. */

export const testSecret = new Uint8Array(32).fill(7);

export function memoryIdentity() {
  const serviceTokens = memoryServiceTokens();
  const userTokens = createUserTokens({
    signer: secretSigner(testSecret),
    services: serviceTokens,
    clock: systemClock,
    audit: { tell() {} },
  });
  serviceTokens.onRevoked = userTokens.forget;
  return { userTokens, serviceTokens, issuerKeys: memoryIssuerKeys() };
}

function memoryServiceTokens(): ServiceTokens & { onRevoked: () => void } {
  const byText = new Map<string, ServiceToken>();
  const revoked = new Set<string>();
  const service: ServiceTokens & { onRevoked: () => void } = {
    onRevoked: () => {},
    async create(actor, { name, role, scope, lifetimeMs, rateLimit }) {
      const token = `vwk_${newId()}`;
      const createdAt = new Date();
      const details: ServiceToken = {
        tokenId: newId(),
        name,
        role,
        scope,
        rateLimit,
        createdBy: actor,
        createdAt,
        expiresAt: lifetimeMs === undefined ? undefined : new Date(createdAt.getTime() + lifetimeMs),
        lastUsedAt: undefined,
        revokedAt: undefined,
        revokedBy: undefined,
      };
      byText.set(token, details);
      return { token, details };
    },
    list: async () => ({ items: [...byText.values()], nextToken: undefined }),
    async revoke(actor, tokenId) {
      revoked.add(tokenId);
      const found = [...byText.values()].find((each) => each.tokenId === tokenId);
      if (found !== undefined) Object.assign(found, { revokedAt: new Date(), revokedBy: actor });
      service.onRevoked();
      return found;
    },
    async verify(token) {
      const found = byText.get(token);
      if (found === undefined || found.revokedAt !== undefined) return undefined;
      const { name: subject, role, scope, tokenId, rateLimit, expiresAt } = found;
      return {
        actor: { subject, role, scope, tokenId, rateLimit },
        expiresAt: expiresAt?.getTime() ?? Infinity,
      };
    },
    isRevoked: async (jti) => revoked.has(jti),
  };
  return service;
}

function memoryIssuerKeys(): IssuerKeyService {
  const keys: IssuerKey[] = [];
  const add = (actor: string) => {
    const before = keys[0];
    if (before !== undefined) Object.assign(before, { state: 'retired', believedUntil: new Date() });
    const keyId = newId().replaceAll('-', '');
    keys.unshift({
      keyId,
      state: 'active',
      createdAt: new Date(),
      createdBy: actor,
      believedUntil: undefined,
      revokedAt: undefined,
      revokedBy: undefined,
    });
    return [...keys];
  };
  return {
    listKeys: async () => [...keys],
    rotateKey: async (actor) => add(actor),
    async revokeKey(actor, keyId) {
      const key = keys.find((each) => each.keyId === keyId);
      if (key === undefined) throw new ViworksError('issuer_key_unknown', `There is no key ${keyId}.`);
      Object.assign(key, { state: 'revoked', revokedAt: new Date(), revokedBy: actor });
      return [...keys];
    },
    jwks: async () => ({ keys: [] }),
  };
}
