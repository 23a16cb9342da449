import { z } from 'zod';
import type {
  CertificateStatus,
  IssuedCertificate,
  IssuedChain,
  PinStatus,
} from '../../identity/certificates/types.ts';
import {
  agentIdSchema,
  countSchema,
  nextPageToken,
  optionalTimeView,
  pageInput,
  reasonSchema,
  timeSchema,
  timeView,
} from './common.ts';

const dayMs = 86_400_000;

export const noInput = z.strictObject({}).prefault({});
export const forceInput = z
  .strictObject({
    /** Also where agents would not follow. */
    force: z.boolean().default(false),
  })
  .prefault({});

export const listCertificatesInput = z
  .strictObject({ agentId: agentIdSchema.optional(), ...pageInput })
  .prefault({});

const serverName = z
  .string()
  .regex(/^[A-Za-z0-9.:*_-]{1,253}$/, { error: 'must be a host name or an IP address' });

export const issueCertificateInput = z
  .strictObject({
    /** PKCS#10 in DER, base64, for an ECDSA key on P-256. */
    request: z.base64().min(1).max(6000),
    agentId: agentIdSchema.optional(),
    /** Host names and addresses, of a server. */
    names: z.array(serverName).max(50).optional(),
    lifetimeMs: z
      .int()
      .min(60_000)
      .max(397 * dayMs)
      .optional(),
  })
  .refine(({ agentId, names = [] }) => (agentId === undefined) !== (names.length === 0), {
    error: 'must name an agent or the names of a server, and not both',
    path: ['names'],
  });

export const revokeCertificateInput = z.strictObject({
  serial: z.string().regex(/^[0-9A-Fa-f:]{1,80}$/, { error: 'must be a serial number in hexadecimal' }),
  reason: reasonSchema.default(''),
});

export const pinsOutput = z.strictObject({
  /** Written sha256/…; absent where the server is not pinned. */
  primary: z.string().optional(),
  backups: z.array(z.string()),
  version: countSchema,
  expiresAt: timeSchema.optional(),
});
export type PinsView = z.output<typeof pinsOutput>;

const agentSample = z.strictObject({
  total: countSchema,
  /** The first of them by name, at most 20. */
  agentIds: z.array(z.string()),
});

export const certificateStatusOutput = z.strictObject({
  clientCertificates: z.enum(['off', 'on', 'required']),
  /** Absent: the agents' listener speaks in clear text. */
  serverCertificate: z
    .strictObject({
      source: z.enum(['files', 'built-in']),
      serial: z.string(),
      notAfter: timeSchema,
      pin: z.string(),
      names: z.string(),
    })
    .optional(),
  trustDomain: z.string(),
  /** Of the document that agents store; version 0: there is none. */
  trust: z.strictObject({ version: countSchema, expiresAt: timeSchema.optional() }),
  authorities: z.array(
    z.strictObject({
      authorityId: z.string(),
      /** prepared: will issue; active: issues; retiring: did, and is believed. */
      state: z.enum(['prepared', 'active', 'retiring']),
      subject: z.string(),
      notAfter: timeSchema,
      fingerprint: z.string(),
      /** DER, base64. */
      certificate: z.string(),
      /** This server can issue with it. */
      hasKey: z.boolean(),
    }),
  ),
  pins: pinsOutput,
  /** Agents that would have to come back by their identity key alone if what is retiring were retired now. */
  waiting: z.strictObject({ withoutTrust: agentSample, withOldCertificate: agentSample }),
});
export type CertificateStatusView = z.output<typeof certificateStatusOutput>;

export const certificateSchema = z.strictObject({
  serial: z.string(),
  authorityId: z.string(),
  /** Absent: of a server. */
  agentId: z.string().optional(),
  names: z.array(z.string()),
  issuedAt: timeSchema,
  notAfter: timeSchema,
  issuedTo: z.string(),
  revokedAt: timeSchema.optional(),
  revokedBy: z.string().optional(),
  revokeReason: z.string().optional(),
});
export type CertificateView = z.output<typeof certificateSchema>;

export const certificatesOutput = z.strictObject({ certificates: z.array(certificateSchema), nextPageToken });
export const certificateOutput = z.strictObject({ certificate: certificateSchema });
export const issuedOutput = z.strictObject({
  certificate: certificateSchema,
  /** DER, base64: the certificate, then what vouches for it. */
  chain: z.array(z.string()),
});

export const pinsView = ({ expiresAt, ...rest }: PinStatus): PinsView => ({
  ...rest,
  expiresAt: optionalTimeView(expiresAt),
});

export function certificateStatusView(status: CertificateStatus): CertificateStatusView {
  const { serverCertificate: server, trust, authorities, pins } = status;
  return {
    ...status,
    serverCertificate: server && { ...server, notAfter: timeView(server.notAfter) },
    trust: { version: trust.version, expiresAt: optionalTimeView(trust.expiresAt) },
    authorities: authorities.map(({ notAfter, certificate, ...rest }) => ({
      ...rest,
      notAfter: timeView(notAfter),
      certificate: Buffer.from(certificate).toString('base64'),
    })),
    pins: pinsView(pins),
  };
}

export const certificateView = ({
  issuedAt,
  notAfter,
  revokedAt,
  ...rest
}: IssuedCertificate): CertificateView => ({
  ...rest,
  issuedAt: timeView(issuedAt),
  notAfter: timeView(notAfter),
  revokedAt: optionalTimeView(revokedAt),
});

export const issuedView = ({ details, certificates }: IssuedChain): z.output<typeof issuedOutput> => ({
  certificate: certificateView(details),
  chain: certificates.map((der) => Buffer.from(der).toString('base64')),
});
