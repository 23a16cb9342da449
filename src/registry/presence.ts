import type { Bus } from '../bus/bus.ts';
import type { Logger } from '../lib/logger.ts';
import { applyPresence, type PresenceChange } from '../storage/agents.ts';
import { createBatchWriter } from '../storage/batch-writer.ts';
import type { Database } from '../storage/database.ts';
import { endSessions, type OpenedSession, openSessions, type SessionOpening } from '../storage/sessions.ts';

/**
 * Presence: which agents are connected. The live truth is in memory with the sessions; the database learns
 * of openings at once, of changes in batches, and of heartbeats only now and then.
 */
export interface Presence {
  /** Hands out the epoch. Undefined if the incarnation is not the newest. */
  open(opening: SessionOpening): Promise<OpenedSession | undefined>;
  /** Never throws: what cannot be written now is written later or put right by the next session. */
  changed(change: PresenceChange): void;
  ended(session: { sessionId: string; at: Date; reason: string }): void;
  /** Resolves when everything is written. */
  idle(): Promise<void>;
}

export interface PresenceDeps {
  database: Database;
  bus: Bus;
  log: Logger;
  /** Told of an agent each time after its presence was written. Must not throw. */
  written?: (agentId: string) => void;
}

export function createPresence(deps: PresenceDeps): Presence {
  const { database, bus, log, written = () => {} } = deps;
  const bounds = { maximumBatch: 5000, maximumWaiting: 200_000, retryForMs: 600_000 };
  const changes = createBatchWriter<PresenceChange, void>({
    ...bounds,
    async write(items) {
      // Of several changes of one agent in a batch the last one of its newest session is the truth.
      const latest = new Map<string, PresenceChange>();
      for (const item of items) {
        if (item.epoch >= (latest.get(item.agentId)?.epoch ?? 0)) latest.set(item.agentId, item);
      }
      await applyPresence(database.query, [...latest.values()]);
      for (const agentId of latest.keys()) {
        bus.publish('agent.changed', agentId);
        written(agentId);
      }
      return items.map(() => undefined);
    },
  });
  const endings = createBatchWriter<{ sessionId: string; at: Date; reason: string }, void>({
    ...bounds,
    async write(items) {
      await endSessions(database.query, items);
      return items.map(() => undefined);
    },
  });
  /** A fleet that comes back opens its sessions together. */
  const openings = createBatchWriter<SessionOpening, OpenedSession | undefined>({
    maximumBatch: 500,
    maximumWaiting: 100_000,
    retryForMs: 0,
    async write(items) {
      const rounds = roundsOf(items);
      const opened = new Map<SessionOpening, OpenedSession | undefined>();
      const openAll = async (query: Database['query']) => {
        for (const round of rounds) {
          const answers = await openSessions(query, round);
          for (const [at, opening] of round.entries()) opened.set(opening, answers[at]);
        }
      };
      // All or nothing: a batch that is written again must find its rows as they were.
      await (rounds.length === 1 ? openAll(database.query) : database.transaction(openAll));
      return items.map((item) => opened.get(item));
    },
  });
  const failed = (error: unknown) => log.warn({ err: error }, 'presence could not be written');
  return {
    async open(opening) {
      const opened = await openings.add(opening);
      if (opened !== undefined) {
        bus.publish('agent.changed', opening.agentId);
        written(opening.agentId);
      }
      return opened;
    },
    changed: (change) => void changes.add(change).catch(failed),
    ended: (session) => void endings.add(session).catch(failed),
    async idle() {
      await Promise.all([openings.idle(), changes.idle(), endings.idle()]);
    },
  };
}

/** In their order, and each agent once in a round. */
function roundsOf(openings: readonly SessionOpening[]): SessionOpening[][] {
  const rounds: SessionOpening[][] = [];
  const seen = new Map<string, number>();
  for (const opening of openings) {
    const round = seen.get(opening.agentId) ?? 0;
    seen.set(opening.agentId, round + 1);
    const others = rounds[round] ?? [];
    others.push(opening);
    rounds[round] = others;
  }
  return rounds;
}
