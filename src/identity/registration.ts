import type { Bus } from '../bus/bus.ts';
import { ViworksError } from '../errors.ts';
import type { KeyPair } from '../protocol/keys.ts';
import type { Database } from '../storage/database.ts';
import { insertAgentKey, registerAgent } from '../storage/enrollment.ts';
import { endOlderIncarnations } from '../storage/executions.ts';

/** Writing an identity down, whichever way it was granted. */

export interface Enrolled {
  agentId: string;
  incarnation: number;
  keyId: string;
  site: string;
  /** The server's identity, for the agent to keep. */
  serverKeyId: string;
  serverPublicKey: Uint8Array;
}

export const enrolledWith = (
  serverKey: KeyPair,
  agent: Omit<Enrolled, 'serverKeyId' | 'serverPublicKey'>,
): Enrolled => ({ ...agent, serverKeyId: serverKey.keyId, serverPublicKey: serverKey.publicKey });

export interface Grant {
  agentId: string;
  site: string;
  labels: Record<string, string>;
  publicKey: Uint8Array;
  keyId: string;
  /** An identity that exists is enrolled anew. */
  again: boolean;
  /** Null: by approval. */
  tokenId: string | null;
  at: Date;
}

/**
 * To be called in a transaction. What was meant for an earlier enrolment ends; `ended` names the commands, and is
 * undefined where there was none.
 * @throws agent_exists
 */
export async function registerIdentity(
  query: Database['query'],
  { agentId, publicKey, keyId, tokenId, at, ...grant }: Grant,
): Promise<{ incarnation: number; ended: string[] | undefined }> {
  const incarnation = await registerAgent(query, { agentId, at, ...grant });
  if (incarnation === undefined) {
    const way = tokenId === null ? 'say so (--again)' : 'use a token that is bound to it';
    throw new ViworksError(
      'agent_exists',
      `agent_id: ${agentId} is enrolled already; to enrol it anew, ${way}`,
      { fields: [{ field: 'agent_id', problem: 'is enrolled already' }] },
    );
  }
  if (!(await insertAgentKey(query, { agentId, incarnation, keyId, publicKey, tokenId, at }))) {
    throw new ViworksError('agent_exists', 'public_key: belongs to another enrolment; make a new key', {
      fields: [{ field: 'public_key', problem: 'belongs to another enrolment' }],
    });
  }
  const cause = 'the agent was enrolled anew';
  const ended =
    incarnation > 1 ? await endOlderIncarnations(query, agentId, incarnation, cause, at) : undefined;
  return { incarnation, ended };
}

/** Ends the session of the enrolment before, and tells who watches its commands. */
export function announceEnrollment(bus: Bus, agentId: string, ended: readonly string[] | undefined): void {
  bus.publish('agent.changed', agentId);
  if (ended === undefined) return;
  bus.publish('agent.enrolled', agentId);
  for (const commandId of ended) bus.publish('command.changed', commandId);
}
