import type { Page, PageRequest } from '../../lib/page.ts';

/** What the API calls to look after certificates. */
export interface CertificateService {
  status(): Promise<CertificateStatus>;
  pins(): Promise<PinStatus>;
  /** Those that are not over, newest first. */
  list(filter: { agentId?: string | undefined }, page: PageRequest): Promise<Page<IssuedCertificate>>;
  /** A new authority is believed from now on; it issues when it is activated. @throws certificate_state */
  prepareAuthority(actor: string): Promise<CertificateStatus>;
  /** Takes a prepared authority back. @throws certificate_state */
  dropAuthority(actor: string): Promise<CertificateStatus>;
  /** The prepared authority issues from now on. @throws certificate_state */
  activateAuthority(actor: string): Promise<CertificateStatus>;
  /**
   * What issues no more is believed no more.
   * @param force also where agents would have to come back by their identity key alone
   * @throws certificate_state
   */
  retireAuthority(actor: string, force: boolean): Promise<CertificateStatus>;
  /** The backup becomes the server's key, and there is a new backup. @throws certificate_state */
  rotatePins(actor: string, force: boolean): Promise<CertificateStatus>;
  /** A certificate for an agent or a server, out of band. @throws certificates_off, agent_unknown, invalid_request */
  issue(actor: string, wish: CertificateWish): Promise<IssuedChain>;
  /** Nobody comes in with it any more. Repeating it changes nothing. @throws certificate_unknown */
  revoke(actor: string, serial: string, reason: string): Promise<IssuedCertificate>;
}

export interface CertificateWish {
  /** PKCS#10 in DER. */
  request: Uint8Array;
  /** For this agent, or else for a server of these names. */
  agentId?: string | undefined;
  names?: readonly string[] | undefined;
  lifetimeMs?: number | undefined;
}

export interface IssuedChain {
  details: IssuedCertificate;
  /** DER, the certificate first. */
  certificates: Uint8Array[];
}

export type ClientCertificates = 'off' | 'on' | 'required';

export interface CertificateStatus {
  clientCertificates: ClientCertificates;
  /** Where the certificate of the agents' listener comes from. */
  serverCertificate: ServerCertificate | undefined;
  trustDomain: string;
  /** Of the document that agents store. */
  trust: { version: number; expiresAt: Date | undefined };
  authorities: AuthorityStatus[];
  pins: PinStatus;
  /** Agents that would have to come back by their identity key alone if what is retiring were retired now. */
  waiting: WaitingAgents;
}

export interface ServerCertificate {
  source: 'files' | 'built-in';
  serial: string;
  notAfter: Date;
  /** Of its key. */
  pin: string;
  names: string;
}

export interface AuthorityStatus {
  authorityId: string;
  state: 'prepared' | 'active' | 'retiring';
  subject: string;
  notAfter: Date;
  /** SHA-256 of the certificate, hex with colons. */
  fingerprint: string;
  /** DER. */
  certificate: Uint8Array;
  /** This server can issue with it. */
  hasKey: boolean;
}

export interface PinStatus {
  /** Written `sha256/…`; undefined where the server is not pinned. */
  primary: string | undefined;
  backups: string[];
  version: number;
  expiresAt: Date | undefined;
}

export interface WaitingAgents {
  /** Have not stored the document that they need. */
  withoutTrust: AgentSample;
  /** Have a certificate of an authority that is retiring. */
  withOldCertificate: AgentSample;
}

export interface AgentSample {
  total: number;
  /** The first of them by name. */
  agentIds: string[];
}

export interface IssuedCertificate {
  serial: string;
  authorityId: string;
  /** Undefined: of a server. */
  agentId: string | undefined;
  names: string[];
  issuedAt: Date;
  notAfter: Date;
  issuedTo: string;
  revokedAt: Date | undefined;
  revokedBy: string | undefined;
  revokeReason: string | undefined;
}
