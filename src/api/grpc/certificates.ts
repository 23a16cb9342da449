import type { MessageInitShape } from '@bufbuild/protobuf';
import { durationMs, timestampFromDate } from '@bufbuild/protobuf/wkt';
import {
  AuthorityState,
  type CertificateSchema,
  type CertificateStatusSchema,
  ClientCertificates,
  type PinsSchema,
} from '#gen/viworks/control/v1/certificate_pb.js';
import { ControlService } from '#gen/viworks/control/v1/control_service_pb.js';
import type {
  AuthorityStatus,
  CertificateStatus,
  IssuedCertificate,
  PinStatus,
} from '../../identity/certificates/types.ts';
import { defined } from '../../lib/defined.ts';
import type { ApiDeps } from '../deps.ts';
import { issueCertificateInput } from '../schemas/certs.ts';
import { invalidRequest } from '../schemas/problems.ts';
import { pageRequest } from './convert.ts';
import type { Guard } from './guard.ts';

/** The methods of ControlService for certificates. */
export function certificateMethods(
  { certificates }: Pick<ApiDeps, 'certificates'>,
  { unary }: Pick<Guard, 'unary'>,
) {
  const { method } = ControlService;
  const said = async (status: Promise<CertificateStatus>) => ({ status: statusMessage(await status) });
  return {
    getCertificateStatus: unary(method.getCertificateStatus, () => said(certificates.status())),
    getPins: unary(method.getPins, async () => ({ pins: pinsMessage(await certificates.pins()) })),
    listCertificates: unary(method.listCertificates, async (request) => {
      const page = await certificates.list({ agentId: request.agentId || undefined }, pageRequest(request));
      return { certificates: page.items.map(certificateMessage), nextPageToken: page.nextToken ?? '' };
    }),
    prepareAuthority: unary(method.prepareAuthority, (_request, { actor }) =>
      said(certificates.prepareAuthority(actor.subject)),
    ),
    dropAuthority: unary(method.dropAuthority, (_request, { actor }) =>
      said(certificates.dropAuthority(actor.subject)),
    ),
    activateAuthority: unary(method.activateAuthority, (_request, { actor }) =>
      said(certificates.activateAuthority(actor.subject)),
    ),
    retireAuthority: unary(method.retireAuthority, ({ force }, { actor }) =>
      said(certificates.retireAuthority(actor.subject, force)),
    ),
    rotatePins: unary(method.rotatePins, ({ force }, { actor }) =>
      said(certificates.rotatePins(actor.subject, force)),
    ),
    issueCertificate: unary(
      method.issueCertificate,
      async ({ request, agentId, names, lifetime }, { actor }) => {
        const parsed = issueCertificateInput.safeParse({
          request: Buffer.from(request).toString('base64'),
          ...(agentId === '' ? {} : { agentId }),
          names,
          ...defined({ lifetimeMs: lifetime && Math.ceil(durationMs(lifetime)) }),
        });
        if (!parsed.success)
          throw invalidRequest(parsed.error, { agentId: 'agent_id', lifetimeMs: 'lifetime' });
        const issued = await certificates.issue(actor.subject, { ...parsed.data, request });
        return { certificate: certificateMessage(issued.details), chain: issued.certificates };
      },
    ),
    revokeCertificate: unary(method.revokeCertificate, async ({ serial, reason }, { actor }) => ({
      certificate: certificateMessage(await certificates.revoke(actor.subject, serial, reason)),
    })),
  };
}

const optionalTime = (date: Date | undefined) => date && timestampFromDate(date);

const clientCertificates = {
  off: ClientCertificates.OFF,
  on: ClientCertificates.ON,
  required: ClientCertificates.REQUIRED,
};
const authorityStates: Record<AuthorityStatus['state'], AuthorityState> = {
  prepared: AuthorityState.PREPARED,
  active: AuthorityState.ACTIVE,
  retiring: AuthorityState.RETIRING,
};

function statusMessage(status: CertificateStatus): MessageInitShape<typeof CertificateStatusSchema> {
  const { serverCertificate: server, trust, authorities, waiting } = status;
  return {
    clientCertificates: clientCertificates[status.clientCertificates],
    trustDomain: status.trustDomain,
    trustVersion: BigInt(trust.version),
    authorities: authorities.map(({ state, notAfter, ...authority }) => ({
      ...authority,
      state: authorityStates[state],
      notAfter: timestampFromDate(notAfter),
    })),
    pins: pinsMessage(status.pins),
    withoutTrust: waiting.withoutTrust,
    withOldCertificate: waiting.withOldCertificate,
    ...defined({
      trustExpiresAt: optionalTime(trust.expiresAt),
      serverCertificate: server && {
        builtIn: server.source === 'built-in',
        serial: server.serial,
        notAfter: timestampFromDate(server.notAfter),
        pin: server.pin,
        names: server.names,
      },
    }),
  };
}

const pinsMessage = ({
  primary = '',
  backups,
  version,
  expiresAt,
}: PinStatus): MessageInitShape<typeof PinsSchema> => ({
  primary,
  backups,
  version: BigInt(version),
  ...defined({ expiresAt: optionalTime(expiresAt) }),
});

const certificateMessage = (one: IssuedCertificate): MessageInitShape<typeof CertificateSchema> => ({
  serial: one.serial,
  authorityId: one.authorityId,
  agentId: one.agentId ?? '',
  names: one.names,
  issuedAt: timestampFromDate(one.issuedAt),
  notAfter: timestampFromDate(one.notAfter),
  issuedTo: one.issuedTo,
  revokedBy: one.revokedBy ?? '',
  revokeReason: one.revokeReason ?? '',
  ...defined({ revokedAt: optionalTime(one.revokedAt) }),
});
