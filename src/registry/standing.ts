import type { AuditTrail } from '../audit/trail.ts';
import type { Bus } from '../bus/bus.ts';
import { ViworksError } from '../errors.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/logger.ts';
import type { Metrics } from '../lib/metrics.ts';
import { confirmGeneration, findStanding, holdCopiedAgent } from '../storage/agent-standing.ts';
import type { Database } from '../storage/database.ts';

/**
 * Standing: whether an agent that has proved its key may connect. Each session has an epoch that no other had; the
 * agent stores it and says it the next time. Whoever says neither the epoch that was confirmed last nor the newest
 * one was copied from the agent, or is what it was copied from: nothing tells which, and both are held.
 */
export interface Standing {
  /** Why a session was not opened. Holds the agent if it is a copy. */
  refusal(agent: { agentId: string; incarnation: number; generation: number }): Promise<ViworksError>;
  /** The agent has stored the epoch. Never throws: what is lost is said again in the next heartbeat. */
  confirm(agentId: string, epoch: number): void;
}

export interface StandingDeps {
  database: Database;
  bus: Bus;
  clock: Clock;
  log: Logger;
  metrics: Pick<Metrics, 'agentsHeld'>;
  /** Holds the agent's queue. */
  hold(agentId: string, held: boolean, reason: string): Promise<void>;
  audit: Pick<AuditTrail, 'append'>;
}

export function createStanding(deps: StandingDeps): Standing {
  const { database, bus, clock, log, metrics, hold, audit } = deps;

  /** Holds the agent if it is a copy, and says why. The entry is stored with it. */
  const holdCopy = ({ agentId, incarnation, generation }: Parameters<Standing['refusal']>[0]) =>
    database.transaction(async (query) => {
      const at = new Date(clock.now());
      const reason = await holdCopiedAgent(query, agentId, incarnation, generation, at);
      if (reason !== undefined) {
        await audit.append(query, {
          actor: 'system:standing',
          action: 'agents.hold',
          resourceKind: 'agent',
          resourceId: agentId,
          outcome: 'done',
          details: () => ({ reason, incarnation, generation }),
        });
      }
      return reason;
    });

  return {
    async refusal(agent) {
      const { agentId, incarnation, generation } = agent;
      const reason = await holdCopy(agent);
      if (reason !== undefined) {
        metrics.agentsHeld.inc();
        log.error({ agentId, generation, reason }, 'agent held: there may be two copies of it');
        bus.publish('agent.barred', agentId);
        bus.publish('agent.changed', agentId);
        await hold(agentId, true, `held: ${reason}`);
        return barred();
      }
      const found = await findStanding(database.query, agentId, incarnation);
      if (found?.held) return barred();
      if (found === undefined)
        return new ViworksError('authentication_failed', 'The agent could not be authenticated.');
      // Somebody released it between two looks.
      return new ViworksError('unavailable', 'The agent may connect again now.');
    },

    confirm(agentId, epoch) {
      confirmGeneration(database.query, agentId, epoch).catch((err: unknown) =>
        log.warn({ err, agentId }, 'a generation could not be written'),
      );
    },
  };
}

export const barred = (): ViworksError =>
  new ViworksError('agent_barred', 'This agent may not connect until an operator decides about it.');
