import type { Clock } from '../lib/clock.ts';
import { listAlertRules, watchedAgents } from '../storage/alert-rules.ts';
import { listSilences } from '../storage/alerts.ts';
import type { Database } from '../storage/database.ts';
import { createChoice, type IsSilenced, type WatchedAgent } from './evaluate.ts';
import { ruleOf, silenceOf } from './rows.ts';
import { isSilenced } from './silences.ts';
import type { Rule, Silence } from './types.ts';

/** Agents, the rules that choose them, and silences, in memory as the database had them last. */
export interface Watched {
  /** Something of an agent changed: it is to be read again. */
  heard(agentId: string): void;
  /** All agents are to be read again. */
  forget(): void;
  /** Reads the rules and silences. @throws database_unavailable */
  readRules(): Promise<void>;
  /**
   * Reads the agents that changed and those that are wanted and not known; all of them now and then, or when too many
   * changed. @returns whether it was all @throws database_unavailable
   */
  readAgents(wanted: Iterable<string>): Promise<boolean>;
  /** Those that were read because they changed, and that nobody has looked at since. */
  changed(): readonly string[];
  /** They were looked at. */
  looked(agentIds: readonly string[]): void;
  get(agentId: string): WatchedAgent | undefined;
  ids(): Iterable<string>;
  rulesOf(agent: WatchedAgent): readonly Rule[];
  /** Whether somebody is to be told of an alert now. */
  silencedAt(now: number): IsSilenced;
}

export interface WatchedDeps {
  database: Pick<Database, 'query'>;
  clock: Pick<Clock, 'now'>;
  /** Milliseconds between two readings of all agents. */
  agentsMs: number;
}

/** Agents that changed, from which on all are read. */
const maximumStale = 10_000;
/** Rules and silences there may be; the services that make them see to it. */
export const maximumRules = 500;
export const maximumSilences = 1000;

export function createWatched({ database, clock, agentsMs }: WatchedDeps): Watched {
  const agents = new Map<string, WatchedAgent>();
  const rulesOf = new Map<string, readonly Rule[]>();
  /** Agents that are to be read again. */
  const stale = new Set<string>();
  const changed = new Set<string>();
  let choose: (agent: WatchedAgent) => readonly Rule[] = () => [];
  let silences: readonly Silence[] = [];
  let allAt = Number.NEGATIVE_INFINITY;

  async function readAll(): Promise<void> {
    // What is said from here on is for the next reading.
    allAt = clock.now();
    stale.clear();
    const rows = await watchedAgents(database.query).catch((error: unknown) => {
      allAt = Number.NEGATIVE_INFINITY;
      throw error;
    });
    agents.clear();
    rulesOf.clear();
    changed.clear();
    for (const row of rows) agents.set(row.agentId, row);
  }

  /** Those that change while it reads are stale again. */
  async function readSome(agentIds: readonly string[]): Promise<void> {
    const marked = agentIds.filter((agentId) => stale.delete(agentId));
    try {
      const rows = await watchedAgents(database.query, agentIds);
      for (const agentId of agentIds) {
        agents.delete(agentId);
        rulesOf.delete(agentId);
      }
      for (const row of rows) agents.set(row.agentId, row);
      for (const agentId of marked) changed.add(agentId);
    } catch (error) {
      for (const agentId of marked) stale.add(agentId);
      throw error;
    }
  }

  return {
    heard: (agentId) => void stale.add(agentId),
    forget() {
      allAt = Number.NEGATIVE_INFINITY;
    },
    async readRules() {
      const now = new Date(clock.now());
      const rules = (await listAlertRules(database.query, undefined, maximumRules)).map(ruleOf);
      silences = (await listSilences(database.query, now, undefined, maximumSilences)).map(silenceOf);
      choose = createChoice(rules);
      rulesOf.clear();
    },
    async readAgents(wanted) {
      const now = clock.now();
      const all = now < allAt || now - allAt >= agentsMs || stale.size >= maximumStale;
      if (all) await readAll();
      const ids = new Set(stale);
      for (const agentId of wanted) if (!agents.has(agentId)) ids.add(agentId);
      if (ids.size > 0) await readSome([...ids]);
      return all;
    },
    changed: () => [...changed],
    looked(agentIds) {
      for (const agentId of agentIds) changed.delete(agentId);
    },
    get: (agentId) => agents.get(agentId),
    ids: () => agents.keys(),
    rulesOf(agent) {
      const known = rulesOf.get(agent.agentId);
      if (known !== undefined) return known;
      const found = choose(agent);
      rulesOf.set(agent.agentId, found);
      return found;
    },
    silencedAt: (now) => (alert) =>
      agents.get(alert.agentId)?.maintenance === true || isSilenced(silences, alert, now),
  };
}
