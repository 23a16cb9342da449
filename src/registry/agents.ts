import type { JsonObject } from '@bufbuild/protobuf';
import type { Bus } from '../bus/bus.ts';
import { invalidField, ViworksError } from '../errors.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/logger.ts';
import { keyBefore, pageOf } from '../lib/page.ts';
import { findUnstorable, storableText } from '../lib/text.ts';
import { askForNewKey, releaseAgent, removeAgent, revokeAgent } from '../storage/agent-standing.ts';
import { type AgentRow, findAgent, listAgents, readAgents, setAgentMaintenance } from '../storage/agents.ts';
import type { Database } from '../storage/database.ts';
import type { Agent, AgentService } from './types.ts';

/** The registry answers which agents there are and how they are. */
export interface RegistryDeps {
  database: Database;
  bus: Bus;
  clock: Clock;
  log: Logger;
  /** Holds the agent's queue, or lets it go. */
  hold(agentId: string, held: boolean, reason: string): Promise<void>;
  telemetry: {
    /** The newest sample. */
    latestJson(agentId: string): Promise<JsonObject | undefined>;
    forget(agentId: string): Promise<void>;
  };
}

export function createAgentRegistry({
  database,
  bus,
  clock,
  log,
  hold,
  telemetry,
}: RegistryDeps): AgentService {
  async function agentAt(agentId: string): Promise<Agent> {
    const row = await findAgent(database.query, agentId);
    if (row === undefined) {
      throw new ViworksError('agent_unknown', `There is no agent ${JSON.stringify(agentId)}.`, {
        fields: [{ field: 'agentId', problem: 'no such agent' }],
      });
    }
    return agentOf(row);
  }

  return {
    async list(filter, page) {
      const text = findUnstorable(filter);
      if (text !== undefined) throw invalidField(`filter.${text}`, 'must be text without NUL');
      const after = keyBefore(page);
      const rows = await listAgents(database.query, filter, after, page.size + 1);
      const { items, nextToken } = pageOf(rows, page.size, (row) => row.agentId);
      return { items: items.map(agentOf), nextToken };
    },
    async get(agentId) {
      const agent = await agentAt(agentId);
      return { agent, telemetry: await telemetry.latestJson(agentId) };
    },
    async setMaintenance(agentId, maintenance, given) {
      const reason = storableText(given);
      const at = new Date(clock.now());
      const found = await setAgentMaintenance(
        database.query,
        agentId,
        maintenance,
        maintenance ? reason : null,
        at,
      );
      // What is held stays held until it is released.
      if (found === false) await hold(agentId, maintenance, reason);
      if (found !== undefined) bus.publish('agent.changed', agentId);
      const agent = await agentAt(agentId);
      if (found === undefined)
        throw new ViworksError(
          'agent_state',
          `${agentId} is revoked; enrol it anew before it is put to use.`,
        );
      return agent;
    },

    async revoke(actor, agentId, given) {
      await agentAt(agentId);
      const reason = storableText(given);
      const ended = await revokeAgent(database, agentId, actor, reason, new Date(clock.now()));
      if (ended !== undefined) {
        bus.publish('agent.barred', agentId);
        bus.publish('agent.changed', agentId);
        for (const commandId of ended) bus.publish('command.changed', commandId);
        log.warn({ agentId, actor, reason }, 'agent revoked');
      }
      return agentAt(agentId);
    },

    async release(actor, agentId) {
      const released = await releaseAgent(database.query, agentId, new Date(clock.now()));
      if (released !== undefined) {
        if (!released.maintenance) await hold(agentId, false, '');
        bus.publish('agent.changed', agentId);
        log.warn({ agentId, actor }, 'agent released');
      }
      return agentAt(agentId);
    },

    async rotateKey(actor, agentId) {
      const { status } = await agentAt(agentId);
      if (status === 'revoked')
        throw new ViworksError('agent_state', `${agentId} is revoked and has no key.`);
      await askForNewKey(database.query, agentId, new Date(clock.now()));
      bus.publish('agent.key', agentId);
      log.info({ agentId, actor }, 'agent asked for a new key');
      return agentAt(agentId);
    },

    async remove(actor, agentId) {
      await agentAt(agentId);
      if (!(await removeAgent(database, agentId)))
        throw new ViworksError('agent_state', `${agentId} is not revoked; revoke it before it is removed.`);
      await telemetry.forget(agentId);
      bus.publish('agent.changed', agentId);
      log.warn({ agentId, actor }, 'agent removed');
    },
  };
}

/** Agents as the registry shows them: all, or those of the ids that there are. */
export const createAgentReader =
  ({ query }: Pick<Database, 'query'>) =>
  async (agentIds?: readonly string[]): Promise<Agent[]> =>
    (await readAgents(query, agentIds)).map(agentOf);

function agentOf(row: AgentRow): Agent {
  return {
    agentId: row.agentId,
    site: row.site,
    labels: row.labels,
    capabilities: row.capabilities,
    software: row.software,
    hostname: row.hostname,
    os: row.os,
    kernel: row.kernel,
    architecture: row.architecture,
    containerEngine: row.containerEngine,
    status: row.status,
    statusReason: row.revoked?.reason ?? row.statusReason ?? undefined,
    generation: row.generation,
    keyId: row.keyId ?? undefined,
    incarnation: row.incarnation,
    epoch: row.epoch,
    lastSeenAt: row.lastSeenAt ?? undefined,
    createdAt: row.createdAt,
    updatedAt: row.updatedAt,
    connection:
      row.connectedAt === null
        ? undefined
        : {
            transport: row.transport ?? '',
            remoteAddress: row.remoteAddress ?? '',
            tls: row.tls ?? false,
            connectedAt: row.connectedAt,
          },
  };
}
