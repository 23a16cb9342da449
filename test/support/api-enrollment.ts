import { ViworksError } from '../../src/errors.ts';
import type { EnrollmentAdmin, EnrollmentRequest, EnrollmentToken } from '../../src/identity/types.ts';
import { page } from './api-ports.ts';

const at = new Date('2026-01-31T08:00:00Z');
export const tokenId = '018f0000-0000-7000-8000-00000000000a';
export const requestId = '018f0000-0000-7000-8000-00000000000b';
export const otherRequestId = '018f0000-0000-7000-8000-00000000000c';

/** One token and two requests, in memory. */
export function memoryEnrollment(): EnrollmentAdmin {
  const token: EnrollmentToken = {
    tokenId,
    site: 'berlin',
    labels: { role: 'web' },
    agentId: undefined,
    uses: 3,
    usesLeft: 2,
    createdBy: 'ada',
    createdAt: at,
    expiresAt: new Date(at.getTime() + 3_600_000),
    state: 'active',
    revokedBy: undefined,
    usedBy: ['alpha'],
  };
  const requestFor = (id: string, agentId: string): EnrollmentRequest => ({
    requestId: id,
    agentId,
    keyId: '56475aa75463474c0285df5dbf2bcab7',
    labels: {},
    hostname: 'gamma.example',
    remoteAddress: '127.0.0.1',
    state: 'pending',
    requestedAt: at,
    expiresAt: new Date(at.getTime() + 86_400_000),
    decidedBy: undefined,
    decidedAt: undefined,
    reason: undefined,
    agentExists: false,
  });
  const requests = [requestFor(requestId, 'gamma'), requestFor(otherRequestId, 'delta')];
  const unknown = () => new ViworksError('enrollment_unknown', 'There is no such thing.');
  const tokenAt = (id: string) => {
    if (id !== tokenId) throw unknown();
    return token;
  };
  const decide = (id: string, decision: Partial<EnrollmentRequest>) => {
    const request = requests.find((one) => one.requestId === id);
    if (request === undefined) throw unknown();
    if (request.state !== 'pending') throw new ViworksError('enrollment_state', 'It is decided already.');
    return Object.assign(request, decision, { decidedAt: at });
  };
  return {
    listTokens: async ({ all }, wanted) =>
      page(
        [token].filter(({ state }) => all || state === 'active'),
        wanted,
        (one) => one.tokenId,
      ),
    getToken: async (id) => tokenAt(id),
    revokeToken: async (actor, id) => Object.assign(tokenAt(id), { state: 'revoked', revokedBy: actor }),
    listRequests: async ({ all }, wanted) =>
      page(
        requests.filter(({ state }) => all || state === 'pending'),
        wanted,
        (one) => one.requestId,
      ),
    approve: async (actor, id) => decide(id, { state: 'approved', decidedBy: actor }),
    reject: async (actor, id, reason) => decide(id, { state: 'rejected', decidedBy: actor, reason }),
  };
}
