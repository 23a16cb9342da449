import { durationFromMs } from '@bufbuild/protobuf/wkt';
import type { ConnectRouter } from '@connectrpc/connect';
import { AgentService } from '#gen/viworks/agent/v1/agent_service_pb.js';
import type { AuditTrail } from '../audit/trail.ts';
import type { Enrollment } from '../identity/enrollment.ts';
import type { EnrollmentRequests } from '../identity/enrollment-requests.ts';
import type { Enrolled } from '../identity/registration.ts';
import { keyIdOf } from '../protocol/keys.ts';
import { remoteAddress } from '../protocol/peer.ts';

/** The calls with which an agent gets its identity, on the agent listener. */
export function enrollmentRoutes(
  router: ConnectRouter,
  enrollment: Pick<Enrollment, 'enroll'>,
  requests: Pick<EnrollmentRequests, 'ask'>,
  audit: Pick<AuditTrail, 'during' | 'admitted'>,
): void {
  router.rpc(AgentService.method.enroll, async (request, { values, requestHeader }) => {
    const { agentId: resourceId } = request;
    const call = {
      actor: `agent:${resourceId}`,
      action: 'agents.enroll',
      address: values.get(remoteAddress) || undefined,
      userAgent: requestHeader.get('user-agent') ?? undefined,
      resourceKind: 'agent',
      resourceId,
      details: () => ({ labels: request.labels, keyId: keyIdOf(request.publicKey) }),
    };
    return enrolledMessage(await audit.during(call, () => enrollment.enroll(request)));
  });
  router.rpc(AgentService.method.requestEnrollment, async (request, { signal, values }) => {
    const address = values.get(remoteAddress);
    const answer = await requests.ask(request, address, signal);
    audit.admitted({ actor: `agent:${request.agentId}`, address }, 'agents.requestEnrollment');
    switch (answer.state) {
      case 'enrolled':
        return { state: { case: 'enrolled', value: enrolledMessage(answer.enrolled) } };
      case 'rejected':
        return { state: { case: 'rejected', value: { reason: answer.reason } } };
      case 'pending': {
        const value = { retryAfter: durationFromMs(answer.retryAfterMs) };
        return { state: { case: 'pending', value } };
      }
    }
  });
}

const enrolledMessage = ({ serverKeyId, serverPublicKey, ...enrolled }: Enrolled) => ({
  ...enrolled,
  serverKeys: [{ keyId: serverKeyId, publicKey: serverPublicKey }],
});
