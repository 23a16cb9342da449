import { describe, expect, test } from 'vitest';
import { AgentStatus } from '#gen/viworks/control/v1/agent_pb.js';
import { EnrollmentRequestState, EnrollmentTokenState } from '#gen/viworks/control/v1/enrollment_pb.js';
import { requestId, tokenId } from '../support/api-enrollment.ts';
import { startApi } from '../support/api-server.ts';
import { errorOf } from '../support/api-surfaces.ts';

/** Enrolment and the standing of agents say the same over tRPC and gRPC. */

const fingerprint = '5647-5aa7-5463-474c-0285-df5d-bf2b-cab7';

test('tokens are listed, looked at and revoked, and the token itself is nowhere', async () => {
  await using api = await startApi();
  const trpc = await api.trpc();
  const grpc = await api.control('grpc');
  const { tokens } = await trpc.enrollment.listTokens.query();
  expect(tokens).toEqual([
    expect.objectContaining({ tokenId, usesLeft: 2, usedBy: ['alpha'], state: 'active' }),
  ]);
  expect(Object.keys(tokens[0] ?? {})).not.toContain('token');
  const listed = await grpc.listEnrollmentTokens({});
  expect(listed.tokens).toMatchObject([
    { tokenId, usesLeft: 2, agentId: '', usedBy: ['alpha'], state: EnrollmentTokenState.ACTIVE },
  ]);
  expect((await grpc.getEnrollmentToken({ tokenId })).token?.expiresAt).toBeDefined();
  const { token } = await grpc.revokeEnrollmentToken({ tokenId });
  expect(token).toMatchObject({ state: EnrollmentTokenState.REVOKED, revokedBy: 'the admin' });
  expect((await trpc.enrollment.listTokens.query()).tokens).toEqual([]);
  expect((await trpc.enrollment.listTokens.query({ all: true })).tokens).toHaveLength(1);
  expect(await trpc.enrollment.createToken.mutate({ site: 'berlin' })).toMatchObject({
    tokenId,
    token: 'vwe_once',
  });
});

describe.each(['trpc', 'grpc'] as const)('over %s', (surface) => {
  test('a request is listed and approved, and the second decision is told so', async () => {
    await using api = await startApi();
    const [trpc, grpc] = [await api.trpc(), await api.control('grpc')];
    const viewer = await api.trpc('viewer');
    expect((await viewer.enrollment.listRequests.query()).requests).toMatchObject([
      { requestId, agentId: 'gamma' },
    ]);
    expect((await grpc.listEnrollmentRequests({})).requests).toMatchObject([
      { requestId, keyId: fingerprint.replaceAll('-', ''), state: EnrollmentRequestState.PENDING },
    ]);
    if (surface === 'trpc') {
      const approved = await trpc.enrollment.approve.mutate({ requestId, fingerprint, site: 'berlin' });
      expect(approved.request).toMatchObject({ state: 'approved', decidedBy: 'the admin' });
    } else {
      const approved = await grpc.approveEnrollment({ requestId, fingerprint, site: 'berlin' });
      expect(approved.request).toMatchObject({
        state: EnrollmentRequestState.APPROVED,
        decidedBy: 'the admin',
      });
    }
    const second =
      surface === 'trpc'
        ? errorOf(trpc.enrollment.reject.mutate({ requestId }))
        : errorOf(grpc.rejectEnrollment({ requestId }));
    expect(await second).toMatchObject({ code: 'enrollment_state' });
  });

  test('an agent is revoked with a reason, and removed', async () => {
    await using api = await startApi();
    const [trpc, grpc] = [await api.trpc(), await api.control('grpc')];
    const agentId = 'alpha';
    if (surface === 'trpc') {
      const { agent } = await trpc.agents.revoke.mutate({ agentId, reason: 'stolen' });
      expect(agent).toMatchObject({ status: 'revoked', statusReason: 'stolen' });
      await trpc.agents.remove.mutate({ agentId });
    } else {
      const { agent } = await grpc.revokeAgent({ agentId, reason: 'stolen' });
      expect(agent).toMatchObject({ status: AgentStatus.REVOKED, statusReason: 'stolen', keyId: '' });
      await grpc.removeAgent({ agentId });
    }
    expect(await errorOf(trpc.agents.get.query({ agentId }))).toMatchObject({ code: 'agent_unknown' });
  });

  test('an agent is released, and asked for a new key', async () => {
    await using api = await startApi();
    const [trpc, grpc] = [await api.trpc(), await api.control('grpc')];
    const agentId = 'alpha';
    const released =
      surface === 'trpc'
        ? (await trpc.agents.release.mutate({ agentId })).agent.status
        : (await grpc.releaseAgent({ agentId })).agent?.status;
    expect(released).toBe(surface === 'trpc' ? 'online' : AgentStatus.ONLINE);
    const asked =
      surface === 'trpc'
        ? (await trpc.agents.rotateKey.mutate({ agentId })).agent.keyId
        : (await grpc.rotateAgentKey({ agentId })).agent?.keyId;
    expect(asked).toBe(fingerprint.replaceAll('-', ''));
  });
});
