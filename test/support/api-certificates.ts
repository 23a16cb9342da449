import { ViworksError } from '../../src/errors.ts';
import type {
  CertificateService,
  CertificateStatus,
  IssuedCertificate,
} from '../../src/identity/certificates/types.ts';
import { page } from './api-ports.ts';

const at = new Date('2026-01-31T08:00:00Z');
const later = new Date('2031-01-31T08:00:00Z');
export const serial = '4A'.repeat(16);
const pin = (letter: string) => `sha256/${letter.repeat(43)}=`;

/** One authority and one certificate, in memory. */
export function memoryCertificates(): CertificateService {
  const certificate: IssuedCertificate = {
    serial,
    authorityId: '0a'.repeat(16),
    agentId: 'alpha',
    names: ['spiffe://test/agent/alpha/1'],
    issuedAt: at,
    notAfter: later,
    issuedTo: 'agent:alpha',
    revokedAt: undefined,
    revokedBy: undefined,
    revokeReason: undefined,
  };
  const status: CertificateStatus = {
    clientCertificates: 'on',
    serverCertificate: {
      source: 'built-in',
      serial: '01',
      notAfter: later,
      pin: pin('A'),
      names: 'DNS:here',
    },
    trustDomain: 'test',
    trust: { version: 7, expiresAt: later },
    authorities: [
      {
        authorityId: '0a'.repeat(16),
        state: 'active',
        subject: 'CN=test',
        notAfter: later,
        fingerprint: '0A:0A',
        certificate: new Uint8Array([1, 2, 3]),
        hasKey: true,
      },
    ],
    pins: { primary: pin('A'), backups: [pin('B')], version: 7, expiresAt: later },
    waiting: {
      withoutTrust: { total: 1, agentIds: ['beta'] },
      withOldCertificate: { total: 0, agentIds: [] },
    },
  };
  const same = async () => status;
  return {
    status: same,
    pins: async () => status.pins,
    list: async ({ agentId }, wanted) =>
      page(
        [certificate].filter((one) => agentId === undefined || one.agentId === agentId),
        wanted,
        (one) => one.serial,
      ),
    prepareAuthority: same,
    dropAuthority: same,
    activateAuthority: same,
    retireAuthority: same,
    rotatePins: same,
    issue: async (actor, { agentId, names = [] }) => ({
      details: { ...certificate, agentId, names: [...names], issuedTo: actor },
      certificates: [new Uint8Array([1, 2, 3])],
    }),
    async revoke(actor, given, reason) {
      if (given !== serial) throw new ViworksError('certificate_unknown', 'serial: no such certificate');
      return Object.assign(certificate, { revokedAt: at, revokedBy: actor, revokeReason: reason });
    },
  };
}
