import type { AuditTrail } from '../audit/trail.ts';
import type { Bus } from '../bus/bus.ts';
import type { Config } from '../config/schema.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/logger.ts';
import type { Database } from '../storage/database.ts';
import { createExternalIssuer } from './external-issuer.ts';
import { createIssuerKeys, type IssuerKeys } from './issuer-keys.ts';
import { tokenSecretBox } from './secret-box.ts';
import { createServiceTokens, type ServiceTokens } from './service-tokens.ts';
import { createUserTokens, rotatingSigner, secretSigner, type UserTokens } from './user-tokens.ts';

/** All that says who calls the API, put together as the configuration asks. */
export interface ApiIdentity {
  issuerKeys: IssuerKeys;
  serviceTokens: ServiceTokens;
  userTokens: UserTokens;
}

export interface ApiIdentityDeps {
  database: Database;
  bus: Bus;
  /** Opens the keys that sign tokens, and vouches for service tokens. */
  secret: Uint8Array;
  security: Config['security'];
  clock: Clock;
  log: Logger;
  audit: Pick<AuditTrail, 'tell'>;
}

export function createApiIdentity(deps: ApiIdentityDeps): ApiIdentity {
  const { database, bus, security, clock, log, audit } = deps;
  const secret = tokenSecretBox(deps.secret);
  const rotateAfterMs = security.jwt_key_rotation * 86_400_000;
  const onRevoked = () => bus.publish('tokens.revoked', 'all');
  const keys = createIssuerKeys({ database, secret, clock, log, rotateAfterMs });
  const serviceTokens = createServiceTokens({ database, secret, clock, log, audit, onRevoked });
  const { jwt_secret: shared } = security;
  const userTokens = createUserTokens({
    signer: shared === undefined ? rotatingSigner(keys) : secretSigner(shared),
    services: serviceTokens,
    external: externalOf(security, clock),
    clock,
    audit,
  });
  bus.subscribe('tokens.revoked', 'all', userTokens.forget);
  const issuerKeys: IssuerKeys = {
    ...keys,
    async revokeKey(actor, keyId) {
      const left = await keys.revokeKey(actor, keyId);
      onRevoked();
      return left;
    },
  };
  return { issuerKeys, serviceTokens, userTokens };
}

const ourNames = { viewer: 'viewer', operator: 'operator', admin: 'admin' } as const;

function externalOf(security: Config['security'], clock: Clock) {
  const { jwt_issuer: issuer, jwt_audience: audience, jwks_url: jwksUrl } = security;
  if (issuer === undefined || audience === undefined || jwksUrl === undefined) return undefined;
  return createExternalIssuer({
    issuer,
    audience,
    jwksUrl,
    type: security.jwt_type,
    roleClaim: security.jwt_role_claim,
    sitesClaim: security.jwt_sites_claim,
    verbsClaim: security.jwt_verbs_claim,
    roles: Object.keys(security.jwt_roles).length === 0 ? ourNames : security.jwt_roles,
    clock,
  });
}
