import { type KeyObject, X509Certificate } from 'node:crypto';
import { create } from '@bufbuild/protobuf';
import { durationFromMs } from '@bufbuild/protobuf/wkt';
import {
  type AgentCertificate,
  AgentCertificateSchema,
  type TlsTrust,
} from '#gen/viworks/agent/v1/certificate_pb.js';
import { invalidField, ViworksError } from '../../errors.ts';
import { createCleaner } from '../../lib/cleaner.ts';
import { createTicker } from '../../lib/ticker.ts';
import { type AgentName, agentUri } from '../../protocol/certificates/agent-name.ts';
import {
  type CertificateProblem,
  checkClient,
  type ShownCertificate,
} from '../../protocol/certificates/client-check.ts';
import { pinText } from '../../protocol/certificates/pins.ts';
import { renewAtPart } from '../../protocol/certificates/renewal.ts';
import { certificateIdOf, readRequest } from '../../protocol/certificates/x509.ts';
import { verifyBytes } from '../../protocol/keys.ts';
import { certificateRequestInput } from '../../protocol/signed.ts';
import { createBatchWriter } from '../../storage/batch-writer.ts';
import {
  hasAgentsWithTrust,
  insertCertificate,
  purgeCertificates,
  revokeBeforeEnrollment,
  type StoredTrust,
  storeAgentTrust,
} from '../../storage/certificates.ts';
import { adapted, unannounced } from './adapted.ts';
import { createCertificateAdmin, type Made } from './admin.ts';
import { createAllowance } from './allowance.ts';
import { type Issued, issueFrom, issuerOf } from './authorities.ts';
import { createRevokedCertificates } from './revoked.ts';
import { createServerCertificates } from './server-certificate.ts';
import type { CertificateDeps, CertificateSettings } from './settings.ts';
import type { ListenerTls } from './tls-files.ts';
import { createTrust, type Decide, type NamedKey } from './trust.ts';
import { changed, isOld } from './trust-changes.ts';
import type { CertificateService } from './types.ts';

/**
 * TLS between agents and this server, on both sides: certificates of agents are issued and checked, that of the server
 * is made where no file has it, and a signed document tells agents which authorities and keys to believe.
 */
export interface Certificates extends CertificateService {
  /** Makes what is missing. @throws config_invalid */
  start(): Promise<void>;
  stop(): Promise<void>;
  /** What agents are to store; undefined while there is none. */
  readonly trust: { message: TlsTrust; version: bigint } | undefined;
  /** Agents get certificates here. */
  readonly issues: boolean;
  /** For the agents' listener; undefined where it speaks in clear text. */
  readonly tls: ListenerTls | undefined;
  /** Calls the listener when any of these changed, or a certificate was revoked. */
  onChange(listener: () => void): () => void;
  /** What an agent that has proved its key shows beside it. */
  check(agent: AgentName, shown: Uint8Array | undefined): CheckedCertificate;
  /** Whether a session that came in with it may go on. */
  holds(certificate: ShownCertificate | undefined): boolean;
  /** @param field how the agent calls the request @throws certificates_off, invalid_request, rate_limited */
  issueTo(agent: AgentName, request: Uint8Array, field: string): Promise<IssuedToAgent>;
  /** What an enrolment answers beside the identity. @throws invalid_request, rate_limited */
  atEnrollment(
    agent: AgentName & { publicKey: Uint8Array },
    asked: AskedAtEnrollment,
  ): Promise<EnrollmentTls>;
  /** The agent has stored that version. Never throws. */
  stored(agent: AgentName, version: bigint): void;
}

export interface CheckedCertificate {
  /** Why the agent does not come in. */
  problem?: CertificateRefusal;
  certificate?: ShownCertificate;
}

export type CertificateRefusal = CertificateProblem | 'certificate_missing' | 'certificate_revoked';

export interface IssuedToAgent {
  message: AgentCertificate;
  certificate: ShownCertificate;
}

export interface AskedAtEnrollment {
  certificateRequest: Uint8Array;
  certificateSignature: Uint8Array;
}

export interface EnrollmentTls {
  certificate?: AgentCertificate;
  tlsTrust?: TlsTrust;
}

/** A busy agent renews a few times in a day; more at once is a loop that has gone wrong. */
const allowedToAgents = { atOnce: 10, refillMs: 60_000, maximumNames: 100_000 };
const keepMs = 7 * 86_400_000;
const purged = { atOnce: 10_000, batches: 100 };
/** Many enrolments at once are told together. */
const announceAfterMs = 100;
/** Agents whose version is remembered; of one that is forgotten it is written again. */
const rememberedAgents = 100_000;

export function createCertificates(deps: CertificateDeps): Certificates {
  const { database, bus, serverKey, secret, settings, clock, log } = deps;
  const { trustDomain, clientCertificates } = settings;
  const revoked = createRevokedCertificates({ database, clock });
  const allowance = createAllowance(allowedToAgents);
  const ownKeys = ownKeysOf(settings.ownAuthorities);
  const trust = createTrust({ database, serverKey, secret, ownKeys, clock, log, audit: deps.audit });
  const serverCertificates = createServerCertificates(settings.server, { trust, clock, log });
  const listeners = new Set<() => void>();
  let authorities: readonly X509Certificate[] = [];
  let authorityIds: ReadonlySet<string> = new Set();
  let unsubscribe: (() => void)[] = [];
  /** The newest version that each agent has stored, as far as it was said to this process. */
  const told = new Map<string, number>();

  const inUse = clientCertificates !== 'off' || settings.server.source !== 'none';
  const issuer = () => issuerOf(trust.document, trust.keyOf);

  function announce(): void {
    authorities = trust.document.authorities.map(({ certificate }) => new X509Certificate(certificate));
    authorityIds = new Set(trust.document.authorities.map(({ certificate }) => certificateIdOf(certificate)));
    for (const listener of listeners) listener();
  }

  /** What changed here or elsewhere takes effect. */
  async function refresh(): Promise<void> {
    const changes = [await trust.refresh(), await revoked.read(), serverCertificates.renew()];
    if (changes.includes(true)) announce();
  }

  async function change(actor: string, decide: Decide): Promise<void> {
    await trust.change(actor, decide);
    await refresh();
    announce();
    bus.publish('certificates.changed', 'all');
  }

  async function revokedSome(): Promise<void> {
    await revoked.read();
    announce();
    bus.publish('certificates.changed', 'all');
  }

  let soon: NodeJS.Timeout | undefined;

  function revokedSoon(): void {
    soon ??= setTimeout(() => {
      soon = undefined;
      revokedSome().catch((err: unknown) =>
        log.warn({ err: ViworksError.from(err) }, 'cannot read which certificates are revoked now'),
      );
    }, announceAfterMs);
  }

  async function look(): Promise<void> {
    await refresh();
    if (isOld(trust.document, clock.now()))
      await change('system', (document, now) =>
        isOld(document, now) ? { document: changed(document, {}, now) } : undefined,
      );
  }

  const ticker = createTicker({
    intervalMs: deps.lookMs ?? 10_000,
    work: look,
    failed: (err) => log.warn({ err: ViworksError.from(err) }, 'cannot look after certificates now'),
  });
  const cleaning = createCleaner({
    intervalMs: 3_600_000,
    batchesAtOnce: purged.batches,
    async cleanSome() {
      const before = new Date(clock.now() - keepMs);
      const count = await purgeCertificates(database.query, before, purged.atOnce);
      return { count, more: count === purged.atOnce };
    },
    cleaned: (count) => log.info({ count }, 'certificates that are long over are forgotten'),
    failed: (err) => log.warn({ err: ViworksError.from(err) }, 'cannot remove old certificates now'),
  });
  const confirmations = createBatchWriter<StoredTrust, void>({
    async write(items) {
      const newest = new Map(items.map((item) => [item.agentId, item]));
      await storeAgentTrust(database.query, [...newest.values()], new Date(clock.now()));
      return items.map(() => undefined);
    },
    maximumBatch: 1000,
    maximumWaiting: 100_000,
    retryForMs: 0,
  });

  /** What the document is to have by the configuration, where it has something else. */
  const adaptedToSettings: Decide = (document, now, keyOf) => {
    const found = adapted(settings, document, now, keyOf);
    for (const { level, text } of found?.notices ?? []) log[level](text);
    return found;
  };

  /** Agents that stored pins would all be turned away by a key that nobody announced. */
  async function refuseUnannounced(): Promise<void> {
    const { server } = settings;
    const { document } = trust;
    if (server.source !== 'files' || document.pins.length === 0 || document.expiresAt <= clock.now()) return;
    const pin = unannounced(new X509Certificate(server.files.current.cert), document);
    if (pin === undefined) return;
    const version = await trust.since(({ pins }) => pins.length > 0);
    if (version === undefined || !(await hasAgentsWithTrust(database.query, version))) return;
    throw new ViworksError(
      'config_invalid',
      `agent_management.tls_certificate_path: its key ${pin} is none of those that agents were told, and they would refuse it; use a certificate of ${document.pins.map((known) => pinText(known)).join(' or ')}, and announce the next key in agent_management.backup_pins before it is used`,
    );
  }

  async function record(
    issued: Issued,
    agent: AgentName | undefined,
    names: readonly string[],
    issuedTo: string,
  ) {
    await insertCertificate(database.query, {
      serial: issued.serial,
      authorityId: issued.authorityId,
      agentId: agent?.agentId ?? null,
      incarnation: agent?.incarnation ?? null,
      names: [...names],
      issuedAt: new Date(issued.issuedAt),
      notAfter: new Date(issued.notAfter),
      issuedTo,
    });
  }

  /** Not recorded yet. */
  function make(agent: AgentName, publicKey: KeyObject, lifetimeMs: number): Made {
    const from = issuer();
    if (from === undefined)
      throw new ViworksError('certificates_off', 'This server does not issue certificates for agents.');
    const names = [agentUri(trustDomain, agent)];
    const terms = { subject: agent.agentId, publicKey, use: 'client' as const, names, lifetimeMs };
    return { issued: issueFrom(from, terms, clock.now()), names };
  }

  async function issueTo(agent: AgentName, request: Uint8Array, field: string): Promise<IssuedToAgent> {
    if (!certificates.issues)
      throw new ViworksError('certificates_off', 'This server does not issue certificates for agents.');
    const retryAfterMs = allowance.take(agent.agentId, clock.monotonic());
    if (retryAfterMs > 0)
      throw new ViworksError('rate_limited', `${field}: too many of them.`, { retryAfterMs });
    const { issued, names } = make(agent, readRequest(request, field), settings.lifetimeMs);
    await record(issued, agent, names, `agent:${agent.agentId}`);
    const { certificate, authorityId, serial, notAfter } = issued;
    log.info({ agentId: agent.agentId, serial, until: new Date(notAfter) }, 'an agent has a certificate');
    const renewAfter = durationFromMs(Math.floor((notAfter - clock.now()) * renewAtPart));
    const message = create(AgentCertificateSchema, { certificates: [certificate], renewAfter });
    return { message, certificate: { authorityId, serial, notAfter } };
  }

  const admin = createCertificateAdmin({
    ...deps,
    trust,
    serverCertificates,
    change,
    async ensure() {
      if (trust.document.version === 0) await change('system', adaptedToSettings);
    },
    issuer,
    make,
    record,
    revoked: revokedSome,
  });

  const certificates: Certificates = {
    ...admin,
    async start() {
      await trust.refresh();
      await refuseUnannounced();
      if (inUse) await trust.change('system', adaptedToSettings);
      await revoked.read();
      serverCertificates.renew();
      announce();
      if (settings.server.source === 'built-in' && serverCertificates.current === undefined)
        throw new ViworksError(
          'config_invalid',
          'security.ca_private_key_path: is missing; without it this server cannot make its certificate',
        );
      const { server } = settings;
      unsubscribe = [
        bus.subscribe('certificates.changed', 'all', () => {
          refresh().catch((err: unknown) =>
            log.warn({ err: ViworksError.from(err) }, 'cannot read what changed about certificates now'),
          );
        }),
      ];
      if (server.source === 'files') {
        unsubscribe.push(
          server.files.onChange(() => {
            change('system', adaptedToSettings).catch((err: unknown) =>
              log.warn({ err: ViworksError.from(err) }, 'the pins cannot be written now'),
            );
            announce();
          }),
        );
        server.files.start((certificate) => {
          const pin = unannounced(certificate, trust.document);
          if (pin === undefined) return undefined;
          return `its key ${pin} is none of those that agents were told; announce it in agent_management.backup_pins`;
        });
      }
      ticker.start();
      cleaning.start();
    },
    async stop() {
      for (const off of unsubscribe) off();
      clearTimeout(soon);
      if (settings.server.source === 'files') await settings.server.files.stop();
      await ticker.stop();
      await cleaning.stop();
      await confirmations.idle();
    },
    get trust() {
      const { message, document } = trust;
      return message && { message, version: BigInt(document.version) };
    },
    get issues() {
      return clientCertificates !== 'off' && issuer() !== undefined;
    },
    get tls() {
      const { current } = serverCertificates;
      if (current === undefined) return undefined;
      const asked = clientCertificates !== 'off';
      return {
        ...current,
        clientAuthorities: asked ? authorities.map((authority) => authority.toString()) : undefined,
      };
    },
    onChange(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    check(agent, shown) {
      if (clientCertificates === 'off') return {};
      if (shown === undefined)
        return clientCertificates === 'required' ? { problem: 'certificate_missing' } : {};
      const result = checkClient(shown, agent, { trustDomain, authorities, now: clock.now() });
      if (typeof result === 'string') return { problem: result };
      return revoked.has(result.serial) ? { problem: 'certificate_revoked' } : { certificate: result };
    },
    holds(certificate) {
      if (certificate === undefined) return clientCertificates !== 'required';
      const { serial, authorityId, notAfter } = certificate;
      return !revoked.has(serial) && notAfter > clock.now() && authorityIds.has(authorityId);
    },
    issueTo,
    async atEnrollment(agent, { certificateRequest: request, certificateSignature: signature }) {
      const { agentId, incarnation, publicKey } = agent;
      told.delete(`${agentId} ${incarnation}`);
      const reason = 'the agent was enrolled anew';
      const at = new Date(clock.now());
      if (await revokeBeforeEnrollment(database.query, agentId, incarnation, at, reason)) revokedSoon();
      const tlsTrust = trust.message;
      const answer = tlsTrust === undefined ? {} : { tlsTrust };
      if (request.byteLength === 0 || !certificates.issues) return answer;
      if (!verifyBytes(publicKey, certificateRequestInput(agentId, request), signature))
        throw invalidField(
          'certificate_signature',
          'does not match public_key, agent_id and certificate_request',
        );
      const { message } = await issueTo(agent, request, 'certificate_request');
      return { ...answer, certificate: message };
    },
    stored({ agentId, incarnation }, version) {
      const name = `${agentId} ${incarnation}`;
      const number = Number(version);
      if (number === 0 || number > trust.document.version || told.get(name) === number) return;
      told.delete(name);
      const [oldest] = told.keys();
      if (told.size >= rememberedAgents && oldest !== undefined) told.delete(oldest);
      told.set(name, number);
      confirmations.addLazily({ agentId, incarnation, version: number }).catch((err: unknown) => {
        told.delete(name);
        log.warn({ err: ViworksError.from(err), agentId }, 'what an agent has stored cannot be written now');
      });
    },
  };
  return certificates;
}

function ownKeysOf(own: CertificateSettings['ownAuthorities']): NamedKey[] {
  const [certificate] = own?.certificates ?? [];
  if (own?.key === undefined || certificate === undefined) return [];
  return [{ name: certificateIdOf(certificate), key: own.key }];
}
