import { durationFromMs } from '@bufbuild/protobuf/wkt';
import type { ConnectRouter } from '@connectrpc/connect';
import { AgentService } from '#gen/viworks/agent/v1/agent_service_pb.js';
import type { AuditTrail } from '../audit/trail.ts';
import type { AskedAtEnrollment, Certificates } from '../identity/certificates/certificates.ts';
import type { CertificateRenewal } from '../identity/certificates/renewal.ts';
import type { Enrollment } from '../identity/enrollment.ts';
import type { EnrollmentRequests } from '../identity/enrollment-requests.ts';
import type { Enrolled } from '../identity/registration.ts';
import { keyIdOf } from '../protocol/keys.ts';
import { remoteAddress } from '../protocol/peer.ts';

/** Who tries too many tokens that do not count is not let try for a while. */
export interface Guesses {
  /** @throws rate_limited, and what `work` throws */
  attempt<T>(address: string, work: () => Promise<T>): Promise<T>;
  /** A call that costs something and proves nothing. @throws rate_limited */
  countAddress(address: string): Promise<void>;
}

/** The calls with which an agent gets its identity, on the agent listener. */
export function enrollmentRoutes(
  router: ConnectRouter,
  enrollment: Pick<Enrollment, 'enroll'>,
  requests: Pick<EnrollmentRequests, 'ask'>,
  audit: Pick<AuditTrail, 'during' | 'admitted'>,
  guesses: Guesses,
  tls?: { certificates: Pick<Certificates, 'atEnrollment'>; renewal: CertificateRenewal } | undefined,
): void {
  /** What a new agent gets; it asks again with the same key where a certificate could not be made. */
  const answerTo = async (enrolled: Enrolled, asked: AskedAtEnrollment & { publicKey: Uint8Array }) => {
    const { agentId, incarnation } = enrolled;
    const agent = { agentId, incarnation, publicKey: asked.publicKey };
    return { ...enrolledMessage(enrolled), ...(await tls?.certificates.atEnrollment(agent, asked)) };
  };
  router.rpc(AgentService.method.enroll, async (request, { values, requestHeader }) => {
    const { agentId: resourceId } = request;
    const address = values.get(remoteAddress);
    const call = {
      actor: `agent:${resourceId}`,
      action: 'agents.enroll',
      address: address || undefined,
      userAgent: requestHeader.get('user-agent') ?? undefined,
      resourceKind: 'agent',
      resourceId,
      details: () => ({ labels: request.labels, keyId: keyIdOf(request.publicKey) }),
    };
    return guesses.attempt(address, () =>
      audit.during(call, async () => answerTo(await enrollment.enroll(request), request)),
    );
  });
  router.rpc(AgentService.method.requestEnrollment, async (request, { signal, values }) => {
    const address = values.get(remoteAddress);
    const answer = await requests.ask(request, address, signal);
    audit.admitted({ actor: `agent:${request.agentId}`, address }, 'agents.requestEnrollment');
    switch (answer.state) {
      case 'enrolled':
        return { state: { case: 'enrolled', value: await answerTo(answer.enrolled, request) } };
      case 'rejected':
        return { state: { case: 'rejected', value: { reason: answer.reason } } };
      case 'pending': {
        const value = { retryAfter: durationFromMs(answer.retryAfterMs) };
        return { state: { case: 'pending', value } };
      }
    }
  });
  if (tls === undefined) return;
  const { renewal } = tls;
  router.rpc(AgentService.method.challengeRenewal, async (_request, { values }) => {
    await guesses.countAddress(values.get(remoteAddress));
    return { nonce: await renewal.challenge() };
  });
  router.rpc(AgentService.method.renewCertificate, async (request, { values, requestHeader }) => {
    const address = values.get(remoteAddress) || undefined;
    const answer = await guesses.attempt(address ?? '', () => renewal.renew(request, address));
    const caller = {
      actor: `agent:${request.agentId}`,
      address,
      userAgent: requestHeader.get('user-agent') ?? undefined,
    };
    audit.admitted(caller, 'certificates.renew');
    return answer;
  });
}

const enrolledMessage = ({ serverKeyId, serverPublicKey, ...enrolled }: Enrolled) => ({
  ...enrolled,
  serverKeys: [{ keyId: serverKeyId, publicKey: serverPublicKey }],
});
