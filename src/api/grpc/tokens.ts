import type { MessageInitShape } from '@bufbuild/protobuf';
import { durationMs, timestampFromDate } from '@bufbuild/protobuf/wkt';
import type { z } from 'zod';
import { ControlService } from '#gen/viworks/control/v1/control_service_pb.js';
import {
  type IssuerKeySchema,
  IssuerKeyState,
  Role as RoleNumber,
  type ServiceTokenSchema,
  type TokenLimits,
} from '#gen/viworks/control/v1/token_pb.js';
import type { IssuerKey, Role, ServiceToken } from '../../identity/types.ts';
import { defined } from '../../lib/defined.ts';
import type { ApiDeps } from '../deps.ts';
import { invalidRequest } from '../schemas/problems.ts';
import { createApiInput, createTokenInput, revokeTokenInput, scopeOf } from '../schemas/tokens.ts';
import { pageRequest } from './convert.ts';
import type { Guard } from './guard.ts';

type Deps = Pick<ApiDeps, 'serviceTokens' | 'issuerKeys' | 'userTokens' | 'clock' | 'tokenLifetimeMs'>;

/** The methods of ControlService for tokens and the keys that sign them. */
export function tokenMethods(deps: Deps, { unary }: Pick<Guard, 'unary'>) {
  const { serviceTokens, issuerKeys, userTokens, clock, tokenLifetimeMs } = deps;
  const { method } = ControlService;
  return {
    createApiToken: unary(method.createApiToken, async ({ subject, role, lifetime, limits }) => {
      const input = parse(createApiInput, {
        subject,
        role: roleOf(role),
        ...defined({ lifetimeMs: lifetime && Math.ceil(durationMs(lifetime)) }),
        ...readLimits(limits),
      });
      const lifetimeMs = input.lifetimeMs ?? tokenLifetimeMs;
      const token = await userTokens.issue({
        subject: input.subject,
        role: input.role,
        lifetimeMs,
        scope: scopeOf(input),
      });
      return { token, expiresAt: timestampFromDate(new Date(clock.now() + lifetimeMs)) };
    }),

    createToken: unary(method.createToken, async ({ name, role, lifetime, limits, rateLimit }, { actor }) => {
      const input = parse(createTokenInput, {
        name,
        role: roleOf(role),
        ...defined({ lifetimeMs: lifetime && Math.ceil(durationMs(lifetime)), rateLimit }),
        ...readLimits(limits),
      });
      const spec = {
        name: input.name,
        role: input.role,
        scope: scopeOf(input),
        lifetimeMs: input.lifetimeMs,
        rateLimit: input.rateLimit,
      };
      const { token, details } = await serviceTokens.create(actor.subject, spec);
      return { token, details: tokenMessage(details) };
    }),

    listTokens: unary(method.listTokens, async (request) => {
      const page = await serviceTokens.list({ withRevoked: request.withRevoked }, pageRequest(request));
      return { tokens: page.items.map(tokenMessage), nextPageToken: page.nextToken ?? '' };
    }),

    revokeToken: unary(method.revokeToken, async ({ tokenId: given }, { actor }) => {
      const { tokenId } = parse(revokeTokenInput, { tokenId: given });
      const revoked = await serviceTokens.revoke(actor.subject, tokenId);
      return defined({ revoked: revoked && tokenMessage(revoked) });
    }),

    listIssuerKeys: unary(method.listIssuerKeys, async () => {
      return { keys: (await issuerKeys.listKeys()).map(keyMessage) };
    }),

    rotateIssuerKey: unary(method.rotateIssuerKey, async (_request, { actor }) => {
      return { keys: (await issuerKeys.rotateKey(actor.subject)).map(keyMessage) };
    }),

    revokeIssuerKey: unary(method.revokeIssuerKey, async ({ keyId }, { actor }) => {
      return { keys: (await issuerKeys.revokeKey(actor.subject, keyId)).map(keyMessage) };
    }),
  };
}

/** @throws invalid_request */
function parse<Schema extends z.ZodType>(schema: Schema, value: unknown): z.output<Schema> {
  const parsed = schema.safeParse(value);
  if (!parsed.success) throw invalidRequest(parsed.error, fieldNames);
  return parsed.data;
}

const fieldNames = {
  lifetimeMs: 'lifetime',
  tokenId: 'token_id',
  rateLimit: 'rate_limit',
  sites: 'limits.sites',
  verbs: 'limits.verbs',
};

const roleNumbers: Record<Role, RoleNumber> = {
  viewer: RoleNumber.VIEWER,
  operator: RoleNumber.OPERATOR,
  admin: RoleNumber.ADMIN,
};

const roleOf = (number: RoleNumber): string | undefined =>
  Object.entries(roleNumbers).find(([, value]) => value === number)?.[0];

const readLimits = (limits: TokenLimits | undefined) => ({
  ...(limits && limits.sites.length > 0 && { sites: limits.sites }),
  ...(limits && limits.verbs.length > 0 && { verbs: limits.verbs }),
});

const optionalTime = (date: Date | undefined) => date && timestampFromDate(date);

const tokenMessage = (token: ServiceToken): MessageInitShape<typeof ServiceTokenSchema> => ({
  tokenId: token.tokenId,
  name: token.name,
  role: roleNumbers[token.role],
  createdBy: token.createdBy,
  createdAt: timestampFromDate(token.createdAt),
  revokedBy: token.revokedBy ?? '',
  ...defined({
    limits: token.scope && { sites: [...(token.scope.sites ?? [])], verbs: [...(token.scope.verbs ?? [])] },
    rateLimit: token.rateLimit,
    expiresAt: optionalTime(token.expiresAt),
    lastUsedAt: optionalTime(token.lastUsedAt),
    revokedAt: optionalTime(token.revokedAt),
  }),
});

const keyStates: Record<IssuerKey['state'], IssuerKeyState> = {
  active: IssuerKeyState.ACTIVE,
  retired: IssuerKeyState.RETIRED,
  over: IssuerKeyState.OVER,
  revoked: IssuerKeyState.REVOKED,
};

const keyMessage = (key: IssuerKey): MessageInitShape<typeof IssuerKeySchema> => ({
  keyId: key.keyId,
  state: keyStates[key.state],
  createdAt: timestampFromDate(key.createdAt),
  createdBy: key.createdBy,
  revokedBy: key.revokedBy ?? '',
  ...defined({ believedUntil: optionalTime(key.believedUntil), revokedAt: optionalTime(key.revokedAt) }),
});
