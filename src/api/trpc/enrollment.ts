import type { ApiDeps } from '../deps.ts';
import { pageRequest } from '../schemas/common.ts';
import {
  approveEnrollmentInput,
  createTokenOutput,
  enrollmentRequestOutput,
  enrollmentRequestView,
  enrollmentTokenOutput,
  enrollmentTokenView,
  listEnrollmentInput,
  listRequestsOutput,
  listTokensOutput,
  rejectEnrollmentInput,
  tokenIdInput,
} from '../schemas/enrollment.ts';
import { createEnrollmentInput } from '../schemas/tokens.ts';
import { procedure, router } from './trpc.ts';

export function enrollmentRouter({ enrollment }: Pick<ApiDeps, 'enrollment'>) {
  return router({
    /** Makes a token with which new agents enrol. */
    createToken: procedure
      .input(createEnrollmentInput)
      .output(createTokenOutput)
      .mutation(async ({ ctx, input }) => {
        const { expiresAt, ...made } = await ctx.core.enrollmentTokens.create(ctx.actor.subject, input);
        return { ...made, expiresAt: expiresAt.toISOString() };
      }),

    listTokens: procedure
      .input(listEnrollmentInput)
      .output(listTokensOutput)
      .query(async ({ input }) => {
        const page = await enrollment.listTokens({ all: input.all }, pageRequest(input));
        return { tokens: page.items.map(enrollmentTokenView), nextPageToken: page.nextToken };
      }),

    getToken: procedure
      .input(tokenIdInput)
      .output(enrollmentTokenOutput)
      .query(async ({ input }) => ({ token: enrollmentTokenView(await enrollment.getToken(input.tokenId)) })),

    /** Nobody enrols with it any more; who did stays enrolled. */
    revokeToken: procedure
      .input(tokenIdInput)
      .output(enrollmentTokenOutput)
      .mutation(async ({ ctx, input }) => {
        const token = await enrollment.revokeToken(ctx.actor.subject, input.tokenId);
        return { token: enrollmentTokenView(token) };
      }),

    /** Agents without a token that ask to be enrolled. */
    listRequests: procedure
      .input(listEnrollmentInput)
      .output(listRequestsOutput)
      .query(async ({ input }) => {
        const page = await enrollment.listRequests({ all: input.all }, pageRequest(input));
        return { requests: page.items.map(enrollmentRequestView), nextPageToken: page.nextToken };
      }),

    /** Enrols the agent that asked with this key. */
    approve: procedure
      .input(approveEnrollmentInput)
      .output(enrollmentRequestOutput)
      .mutation(async ({ ctx, input: { requestId, ...approval } }) => {
        const request = await enrollment.approve(ctx.actor.subject, requestId, approval);
        return { request: enrollmentRequestView(request) };
      }),

    reject: procedure
      .input(rejectEnrollmentInput)
      .output(enrollmentRequestOutput)
      .mutation(async ({ ctx, input }) => {
        const request = await enrollment.reject(ctx.actor.subject, input.requestId, input.reason);
        return { request: enrollmentRequestView(request) };
      }),
  });
}
