import type { KeyObject } from 'node:crypto';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { create } from '@bufbuild/protobuf';
import { durationMs } from '@bufbuild/protobuf/wkt';
import {
  type AgentCertificate,
  CertificateRequestSchema,
  type RenewCertificateRequestSchema,
  type RenewCertificateResponse,
  type TlsTrust,
  TlsTrustStoredSchema,
} from '#gen/viworks/agent/v1/certificate_pb.js';
import { ViworksError } from '../errors.ts';
import type { Logger } from '../lib/logger.ts';
import { renewAtPart } from '../protocol/certificates/renewal.ts';
import { newTlsKey, writeRequest } from '../protocol/certificates/x509.ts';
import { signBytes } from '../protocol/keys.ts';
import { renewCertificateInput } from '../protocol/signed.ts';
import type { AgentIdentity } from './identity.ts';
import type { Session } from './session.ts';
import type { Timers } from './timers.ts';
import type { StoredCertificate, TlsStore } from './tls-store.ts';

/**
 * Keeps the agent's certificate good: it asks for the next one in the session long before the end, each time with a
 * key of its own, and outside of a session where the server lets it in no more without one.
 */
export interface CertificateKeeper {
  /** Before each dial: sees to a certificate where the one that is there does not do. Never throws. */
  beforeDial(): Promise<void>;
  /** A session is open. */
  opened(session: Pick<Session, 'send'>, issuesCertificates: boolean): void;
  /** The session, or the attempt to get one, ended. True where another certificate may be all that it takes. */
  ended(error: ViworksError | undefined): boolean;
  /** @throws authentication_failed */
  trust(message: TlsTrust): void;
  certificate(message: AgentCertificate): void;
}

/** How the agent keeps certificates; without it, it has none. */
export interface AgentTls {
  store: TlsStore;
  /** Calls outside of a session; undefined where the server is not reached over TLS. */
  calls?: RenewalCalls | undefined;
  /** Milliseconds over which agents spread their requests when an authority is replaced. */
  spreadMs?: number | undefined;
}

export interface RenewalCalls {
  challenge(): Promise<Uint8Array>;
  renew(request: MessageInitShape<typeof RenewCertificateRequestSchema>): Promise<RenewCertificateResponse>;
}

export interface CertificateKeeperDeps extends AgentTls {
  identity(): AgentIdentity;
  timers: Timers;
  log: Logger;
  /** Milliseconds since 1970 by the server's clock. */
  serverNow(): number;
}

/** Between two requests in a session, and the longest wait that is measured at once. */
const againMs = 60_000;
const longestWaitMs = 3_600_000;

/**
 * Milliseconds until the next one is to be asked for; 0 or less: now.
 * @param renewAt when the server wants to be asked, as far as it is known
 */
export function renewalDue(
  certificate: StoredCertificate | undefined,
  now: number,
  renewAt: number | undefined,
): number {
  if (certificate?.current !== true) return 0;
  if (renewAt !== undefined) return renewAt - now;
  const { notBefore, notAfter } = certificate;
  return notBefore + (notAfter - notBefore) * renewAtPart - now;
}

export function createCertificateKeeper(deps: CertificateKeeperDeps): CertificateKeeper {
  const { store, calls, timers, log, serverNow, spreadMs = 30_000 } = deps;
  let session: Pick<Session, 'send'> | undefined;
  let issues = false;
  /** By the server's clock; what it said with the certificate that is there now. */
  let renewAt: number | undefined;
  let pending: KeyObject | undefined;
  let refused = false;
  /** Another certificate was tried since the last session. */
  let tried = false;
  let offTimer: (() => void) | undefined;

  function look(spread = 0): void {
    offTimer?.();
    if (session === undefined || !issues) return;
    const dueMs = renewalDue(store.certificate, serverNow(), renewAt);
    const waitMs = dueMs > 0 ? Math.min(dueMs, longestWaitMs) : Math.random() * spread;
    if (waitMs > 0) offTimer = timers.after(waitMs, () => look());
    else ask(session);
  }

  function ask(open: Pick<Session, 'send'>): void {
    pending = newTlsKey();
    const value = create(CertificateRequestSchema, { request: writeRequest(pending) });
    open.send({ case: 'certificateRequest', value });
    // Where no answer comes, it is asked again.
    offTimer = timers.after(againMs, () => look());
  }

  function tellStored(): void {
    const { trustVersion: version } = store;
    if (version > 0n)
      session?.send({ case: 'tlsTrustStored', value: create(TlsTrustStoredSchema, { version }) });
  }

  async function renewOutside({ challenge, renew }: RenewalCalls): Promise<void> {
    const { agentId, incarnation, key } = deps.identity();
    const made = newTlsKey();
    const nonce = await challenge();
    const request = writeRequest(made);
    const signature = signBytes(key, renewCertificateInput(agentId, incarnation, nonce, request));
    const answer = await renew({ agentId, incarnation, keyId: key.keyId, nonce, request, signature });
    if (answer.tlsTrust !== undefined) await store.accept(answer.tlsTrust, serverNow());
    if (answer.certificate === undefined) return;
    await store.keep(answer.certificate, made);
    // The server's time may not be known yet.
    renewAt = undefined;
  }

  /** In a session, in which the server has told its time. */
  async function keep(message: AgentCertificate, key: KeyObject): Promise<void> {
    await store.keep(message, key);
    const afterMs = message.renewAfter === undefined ? 0 : durationMs(message.renewAfter);
    renewAt = afterMs > 0 ? serverNow() + afterMs : undefined;
  }

  return {
    async beforeDial() {
      const { certificate } = store;
      const over = certificate !== undefined && certificate.notAfter <= serverNow();
      if (calls === undefined || !(over || refused)) return;
      refused = false;
      try {
        await renewOutside(calls);
      } catch (thrown) {
        const { code, message } = ViworksError.from(thrown);
        log.warn({ code, reason: message }, 'no certificate outside of a session');
      }
    },
    opened(opened, issuesCertificates) {
      session = opened;
      tried = false;
      issues = issuesCertificates;
      tellStored();
      look();
    },
    ended(error) {
      session = undefined;
      offTimer?.();
      refused = error?.code === 'authentication_failed';
      const first = refused && !tried && calls !== undefined;
      tried ||= first;
      return first;
    },
    trust(message) {
      const { trustVersion: before } = store;
      store.accept(message, serverNow()).then(
        (version) => {
          tellStored();
          if (version !== before) look(spreadMs);
        },
        (err: unknown) => log.error({ err }, 'the trust of the server cannot be stored'),
      );
    },
    certificate(message) {
      const key = pending;
      pending = undefined;
      if (key === undefined) return log.warn('a certificate that nobody asked for; ignored');
      keep(message, key).then(
        () => look(),
        (err: unknown) => log.error({ err }, 'the certificate cannot be used'),
      );
    },
  };
}
