import { createHash, randomBytes } from 'node:crypto';
import type { EnrollRequest } from '#gen/viworks/agent/v1/agent_service_pb.js';
import { EnrollRequestSchema } from '#gen/viworks/agent/v1/agent_service_pb.js';
import type { Bus } from '../bus/bus.ts';
import { invalidField, ViworksError } from '../errors.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/logger.ts';
import { findUnstorable } from '../lib/text.ts';
import { type KeyPair, keyIdOf, verifyBytes } from '../protocol/keys.ts';
import { enrollInput } from '../protocol/signed.ts';
import { assertValid } from '../protocol/validation.ts';
import type { Database } from '../storage/database.ts';
import {
  findRepeatedEnrollment,
  insertAgentKey,
  insertEnrollmentToken,
  registerAgent,
  useEnrollmentToken,
} from '../storage/enrollment.ts';
import { endOlderIncarnations } from '../storage/executions.ts';
import type { EnrollmentTokens } from './types.ts';

/**
 * Enrolment turns a token of limited use and life into an identity: the agent makes its key pair, proves
 * that it holds the private half, and the server writes down the public one.
 */
export interface Enrollment extends EnrollmentTokens {
  /** @throws invalid_request, enrollment_refused, agent_exists, database_unavailable */
  enroll(request: EnrollRequest): Promise<Enrolled>;
}

export interface Enrolled {
  agentId: string;
  incarnation: number;
  keyId: string;
  site: string;
  /** The server's identity, for the agent to keep. */
  serverKeyId: string;
  serverPublicKey: Uint8Array;
}

export interface EnrollmentDeps {
  database: Database;
  bus: Bus;
  serverKey: KeyPair;
  clock: Clock;
  log: Logger;
}

/** Shows in a log or a paste what the text is. */
const prefix = 'vwe_';

export function createEnrollment({ database, bus, serverKey, clock, log }: EnrollmentDeps): Enrollment {
  return {
    async create(actor, spec) {
      const token = prefix + randomBytes(24).toString('base64url');
      const now = clock.now();
      const expiresAt = new Date(now + spec.lifetimeMs);
      await insertEnrollmentToken(database.query, {
        tokenHash: hashOf(token),
        site: spec.site,
        labels: spec.labels,
        agentId: spec.agentId ?? null,
        uses: spec.uses,
        createdBy: actor,
        createdAt: new Date(now),
        expiresAt,
      });
      return { token, expiresAt };
    },

    async enroll(request) {
      assertValid(EnrollRequestSchema, request);
      const { agentId, publicKey, token } = request;
      const unstorable = findUnstorable(request.labels);
      if (unstorable !== undefined) throw invalidField(`labels.${unstorable}`, 'must be text without NUL');
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
        const incarnation = await registerAgent(query, {
          agentId,
          site: granted.site,
          labels: { ...request.labels, ...granted.labels },
          at,
          again: granted.agentId === agentId,
        });
        if (incarnation === undefined) {
          throw new ViworksError(
            'agent_exists',
            `agent_id: ${agentId} is enrolled already; to enrol it anew, use a token that is bound to it`,
            { fields: [{ field: 'agent_id', problem: 'is enrolled already' }] },
          );
        }
        if (!(await insertAgentKey(query, { agentId, incarnation, keyId, publicKey }))) {
          throw new ViworksError('agent_exists', 'public_key: belongs to another enrolment; make a new key', {
            fields: [{ field: 'public_key', problem: 'belongs to another enrolment' }],
          });
        }
        const cause = 'the agent was enrolled anew';
        const ended =
          incarnation > 1 ? await endOlderIncarnations(query, agentId, incarnation, cause, at) : undefined;
        return { incarnation, site: granted.site, ended };
      });
      if (ended !== undefined) {
        bus.publish('agent.enrolled', agentId);
        for (const commandId of ended) bus.publish('command.changed', commandId);
      }
      log.info({ agentId, incarnation, site }, 'agent enrolled');
      return {
        agentId,
        incarnation,
        keyId,
        site,
        serverKeyId: serverKey.keyId,
        serverPublicKey: serverKey.publicKey,
      };
    },
  };
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
