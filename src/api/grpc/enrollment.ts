import { timestampFromDate } from '@bufbuild/protobuf/wkt';
import { ControlService } from '#gen/viworks/control/v1/control_service_pb.js';
import {
  EnrollmentRequestState as RequestState,
  EnrollmentTokenState as TokenState,
} from '#gen/viworks/control/v1/enrollment_pb.js';
import type { EnrollmentRequest, EnrollmentToken } from '../../identity/types.ts';
import type { ApiDeps } from '../deps.ts';
import { approveEnrollmentInput } from '../schemas/enrollment.ts';
import { invalidRequest } from '../schemas/problems.ts';
import { agentMessage, pageRequest } from './convert.ts';
import type { Guard } from './guard.ts';

/** The methods of ControlService for enrolment, and for the standing of agents. */
export function enrollmentMethods(
  { enrollment, agents }: Pick<ApiDeps, 'enrollment' | 'agents'>,
  { unary }: Pick<Guard, 'unary'>,
) {
  const { method } = ControlService;
  return {
    listEnrollmentTokens: unary(method.listEnrollmentTokens, async (request) => {
      const page = await enrollment.listTokens({ all: request.all }, pageRequest(request));
      return { tokens: page.items.map(tokenMessage), nextPageToken: page.nextToken ?? '' };
    }),

    getEnrollmentToken: unary(method.getEnrollmentToken, async ({ tokenId }) => {
      return { token: tokenMessage(await enrollment.getToken(tokenId)) };
    }),

    revokeEnrollmentToken: unary(method.revokeEnrollmentToken, async ({ tokenId }, { actor }) => {
      return { token: tokenMessage(await enrollment.revokeToken(actor.subject, tokenId)) };
    }),

    listEnrollmentRequests: unary(method.listEnrollmentRequests, async (request) => {
      const page = await enrollment.listRequests({ all: request.all }, pageRequest(request));
      return { requests: page.items.map(requestMessage), nextPageToken: page.nextToken ?? '' };
    }),

    approveEnrollment: unary(method.approveEnrollment, async (request, { actor }) => {
      const { requestId, fingerprint, site, labels, again } = request;
      const parsed = approveEnrollmentInput.safeParse({ requestId, fingerprint, site, labels, again });
      if (!parsed.success) throw invalidRequest(parsed.error, { requestId: 'request_id' });
      const approved = await enrollment.approve(actor.subject, requestId, parsed.data);
      return { request: requestMessage(approved) };
    }),

    rejectEnrollment: unary(method.rejectEnrollment, async ({ requestId, reason }, { actor }) => {
      return { request: requestMessage(await enrollment.reject(actor.subject, requestId, reason)) };
    }),

    revokeAgent: unary(method.revokeAgent, async ({ agentId, reason }, { actor }) => {
      return { agent: agentMessage(await agents.revoke(actor.subject, agentId, reason)) };
    }),

    releaseAgent: unary(method.releaseAgent, async ({ agentId }, { actor }) => {
      return { agent: agentMessage(await agents.release(actor.subject, agentId)) };
    }),

    rotateAgentKey: unary(method.rotateAgentKey, async ({ agentId }, { actor }) => {
      return { agent: agentMessage(await agents.rotateKey(actor.subject, agentId)) };
    }),

    removeAgent: unary(method.removeAgent, async ({ agentId }, { actor }) => {
      await agents.remove(actor.subject, agentId);
      return {};
    }),
  };
}

const tokenStates: Record<EnrollmentToken['state'], TokenState> = {
  active: TokenState.ACTIVE,
  spent: TokenState.SPENT,
  expired: TokenState.EXPIRED,
  revoked: TokenState.REVOKED,
};

function tokenMessage({ agentId, revokedBy, state, createdAt, expiresAt, ...rest }: EnrollmentToken) {
  return {
    ...rest,
    agentId: agentId ?? '',
    revokedBy: revokedBy ?? '',
    state: tokenStates[state],
    createdAt: timestampFromDate(createdAt),
    expiresAt: timestampFromDate(expiresAt),
  };
}

const requestStates: Record<EnrollmentRequest['state'], RequestState> = {
  pending: RequestState.PENDING,
  approved: RequestState.APPROVED,
  rejected: RequestState.REJECTED,
};

function requestMessage({ state, requestedAt, expiresAt, decidedAt, ...rest }: EnrollmentRequest) {
  return {
    ...rest,
    state: requestStates[state],
    requestedAt: timestampFromDate(requestedAt),
    expiresAt: timestampFromDate(expiresAt),
    decidedBy: rest.decidedBy ?? '',
    reason: rest.reason ?? '',
    ...(decidedAt && { decidedAt: timestampFromDate(decidedAt) }),
  };
}
