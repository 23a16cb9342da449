import { durationFromMs } from '@bufbuild/protobuf/wkt';
import type { ConnectRouter } from '@connectrpc/connect';
import { AgentService } from '#gen/viworks/agent/v1/agent_service_pb.js';
import type { Enrollment } from '../identity/enrollment.ts';
import type { EnrollmentRequests } from '../identity/enrollment-requests.ts';
import type { Enrolled } from '../identity/registration.ts';
import { remoteAddress } from './unary.ts';

/** The calls with which an agent gets its identity, on the agent listener. */
export function enrollmentRoutes(
  router: ConnectRouter,
  enrollment: Pick<Enrollment, 'enroll'>,
  requests: Pick<EnrollmentRequests, 'ask'>,
): void {
  router.rpc(AgentService.method.enroll, async (request) =>
    enrolledMessage(await enrollment.enroll(request)),
  );
  router.rpc(AgentService.method.requestEnrollment, async (request, { signal, values }) => {
    const answer = await requests.ask(request, values.get(remoteAddress), signal);
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
