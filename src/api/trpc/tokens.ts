import type { ApiDeps } from '../deps.ts';
import { createApiInput, createEnrollmentInput, tokenOutput } from '../schemas/tokens.ts';
import { procedure, router } from './trpc.ts';

type Deps = Pick<ApiDeps, 'enrollmentTokens' | 'userTokens' | 'clock' | 'tokenLifetimeMs'>;

export function tokensRouter({ enrollmentTokens, userTokens, clock, tokenLifetimeMs }: Deps) {
  return router({
    /** Makes a token with which new agents enrol. */
    createEnrollment: procedure
      .input(createEnrollmentInput)
      .output(tokenOutput)
      .mutation(async ({ ctx, input }) => {
        const { token, expiresAt } = await enrollmentTokens.create(ctx.actor.subject, input);
        return { token, expiresAt: expiresAt.toISOString() };
      }),

    /** Makes a token with which an application or a person calls this API. */
    createApi: procedure
      .input(createApiInput)
      .output(tokenOutput)
      .mutation(async ({ input }) => {
        const lifetimeMs = input.lifetimeMs ?? tokenLifetimeMs;
        const token = await userTokens.issue({ subject: input.subject, role: input.role, lifetimeMs });
        return { token, expiresAt: new Date(clock.now() + lifetimeMs).toISOString() };
      }),
  });
}
