import { durationMs } from '@bufbuild/protobuf/wkt';
import {
  type RequestEnrollmentRequest,
  RequestEnrollmentRequestSchema,
} from '#gen/viworks/agent/v1/agent_service_pb.js';
import type { Bus } from '../bus/bus.ts';
import { invalidField, ViworksError } from '../errors.ts';
import type { Clock } from '../lib/clock.ts';
import { idForm, newId } from '../lib/ids.ts';
import type { Logger } from '../lib/logger.ts';
import { keyBefore, pageOf } from '../lib/page.ts';
import { findUnstorable, storableText } from '../lib/text.ts';
import { type KeyPair, keyIdOf, verifyBytes } from '../protocol/keys.ts';
import { enrollRequestInput } from '../protocol/signed.ts';
import { assertValid } from '../protocol/validation.ts';
import type { Database } from '../storage/database.ts';
import {
  askForEnrollment,
  decideEnrollment,
  type EnrollmentRequestRow,
  findEnrollmentOfKey,
  findEnrollmentRequest,
  listEnrollmentRequests,
} from '../storage/enrollment-requests.ts';
import { announceEnrollment, type Enrolled, enrolledWith, registerIdentity } from './registration.ts';
import type { EnrollmentAdmin, EnrollmentRequest } from './types.ts';

/**
 * Enrolment by approval: an agent without a token asks with its key, again and again, until an operator has compared
 * the key's fingerprint with what the machine shows and has decided.
 */
export interface EnrollmentRequests extends Pick<EnrollmentAdmin, 'listRequests' | 'approve' | 'reject'> {
  /**
   * Waits for the decision as long as the request says, and at most 20 seconds.
   * @throws invalid_request, enrollment_refused, enrollment_requests_off, rate_limited, database_unavailable
   */
  ask(request: RequestEnrollmentRequest, remoteAddress: string, signal: AbortSignal): Promise<Answer>;
  /** Answers all that wait. */
  stop(): void;
}

export type Answer =
  | { state: 'pending'; retryAfterMs: number }
  | { state: 'enrolled'; enrolled: Enrolled }
  | { state: 'rejected'; reason: string };

export interface EnrollmentRequestsDeps {
  database: Database;
  bus: Bus;
  serverKey: KeyPair;
  clock: Clock;
  log: Logger;
  /** Off, nobody may ask; what was asked before can still be decided. */
  enabled: boolean;
}

/** Requests that may be pending, all together and of one address. */
const limits = { pending: 1000, perAddress: 20 };
/** Milliseconds after which an agent that asks no more, or a decision, is forgotten. */
const keepMs = 24 * 3_600_000;
/** Milliseconds that a call waits at most. */
const longestWaitMs = 20_000;
/** Milliseconds until the next call: after one that waited, and after one that did not. */
const retryAfterMs = { waited: 500, atOnce: 5000 };
/** Calls that may wait for a decision; over it, they are answered at once. */
const maximumWaiting = 200;

export function createEnrollmentRequests(deps: EnrollmentRequestsDeps): EnrollmentRequests {
  const { database, bus, serverKey, clock, log, enabled } = deps;
  const waiting = new Set<() => void>();
  let stopped = false;

  const now = () => new Date(clock.now());

  async function requestAt(requestId: string): Promise<EnrollmentRequestRow> {
    const row = await findEnrollmentRequest(database.query, requestId, now());
    if (row === undefined) throw invalidField('requestId', 'no such request', 'enrollment_unknown');
    return row;
  }

  async function pendingAt(requestId: string): Promise<EnrollmentRequestRow> {
    const row = await requestAt(requestId);
    if (row.state !== 'pending') throw decided(row);
    return row;
  }

  async function answerTo(
    request: RequestEnrollmentRequest,
    keyId: string,
    remoteAddress: string,
  ): Promise<Answer> {
    const { agentId, publicKey } = request;
    const earlier = await findEnrollmentOfKey(database.query, keyId, agentId);
    if (earlier !== undefined)
      return { state: 'enrolled', enrolled: enrolledWith(serverKey, { agentId, keyId, ...earlier }) };
    if (!enabled) {
      throw new ViworksError('enrollment_requests_off', 'This server enrols agents with a token only.');
    }
    const at = clock.now();
    const row = await askForEnrollment(
      database.query,
      {
        requestId: newId(),
        agentId,
        keyId,
        publicKey,
        labels: request.labels,
        hostname: storableText(request.hostname),
        remoteAddress,
        requestedAt: new Date(at),
        expiresAt: new Date(at + keepMs),
      },
      limits,
    );
    if (row === undefined) {
      throw new ViworksError('rate_limited', 'Too many agents ask to be enrolled.', { retryAfterMs: 60_000 });
    }
    if (row.state === 'pending') return { state: 'pending', retryAfterMs: retryAfterMs.atOnce };
    const lost = 'the enrolment that was approved is over; remove agent.key to ask with a new key';
    return { state: 'rejected', reason: row.state === 'approved' ? lost : (row.reason ?? '') };
  }

  /** Resolves at the decision or after the time with true, and at once with false where too many wait. */
  function wait(changed: Promise<void>, waitMs: number, signal: AbortSignal): Promise<boolean> {
    if (stopped || signal.aborted || waiting.size >= maximumWaiting) return Promise.resolve(false);
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        signal.removeEventListener('abort', done);
        waiting.delete(done);
        resolve(true);
      };
      const timer = setTimeout(done, waitMs);
      signal.addEventListener('abort', done);
      waiting.add(done);
      void changed.then(done);
    });
  }

  return {
    async ask(request, remoteAddress, signal) {
      assertValid(RequestEnrollmentRequestSchema, request);
      const { agentId, publicKey, signature, labels } = request;
      const unstorable = findUnstorable(labels);
      if (unstorable !== undefined) throw invalidField(`labels.${unstorable}`, 'must be text without NUL');
      if (!verifyBytes(publicKey, enrollRequestInput(agentId, publicKey), signature)) {
        throw invalidField('signature', 'does not match public_key and agent_id', 'enrollment_refused');
      }
      const keyId = keyIdOf(publicKey);
      const changed = Promise.withResolvers<void>();
      const unsubscribe = bus.subscribe('enrollment.decided', keyId, changed.resolve);
      try {
        const answer = await answerTo(request, keyId, remoteAddress);
        const waitMs = Math.min(request.wait === undefined ? 0 : durationMs(request.wait), longestWaitMs);
        if (answer.state !== 'pending' || !(waitMs > 0)) return answer;
        if (!(await wait(changed.promise, waitMs, signal))) return answer;
        const later = await answerTo(request, keyId, remoteAddress);
        return later.state === 'pending' ? { ...later, retryAfterMs: retryAfterMs.waited } : later;
      } finally {
        unsubscribe();
      }
    },

    async listRequests({ all }, page) {
      const before = keyBefore(page, idForm);
      const rows = await listEnrollmentRequests(database.query, now(), all, before, page.size + 1);
      const { items, nextToken } = pageOf(rows, page.size, (row) => row.requestId);
      return { items: items.map(requestOf), nextToken };
    },

    async approve(actor, requestId, { fingerprint, site, labels, again }) {
      const row = await pendingAt(requestId);
      if (fingerprint.replaceAll('-', '').toLowerCase() !== row.keyId)
        throw invalidField(
          'fingerprint',
          'is not that of the key which asks; compare it on the machine itself',
        );
      const at = now();
      const { agentId, keyId, publicKey } = row;
      const ended = await database.transaction(async (query) => {
        const expiresAt = new Date(at.getTime() + keepMs);
        const decision = { state: 'approved', by: actor, at, reason: null, expiresAt } as const;
        if (!(await decideEnrollment(query, requestId, decision))) throw decided(await requestAt(requestId));
        const grant = { agentId, site, publicKey, keyId, again, tokenId: null, at };
        const registered = await registerIdentity(query, { ...grant, labels: { ...row.labels, ...labels } });
        return registered.ended;
      });
      announceEnrollment(bus, agentId, ended);
      bus.publish('enrollment.decided', keyId);
      log.info({ agentId, keyId, site, actor }, 'enrolment approved');
      return requestOf(await requestAt(requestId));
    },

    async reject(actor, requestId, given) {
      const { agentId, keyId } = await pendingAt(requestId);
      const at = now();
      const reason = storableText(given);
      const expiresAt = new Date(at.getTime() + keepMs);
      const decision = { state: 'rejected', by: actor, at, reason, expiresAt } as const;
      if (!(await decideEnrollment(database.query, requestId, decision)))
        throw decided(await requestAt(requestId));
      bus.publish('enrollment.decided', keyId);
      log.info({ agentId, keyId, actor, reason }, 'enrolment rejected');
      return requestOf(await requestAt(requestId));
    },

    stop() {
      stopped = true;
      for (const done of [...waiting]) done();
    },
  };
}

function requestOf({
  publicKey: _,
  decidedBy,
  decidedAt,
  reason,
  ...row
}: EnrollmentRequestRow): EnrollmentRequest {
  return {
    ...row,
    decidedBy: decidedBy ?? undefined,
    decidedAt: decidedAt ?? undefined,
    reason: reason ?? undefined,
  };
}

const decided = ({ state, decidedBy }: EnrollmentRequestRow): ViworksError =>
  new ViworksError(
    'enrollment_state',
    `The request is ${state} already${decidedBy ? `, by ${decidedBy}` : ''}.`,
  );
