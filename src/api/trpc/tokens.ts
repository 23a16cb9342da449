import { defined } from '../../lib/defined.ts';
import type { ApiDeps } from '../deps.ts';
import { pageRequest } from '../schemas/common.ts';
import {
  createApiInput,
  createEnrollmentInput,
  createTokenInput,
  createTokenOutput,
  listTokensInput,
  listTokensOutput,
  revokeTokenInput,
  revokeTokenOutput,
  scopeOf,
  serviceTokenView,
  tokenOutput,
} from '../schemas/tokens.ts';
import { procedure, router } from './trpc.ts';

type Deps = Pick<ApiDeps, 'serviceTokens' | 'userTokens' | 'clock' | 'tokenLifetimeMs'>;

export function tokensRouter({ serviceTokens, userTokens, clock, tokenLifetimeMs }: Deps) {
  return router({
    /** Makes a token with which new agents enrol. */
    createEnrollment: procedure
      .input(createEnrollmentInput)
      .output(tokenOutput)
      .mutation(async ({ ctx, input }) => {
        const { token, expiresAt } = await ctx.core.enrollmentTokens.create(ctx.actor.subject, input);
        return { token, expiresAt: expiresAt.toISOString() };
      }),

    /** Makes a signed token with which an application or a person calls this API for a while. */
    createApi: procedure
      .input(createApiInput)
      .output(tokenOutput)
      .mutation(async ({ input }) => {
        const { subject, role } = input;
        const lifetimeMs = input.lifetimeMs ?? tokenLifetimeMs;
        const token = await userTokens.issue({ subject, role, lifetimeMs, scope: scopeOf(input) });
        return { token, expiresAt: new Date(clock.now() + lifetimeMs).toISOString() };
      }),

    /** Makes a service token, which is good until it is revoked, or for as long as asked. */
    create: procedure
      .input(createTokenInput)
      .output(createTokenOutput)
      .mutation(async ({ ctx, input }) => {
        const { name, role, lifetimeMs, rateLimit } = input;
        const spec = { name, role, scope: scopeOf(input), lifetimeMs, rateLimit };
        const { token, details } = await serviceTokens.create(ctx.actor.subject, spec);
        return { token, details: serviceTokenView(details) };
      }),

    /** Service tokens, newest first. */
    list: procedure
      .input(listTokensInput)
      .output(listTokensOutput)
      .query(async ({ input }) => {
        const page = await serviceTokens.list({ withRevoked: input.withRevoked }, pageRequest(input));
        return { tokens: page.items.map(serviceTokenView), nextPageToken: page.nextToken };
      }),

    /** Ends any token. Repeating it changes nothing. */
    revoke: procedure
      .input(revokeTokenInput)
      .output(revokeTokenOutput)
      .mutation(async ({ ctx, input }) => {
        const revoked = await serviceTokens.revoke(ctx.actor.subject, input.tokenId);
        return defined({ revoked: revoked && serviceTokenView(revoked) });
      }),
  });
}
