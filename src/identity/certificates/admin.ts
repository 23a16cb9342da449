import type { KeyObject } from 'node:crypto';
import { invalidField, ViworksError } from '../../errors.ts';
import { keyBefore, pageOf } from '../../lib/page.ts';
import { storableText } from '../../lib/text.ts';
import type { AgentName } from '../../protocol/certificates/agent-name.ts';
import { pinText } from '../../protocol/certificates/pins.ts';
import { certificateIdOf, type Issuer, readRequest } from '../../protocol/certificates/x509.ts';
import {
  agentsHolding,
  agentsWithoutTrust,
  type CertificateRow,
  incarnationOf,
  listCertificates,
  revokeCertificateRow,
} from '../../storage/certificates.ts';
import { authorityStatus, type Issued, issueFrom, newAuthority, newServerKey } from './authorities.ts';
import type { ServerCertificates } from './server-certificate.ts';
import type { CertificateDeps } from './settings.ts';
import type { Decide, Trust } from './trust.ts';
import {
  activated,
  changed,
  dropped,
  prepared,
  retired,
  retiringAuthorities,
  sameAuthorities,
} from './trust-changes.ts';
import type {
  AgentSample,
  CertificateService,
  CertificateStatus,
  IssuedCertificate,
  PinStatus,
  WaitingAgents,
} from './types.ts';

/** What operators see and change of certificates. */

export interface CertificateAdminDeps
  extends Pick<CertificateDeps, 'database' | 'settings' | 'clock' | 'log' | 'audit'> {
  trust: Trust;
  serverCertificates: Pick<ServerCertificates, 'details'>;
  change(actor: string, decide: Decide): Promise<void>;
  /** Makes the first document, where there is none yet. */
  ensure(): Promise<void>;
  issuer(): Issuer | undefined;
  /** @throws certificates_off */
  make(agent: AgentName, publicKey: KeyObject, lifetimeMs: number): Made;
  record(
    issued: Issued,
    agent: AgentName | undefined,
    names: readonly string[],
    issuedTo: string,
  ): Promise<void>;
  /** A certificate was revoked. */
  revoked(): Promise<void>;
}

/** A certificate for an agent, and the names in it. */
export interface Made {
  issued: Issued;
  names: readonly string[];
}

/** Agents that are named; the others are counted. */
const namedAgents = 20;
const serverLifetimeMs = 90 * 86_400_000;

export function createCertificateAdmin(deps: CertificateAdminDeps): CertificateService {
  const { database, settings, clock, log, audit, trust, change } = deps;
  const now = () => new Date(clock.now());

  const pinStatus = (): PinStatus => {
    const { pins, version, expiresAt } = trust.document;
    const [primary, ...backups] = pins.map((pin) => pinText(pin));
    return { primary, backups, version, expiresAt: version === 0 ? undefined : new Date(expiresAt) };
  };

  /** @param version undefined: no document is good enough, and so everybody is without one */
  const without = async (version: number | undefined): Promise<AgentSample> =>
    sampleOf(await agentsWithoutTrust(database.query, version ?? Number.MAX_SAFE_INTEGER, namedAgents));

  /** Who needs a document with every authority of now, and who holds what is about to end. */
  async function waiting(): Promise<WaitingAgents> {
    const { document } = trust;
    const retiring = retiringAuthorities(document).map(({ certificate }) => certificateIdOf(certificate));
    const staying = document.authorities.filter(({ state }) => state !== 'retiring');
    const settled = retiring.length === 0 && staying.length <= 1;
    if (document.version === 0 || settled) return { withoutTrust: nobody, withOldCertificate: nobody };
    const ids = staying.map(({ certificate }) => certificateIdOf(certificate));
    const needed = await trust.since(({ authorities }) => {
      const known = authorities.map(({ certificate }) => certificateIdOf(certificate));
      return ids.every((id) => known.includes(id));
    });
    return {
      withoutTrust: await without(needed),
      withOldCertificate: sampleOf(await agentsHolding(database.query, retiring, now(), namedAgents)),
    };
  }

  async function status(): Promise<CertificateStatus> {
    const { document } = trust;
    const { version, expiresAt } = document;
    return {
      clientCertificates: settings.clientCertificates,
      serverCertificate: deps.serverCertificates.details,
      trustDomain: settings.trustDomain,
      trust: { version, expiresAt: version === 0 ? undefined : new Date(expiresAt) },
      authorities: authorityStatus(document, trust.keyOf),
      pins: pinStatus(),
      waiting: await waiting(),
    };
  }

  function ownRefused(): void {
    if (settings.ownAuthorities === undefined) return;
    throw new ViworksError(
      'certificate_state',
      'The authority is your own: put another one first in security.ca_certificate_path, the one before behind it, and restart.',
    );
  }

  async function changeAuthorities(actor: string, decide: Decide): Promise<CertificateStatus> {
    ownRefused();
    await deps.ensure();
    await change(actor, decide);
    return status();
  }

  return {
    status,
    pins: () => Promise.resolve(pinStatus()),
    async list({ agentId }, page) {
      const before = keyBefore(page, /^\d+ [0-9A-F]+$/);
      const [at = '', serial = ''] = before?.split(' ') ?? [];
      const after = before === undefined ? undefined : { issuedAt: new Date(Number(at)), serial };
      const rows = await listCertificates(database.query, now(), agentId, after, page.size + 1);
      const { items, nextToken } = pageOf(
        rows,
        page.size,
        ({ issuedAt, serial: last }) => `${issuedAt.getTime()} ${last}`,
      );
      return { items: items.map(issuedOf), nextToken };
    },
    prepareAuthority: (actor) =>
      changeAuthorities(actor, (document, at) => {
        const { certificate, made } = newAuthority(settings.trustDomain, at);
        return { document: prepared(document, certificate, at), made: [made] };
      }),
    dropAuthority: (actor) =>
      changeAuthorities(actor, (document, at) => ({ document: dropped(document, at) })),
    activateAuthority: (actor) =>
      changeAuthorities(actor, (document, at) => ({ document: activated(document, at) })),
    async retireAuthority(actor, force) {
      const checked = trust.document.authorities;
      const { withoutTrust, withOldCertificate } = await waiting();
      if (!force && withoutTrust.total > 0)
        throw stranded(withoutTrust, 'the authority that is left is not known there');
      if (!force && withOldCertificate.total > 0)
        throw stranded(withOldCertificate, 'they still have a certificate of the authority before');
      return changeAuthorities(actor, (document, at) => {
        const next = retired(document, at);
        if (!sameAuthorities(document.authorities, checked)) throw changedMeanwhile();
        return { document: next };
      });
    },
    async rotatePins(actor, force) {
      if (deps.serverCertificates.details?.source !== 'built-in')
        throw new ViworksError(
          'certificate_state',
          'This server does not make its certificate; announce the key of the next one in agent_management.backup_pins.',
        );
      const [, backup] = trust.document.pins;
      if (backup === undefined) throw noBackupKey();
      const name = pinText(backup);
      const needed = await trust.since(({ pins }) => pins.some((pin) => pinText(pin) === name));
      const missing = await without(needed);
      if (!force && missing.total > 0) throw stranded(missing, 'the backup pin is not known there');
      await change(actor, (document, at, keyOf) => {
        const [, next, ...rest] = document.pins;
        // Another one may have come there since it was looked who knows the backup.
        if (next === undefined || pinText(next) !== name) throw changedMeanwhile();
        if (keyOf(name) === undefined) throw noBackupKey();
        const { pin, made } = newServerKey();
        return { document: changed(document, { pins: [next, pin, ...rest] }, at), made: [made] };
      });
      return status();
    },
    async issue(actor, { request, agentId, names = [], lifetimeMs }) {
      await deps.ensure();
      const publicKey = readRequest(request, 'request');
      if (agentId !== undefined) {
        const incarnation = await incarnationOf(database.query, agentId);
        if (incarnation === undefined)
          throw invalidField('agentId', 'no such agent, or a revoked one', 'agent_unknown');
        const agent = { agentId, incarnation };
        const { issued, names: own } = deps.make(agent, publicKey, lifetimeMs ?? settings.lifetimeMs);
        audit.tell({ resourceId: issued.serial });
        await deps.record(issued, agent, own, actor);
        return { details: detailsOf(issued, agentId, [], actor), certificates: [issued.certificate] };
      }
      const issuer = deps.issuer();
      if (issuer === undefined)
        throw new ViworksError('certificates_off', 'This server has no key of an authority.');
      if (names.length === 0) throw invalidField('names', 'must name the server, or give agentId');
      const terms = {
        subject: names[0] ?? '',
        publicKey,
        use: 'server' as const,
        names,
        lifetimeMs: lifetimeMs ?? serverLifetimeMs,
      };
      const issued = issueFrom(issuer, terms, clock.now());
      audit.tell({ resourceId: issued.serial });
      await deps.record(issued, undefined, names, actor);
      const chain = [issued.certificate, new Uint8Array(issuer.certificate.raw)];
      return { details: detailsOf(issued, undefined, names, actor), certificates: chain };
    },
    async revoke(actor, serial, reason) {
      const name = serial.replaceAll(':', '').toUpperCase();
      const row = await revokeCertificateRow(database.query, name, now(), actor, storableText(reason));
      if (row === undefined)
        throw invalidField('serial', 'no such certificate, or it is over', 'certificate_unknown');
      await deps.revoked();
      log.info({ actor, serial: name, agentId: row.agentId }, 'a certificate is revoked');
      return issuedOf(row);
    },
  };
}

const nobody: AgentSample = { total: 0, agentIds: [] };

const noBackupKey = () => new ViworksError('certificate_state', 'The key of the backup pin is not here.');

const changedMeanwhile = () =>
  new ViworksError(
    'certificate_state',
    'Somebody else changed it at the same time; look at `viworks certs status`, and try again.',
  );

const sampleOf = (rows: readonly { agentId: string; total: number }[]): AgentSample => ({
  total: rows[0]?.total ?? 0,
  agentIds: rows.map(({ agentId }) => agentId),
});

function stranded({ total, agentIds }: AgentSample, why: string): ViworksError {
  const more = total > agentIds.length ? ` and ${total - agentIds.length} more` : '';
  return new ViworksError(
    'certificate_state',
    `${total === 1 ? '1 agent does' : `${total} agents do`} not follow yet (${agentIds.join(', ')}${more}): ${why}. Wait for them, or force it.`,
  );
}

const detailsOf = (
  { serial, authorityId, issuedAt, notAfter }: Issued,
  agentId: string | undefined,
  names: readonly string[],
  issuedTo: string,
): IssuedCertificate => ({
  serial,
  authorityId,
  agentId,
  names: [...names],
  issuedAt: new Date(issuedAt),
  notAfter: new Date(notAfter),
  issuedTo,
  revokedAt: undefined,
  revokedBy: undefined,
  revokeReason: undefined,
});

const issuedOf = ({
  incarnation: _,
  agentId,
  revokedAt,
  revokedBy,
  revokeReason,
  ...row
}: CertificateRow): IssuedCertificate => ({
  ...row,
  agentId: agentId ?? undefined,
  revokedAt: revokedAt ?? undefined,
  revokedBy: revokedBy ?? undefined,
  revokeReason: revokeReason ?? undefined,
});
