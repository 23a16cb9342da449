import { createHash, randomBytes } from 'node:crypto';
import type { EnrollRequest } from '#gen/viworks/agent/v1/agent_service_pb.js';
import { EnrollRequestSchema } from '#gen/viworks/agent/v1/agent_service_pb.js';
import type { AuditTrail } from '../audit/trail.ts';
import type { Bus } from '../bus/bus.ts';
import { invalidField, ViworksError } from '../errors.ts';
import type { Clock } from '../lib/clock.ts';
import { idForm, newId } from '../lib/ids.ts';
import type { Logger } from '../lib/logger.ts';
import { keyBefore, pageOf } from '../lib/page.ts';
import { findUnstorable } from '../lib/text.ts';
import { type KeyPair, keyIdOf, verifyBytes } from '../protocol/keys.ts';
import { enrollInput } from '../protocol/signed.ts';
import { assertValid } from '../protocol/validation.ts';
import type { Database } from '../storage/database.ts';
import {
  findEnrollmentToken,
  findRepeatedEnrollment,
  insertEnrollmentToken,
  listEnrollmentTokens,
  revokeEnrollmentToken,
  type TokenRow,
  useEnrollmentToken,
} from '../storage/enrollment.ts';
import { announceEnrollment, type Enrolled, enrolledWith, registerIdentity } from './registration.ts';
import type { EnrollmentAdmin, EnrollmentToken, EnrollmentTokens } from './types.ts';

/**
 * Enrolment turns a token of limited use and life into an identity: the agent makes its key pair, proves
 * that it holds the private half, and the server writes down the public one.
 */
export interface Enrollment
  extends EnrollmentTokens,
    Pick<EnrollmentAdmin, 'listTokens' | 'getToken' | 'revokeToken'> {
  /** @throws invalid_request, enrollment_refused, agent_exists, database_unavailable */
  enroll(request: EnrollRequest): Promise<Enrolled>;
}

export interface EnrollmentDeps {
  database: Database;
  bus: Bus;
  serverKey: KeyPair;
  clock: Clock;
  log: Logger;
  audit: Pick<AuditTrail, 'tell'>;
}

/** Shows in a log or a paste what the text is. */
const prefix = 'vwe_';

export function createEnrollment(deps: EnrollmentDeps): Enrollment {
  const { database, bus, serverKey, clock, log, audit } = deps;
  async function tokenAt(tokenId: string): Promise<EnrollmentToken> {
    const row = await findEnrollmentToken(database.query, tokenId, new Date(clock.now()));
    if (row === undefined) throw invalidField('tokenId', 'no such enrolment token', 'enrollment_unknown');
    return tokenOf(row);
  }

  return {
    async create(actor, spec) {
      assertStorable(spec.labels);
      const token = prefix + randomBytes(24).toString('base64url');
      const now = clock.now();
      const expiresAt = new Date(now + spec.lifetimeMs);
      const tokenId = newId();
      audit.tell({ resourceId: tokenId });
      await insertEnrollmentToken(database.query, {
        tokenId,
        tokenHash: hashOf(token),
        site: spec.site,
        labels: spec.labels,
        agentId: spec.agentId ?? null,
        uses: spec.uses,
        createdBy: actor,
        createdAt: new Date(now),
        expiresAt,
      });
      return { tokenId, token, expiresAt };
    },

    async enroll(request) {
      assertValid(EnrollRequestSchema, request);
      const { agentId, publicKey, token } = request;
      assertStorable(request.labels);
      if (!verifyBytes(publicKey, enrollInput(token, agentId, publicKey), request.signature)) {
        throw new ViworksError(
          'enrollment_refused',
          'signature: does not match public_key, token and agent_id',
          {
            fields: [{ field: 'signature', problem: 'does not match public_key, token and agent_id' }],
          },
        );
      }
      const keyId = keyIdOf(publicKey);
      // One transaction: a use of the token is spent only on an enrolment that happened.
      const { incarnation, site, ended } = await database.transaction(async (query) => {
        // The answer was lost on the way, and the agent asks again: it gets the same one.
        const earlier = await findRepeatedEnrollment(query, hashOf(token), keyId, agentId);
        if (earlier !== undefined) return { ...earlier, ended: undefined };
        const at = new Date(clock.now());
        const granted = await useEnrollmentToken(query, hashOf(token), at, agentId);
        if (granted === undefined) throw refused();
        const { incarnation, ended } = await registerIdentity(query, {
          agentId,
          site: granted.site,
          labels: { ...request.labels, ...granted.labels },
          publicKey,
          keyId,
          again: granted.agentId === agentId,
          tokenId: granted.tokenId,
          at,
        });
        return { incarnation, site: granted.site, ended };
      });
      announceEnrollment(bus, agentId, ended);
      log.info({ agentId, incarnation, site }, 'agent enrolled');
      return enrolledWith(serverKey, { agentId, incarnation, keyId, site });
    },

    async listTokens({ all }, page) {
      const before = keyBefore(page, idForm);
      const now = new Date(clock.now());
      const rows = await listEnrollmentTokens(database.query, now, all, before, page.size + 1);
      const { items, nextToken } = pageOf(rows, page.size, (row) => row.tokenId);
      return { items: items.map(tokenOf), nextToken };
    },
    getToken: tokenAt,
    async revokeToken(actor, tokenId) {
      await revokeEnrollmentToken(database.query, tokenId, actor, new Date(clock.now()));
      log.info({ tokenId, actor }, 'enrolment token revoked');
      return tokenAt(tokenId);
    },
  };
}

function assertStorable(labels: Readonly<Record<string, string>>): void {
  const unstorable = findUnstorable(labels);
  if (unstorable !== undefined) throw invalidField(`labels.${unstorable}`, 'must be text without NUL');
}

function tokenOf({ agentId, revokedBy, ...row }: TokenRow): EnrollmentToken {
  return { ...row, agentId: agentId ?? undefined, revokedBy: revokedBy ?? undefined };
}

function refused(): ViworksError {
  // One answer for spent, expired, unknown and bound to another: a guess learns nothing.
  return new ViworksError(
    'enrollment_refused',
    'token: is not valid for this agent (unknown, spent or expired)',
    {
      fields: [{ field: 'token', problem: 'is not valid for this agent' }],
    },
  );
}

const hashOf = (token: string): Uint8Array => createHash('sha256').update(token).digest();
