import { type KeyObject, X509Certificate } from 'node:crypto';
import { create } from '@bufbuild/protobuf';
import { durationFromMs } from '@bufbuild/protobuf/wkt';
import {
  type AgentCertificate,
  AgentCertificateSchema,
  type TlsTrust,
} from '#gen/viworks/agent/v1/certificate_pb.js';
import { invalidField, ViworksError } from '../../errors.ts';
import { createTicker } from '../../lib/ticker.ts';
import { type AgentName, agentUri } from '../../protocol/certificates/agent-name.ts';
import {
  type CertificateProblem,
  checkClient,
  type ShownCertificate,
} from '../../protocol/certificates/client-check.ts';
import { pinOf, pinText } from '../../protocol/certificates/pins.ts';
import type { TrustedAuthority } from '../../protocol/certificates/trust-document.ts';
import { certificateIdOf, readRequest } from '../../protocol/certificates/x509.ts';
import { verifyBytes } from '../../protocol/keys.ts';
import { certificateRequestInput } from '../../protocol/signed.ts';
import { createBatchWriter } from '../../storage/batch-writer.ts';
import {
  insertCertificate,
  purgeCertificates,
  revokeBeforeEnrollment,
  revokedSerials,
  type StoredTrust,
  storeAgentTrust,
} from '../../storage/certificates.ts';
import { createCertificateAdmin } from './admin.ts';
import { createAllowance } from './allowance.ts';
import { type Issued, issueFrom, issuerOf, newAuthority, newServerKey } from './authorities.ts';
import { createServerCertificates } from './server-certificate.ts';
import type { CertificateDeps, CertificateSettings } from './settings.ts';
import type { TlsIdentity } from './tls-files.ts';
import { createTrust, type Decide, type NamedKey, type Trust } from './trust.ts';
import { changed, isOld, ownAuthorities, sameAuthorities, samePins } from './trust-changes.ts';
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

export interface ListenerTls extends TlsIdentity {
  /** PEM of the authorities whose certificates clients may show; undefined where none is asked for. */
  clientAuthorities: string[] | undefined;
}

type KeyOf = Trust['keyOf'];

/** A busy agent renews a few times in a day; more at once is a loop that has gone wrong. */
const allowedToAgents = { atOnce: 10, refillMs: 60_000, maximumNames: 100_000 };
/** Revoked certificates that are not over, at most. */
const revokedAtOnce = 100_000;
const keepMs = 7 * 86_400_000;
const purgedAtOnce = 10_000;

export function createCertificates(deps: CertificateDeps): Certificates {
  const { database, bus, serverKey, secret, settings, clock, log } = deps;
  const { trustDomain, clientCertificates } = settings;
  const allowance = createAllowance(allowedToAgents);
  const own = settings.ownAuthorities;
  const trust = createTrust({ database, serverKey, secret, ownKeys: ownKeysOf(own), clock, log });
  const serverCertificates = createServerCertificates(settings.server, { trust, clock, log });
  const listeners = new Set<() => void>();
  let authorities: readonly X509Certificate[] = [];
  let authorityIds: ReadonlySet<string> = new Set();
  let revoked: ReadonlySet<string> = new Set();
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

  async function readRevoked(): Promise<boolean> {
    const rows = await revokedSerials(database.query, new Date(clock.now()), revokedAtOnce);
    const isNew = rows.length !== revoked.size || rows.some(({ serial }) => !revoked.has(serial));
    revoked = new Set(rows.map(({ serial }) => serial));
    return isNew;
  }

  /** What changed here or elsewhere takes effect. */
  async function refresh(): Promise<void> {
    const changes = [await trust.refresh(), await readRevoked(), serverCertificates.renew()];
    if (changes.includes(true)) announce();
  }

  async function change(actor: string, decide: Decide): Promise<void> {
    await trust.change(actor, decide);
    await refresh();
    announce();
    bus.publish('certificates.changed', 'all');
  }

  async function revokedSome(): Promise<void> {
    await readRevoked();
    announce();
    bus.publish('certificates.changed', 'all');
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
  const cleaning = createTicker({
    intervalMs: 3_600_000,
    work: () => purgeCertificates(database.query, new Date(clock.now() - keepMs), purgedAtOnce),
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
  const adapted: Decide = (document, now, keyOf) => {
    const made: NamedKey[] = [];
    const [theirs, keys] = authoritiesFor(document.authorities, now, keyOf);
    made.push(...keys);
    const [pins, pinKeys] = pinsFor(document.pins, keyOf);
    made.push(...pinKeys);
    if (sameAuthorities(theirs, document.authorities) && samePins(pins, document.pins)) return undefined;
    const [primary] = pins;
    if (
      document.pins.length > 0 &&
      primary !== undefined &&
      !document.pins.some((pin) => pinText(pin) === pinText(primary))
    )
      log.error(
        { pin: pinText(primary) },
        'agents do not know the key of this certificate: announce it in agent_management.backup_pins before it is used',
      );
    return { document: changed(document, { authorities: theirs, pins }, now), made };
  };

  function authoritiesFor(present: readonly TrustedAuthority[], now: number, keyOf: KeyOf) {
    if (own !== undefined) return [ownAuthorities(own.certificates), []] as const;
    const active = present.find(({ state }) => state === 'active');
    if (active !== undefined && keyOf(certificateIdOf(active.certificate)) !== undefined)
      return [present, []] as const;
    if (active !== undefined) log.error('the key of the authority cannot be opened; another one is made');
    // What the one before issued stays good.
    const before = present.map((one) => ({ ...one, state: 'retiring' as const }));
    const { certificate, made } = newAuthority(trustDomain, now);
    return [[...before, { certificate, state: 'active' as const }], [made]] as const;
  }

  /** Where this server makes its certificate, the first two are its keys. */
  function pinsFor(present: readonly Uint8Array[], keyOf: KeyOf) {
    const { server, backupPins } = settings;
    const further = (pins: readonly Uint8Array[]) =>
      backupPins.filter((pin) => !pins.some((known) => pinText(known) === pinText(pin)));
    if (server.source === 'none') return [present, []] as const;
    if (server.source === 'files') {
      const pin = pinOf(new X509Certificate(server.files.current.cert));
      const others = further([pin]);
      if (others.length === 0 && present.length > 0)
        log.warn('agents pin the server no more: agent_management.backup_pins names no key that may follow');
      return [others.length === 0 ? [] : [pin, ...others], []] as const;
    }
    const [primary, backup] = present;
    if (primary !== undefined && backup !== undefined && keyOf(pinText(primary)) !== undefined) {
      const keys = keyOf(pinText(backup)) === undefined ? [newServerKey()] : [];
      const pins = [primary, keys[0]?.pin ?? backup];
      return [[...pins, ...further(pins)], keys.map(({ made }) => made)] as const;
    }
    const keys = [newServerKey(), newServerKey()];
    const pins = keys.map(({ pin }) => pin);
    return [[...pins, ...further(pins)], keys.map(({ made }) => made)] as const;
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

  async function issue(
    agent: AgentName,
    publicKey: KeyObject,
    lifetimeMs: number,
    issuedTo: string,
  ): Promise<Issued> {
    const from = issuer();
    if (from === undefined)
      throw new ViworksError('certificates_off', 'This server does not issue certificates for agents.');
    const names = [agentUri(trustDomain, agent)];
    const terms = { subject: agent.agentId, publicKey, use: 'client' as const, names, lifetimeMs };
    const issued = issueFrom(from, terms, clock.now());
    await record(issued, agent, names, issuedTo);
    return issued;
  }

  async function issueTo(agent: AgentName, request: Uint8Array, field: string): Promise<IssuedToAgent> {
    if (!certificates.issues)
      throw new ViworksError('certificates_off', 'This server does not issue certificates for agents.');
    const retryAfterMs = allowance.take(agent.agentId, clock.monotonic());
    if (retryAfterMs > 0)
      throw new ViworksError('rate_limited', `${field}: too many of them.`, { retryAfterMs });
    const { lifetimeMs } = settings;
    const issued = await issue(agent, readRequest(request, field), lifetimeMs, `agent:${agent.agentId}`);
    const { certificate, authorityId, serial, notAfter } = issued;
    log.info({ agentId: agent.agentId, serial, until: new Date(notAfter) }, 'an agent has a certificate');
    const renewAfter = durationFromMs(Math.floor((notAfter - clock.now()) * (2 / 3)));
    const message = create(AgentCertificateSchema, { certificates: [certificate], renewAfter });
    return { message, certificate: { authorityId, serial, notAfter } };
  }

  const admin = createCertificateAdmin({
    ...deps,
    trust,
    serverCertificates,
    change,
    async ensure() {
      if (trust.document.version === 0) await change('system', adapted);
    },
    issuer,
    issue,
    record,
    revoked: revokedSome,
  });

  const certificates: Certificates = {
    ...admin,
    async start() {
      await trust.refresh();
      if (inUse) await trust.change('system', adapted);
      await readRevoked();
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
            change('system', adapted).catch((err: unknown) =>
              log.warn({ err: ViworksError.from(err) }, 'the pins cannot be written now'),
            );
            announce();
          }),
        );
        server.files.start((certificate) => {
          const { pins } = trust.document;
          const pin = pinText(pinOf(certificate));
          if (pins.length === 0 || pins.some((known) => pinText(known) === pin)) return undefined;
          return `its key ${pin} is none of those that agents were told; announce it in agent_management.backup_pins`;
        });
      }
      ticker.start();
      cleaning.start();
    },
    async stop() {
      for (const off of unsubscribe) off();
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
      if (await revokeBeforeEnrollment(database.query, agentId, incarnation, at, reason)) await revokedSome();
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
