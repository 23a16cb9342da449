import { ViworksError } from '../errors.ts';
import { backoffDelay } from '../lib/backoff.ts';
import type { Clock } from '../lib/clock.ts';
import { newId } from '../lib/ids.ts';
import type { Logger } from '../lib/logger.ts';
import type { Metrics } from '../lib/metrics.ts';
import type { Turns } from '../lib/turns.ts';
import { listAlertRules, watchedAgents } from '../storage/alert-rules.ts';
import { listSilences, openAlerts, writeAlerts } from '../storage/alerts.ts';
import type { Database } from '../storage/database.ts';
import { createBook, type Draft, type Entry } from './book.ts';
import {
  type Circumstances,
  type Forecasts,
  rulesFor,
  seePresence,
  seeSample,
  seeTime,
  type WatchedAgent,
} from './evaluate.ts';
import { alertOf, entryOf, rowOf, ruleOf, silenceOf } from './rows.ts';
import { createSampleQueue, type StoredSample } from './samples.ts';
import { isSilenced } from './silences.ts';
import type { Alert, Rule, Silence } from './types.ts';

/**
 * Looks at samples that are stored, at who is connected and at the time, and keeps the alerts that come of it. One
 * thing changes alerts at a time; what it knows is what the database has.
 */
export interface Evaluator {
  start(): void;
  /** Resolves when nothing is under way. */
  stop(): Promise<void>;
  /** Samples were committed. Never waits, never throws. */
  onStored(samples: readonly StoredSample[]): void;
  /** An agent came, went or changed. Never waits, never throws. */
  onAgent(agentId: string): void;
  /** Looks at everything now: what waits, who is connected, what time it is. */
  look(): Promise<void>;
  /** Changes alerts in its turn; the work's own rows are committed with them. */
  change<T>(work: (query: Database['query'], changing: Changing) => Promise<T>): Promise<T>;
  /** Tells of alerts as they are after each commit. A listener must not throw. */
  onChanged(listener: (alerts: readonly Alert[]) => void): () => void;
}

export interface Changing {
  draft: Draft;
  entry(alertId: string): Entry | undefined;
  /** After the commit rules, silences and agents are read again, and all alerts are looked at. */
  reload(): void;
}

export interface EvaluatorDeps {
  database: Database;
  clock: Pick<Clock, 'now'>;
  log: Logger;
  metrics: Pick<Metrics, 'alertTransitions' | 'alertSamplesSkipped' | 'alertsOpen'>;
  turns: Turns;
  /** Receivers have something to be told. */
  onNotice(): void;
  /** Milliseconds between looks at the time, and between looks at all agents. */
  tickMs?: number | undefined;
  agentsMs?: number | undefined;
}

/** Milliseconds between two looks at what came: what comes meanwhile is looked at together. */
const calmMs = 200;
const samplesAtOnce = 2000;
const maximumWaiting = 50_000;
const maximumStale = 10_000;
/** Rules and silences there may be; the services that make them see to it. */
export const maximumRules = 500;
export const maximumSilences = 1000;

export function createEvaluator(deps: EvaluatorDeps): Evaluator {
  const { database, clock, log, metrics, turns, onNotice, tickMs = 5000, agentsMs = 30_000 } = deps;
  const book = createBook();
  const samples = createSampleQueue(maximumWaiting, (count) => metrics.alertSamplesSkipped.inc(count));
  const listeners = new Set<(alerts: readonly Alert[]) => void>();
  let rules: Rule[] = [];
  let silences: Silence[] = [];
  const agents = new Map<string, WatchedAgent>();
  const rulesOf = new Map<string, Rule[]>();
  const forecasts = new Map<string, Forecasts>();
  /** The newest sample of each agent that was looked at. */
  const newest = new Map<string, number>();
  /** Agents that are to be read again; all of them, once there are too many. */
  const stale = new Set<string>();
  /** What is looked at, until that is committed. */
  let held: readonly StoredSample[] = [];
  let loaded = false;
  let tickedAt = Number.NEGATIVE_INFINITY;
  let agentsAt = Number.NEGATIVE_INFINITY;
  let stopped = false;
  let wake = Promise.withResolvers<void>();
  const halted = Promise.withResolvers<void>();
  let running: Promise<void> | undefined;

  async function load(): Promise<void> {
    const { query } = database;
    const now = new Date(clock.now());
    rules = (await listAlertRules(query, undefined, maximumRules)).map(ruleOf);
    silences = (await listSilences(query, now, undefined, maximumSilences)).map(silenceOf);
    book.load((await openAlerts(query)).map(entryOf));
    rulesOf.clear();
    loaded = true;
    tickedAt = Number.NEGATIVE_INFINITY;
  }

  async function loadAgents(): Promise<void> {
    stale.clear();
    const rows = await watchedAgents(database.query);
    agents.clear();
    for (const row of rows) agents.set(row.agentId, row);
    for (const known of [forecasts, newest])
      for (const agentId of known.keys()) if (!agents.has(agentId)) known.delete(agentId);
    rulesOf.clear();
    agentsAt = clock.now();
    tickedAt = Number.NEGATIVE_INFINITY;
  }

  /** Reads those again that changed, and those that are new; answers with the ones that changed. */
  async function refresh(wanted: readonly StoredSample[]): Promise<string[]> {
    if (!loaded) await load();
    if (clock.now() - agentsAt >= agentsMs || stale.size >= maximumStale) await loadAgents();
    const changed = [...stale];
    for (const { agentId } of wanted) if (!agents.has(agentId)) stale.add(agentId);
    if (stale.size === 0) return changed;
    const ids = [...stale];
    const rows = await watchedAgents(database.query, ids);
    for (const agentId of ids) {
      agents.delete(agentId);
      rulesOf.delete(agentId);
      stale.delete(agentId);
    }
    for (const row of rows) agents.set(row.agentId, row);
    return changed;
  }

  function rulesAt(agent: WatchedAgent): Rule[] {
    const known = rulesOf.get(agent.agentId);
    if (known !== undefined) return known;
    const found = rulesFor(agent, rules);
    rulesOf.set(agent.agentId, found);
    return found;
  }

  function circumstances(draft: Draft, now: number): Circumstances {
    return {
      draft,
      silenced: (alert) =>
        agents.get(alert.agentId)?.maintenance === true || isSilenced(silences, alert, now),
      refused: (agentId) => log.warn({ agentId }, 'there are too many alerts for another one'),
    };
  }

  function see(draft: Draft, batch: readonly StoredSample[], changed: readonly string[], now: number) {
    const context = circumstances(draft, now);
    const seen = new Map<string, number>();
    for (const { agentId, at, late, measured } of batch) {
      const agent = agents.get(agentId);
      if (agent === undefined || at <= (seen.get(agentId) ?? newest.get(agentId) ?? 0)) continue;
      seen.set(agentId, at);
      const known = forecasts.get(agentId) ?? new Map();
      forecasts.set(agentId, known);
      seeSample(context, { agent, rules: rulesAt(agent), forecasts: known, at, late, sample: measured() });
    }
    const all = now - tickedAt >= tickMs;
    const looked = all ? new Set([...agents.keys(), ...book.agents()]) : changed;
    for (const agentId of looked) {
      const agent = agents.get(agentId);
      const applied = agent === undefined ? [] : rulesAt(agent);
      if (agent !== undefined) seePresence(context, agent, applied, now);
      seeTime(context, agentId, agent, applied, now);
    }
    return { seen, all };
  }

  /** Writes what changed, and makes it what is known. The rows of `also` are committed with it. */
  async function commit<T>(draft: Draft, also: (query: Database['query']) => Promise<T>): Promise<T> {
    const at = new Date(clock.now());
    let rows: ReturnType<typeof rowOf>[] = [];
    let told = 0;
    let refused = true;
    const write = async (query: Database['query']) => {
      const result = await also(query);
      refused = false;
      const { written, dropped, notices } = draft.changes();
      rows = written.map((entry) => rowOf(entry, at));
      told = notices.length;
      await writeAlerts(query, {
        written: rows,
        dropped: dropped.map(({ alertId }) => alertId),
        events: notices.map(({ notice, entry }) => ({
          eventId: newId(),
          rule: entry.rule,
          site: entry.site,
          kind: notice,
          alert: rowOf(entry, at),
          createdAt: at,
        })),
      });
      return result;
    };
    try {
      const result = await database.transaction(write);
      draft.commit();
      metrics.alertsOpen.set(book.size);
      for (const { state } of rows) metrics.alertTransitions.inc({ state });
      if (told > 0) onNotice();
      if (rows.length > 0) {
        const alerts = rows.map(alertOf);
        for (const listener of listeners) listener(alerts);
      }
      return result;
    } catch (error) {
      // It may be committed all the same: what is known is read again.
      if (!refused) loaded = false;
      throw error;
    }
  }

  /** Looks at some of what waits; answers with whether more does. */
  async function round(): Promise<boolean> {
    if (held.length === 0) held = samples.take(samplesAtOnce);
    const batch = held;
    const changed = await refresh(batch);
    const now = clock.now();
    const draft = book.draft();
    try {
      const { seen, all } = see(draft, batch, changed, now);
      const { written, dropped } = draft.changes();
      if (written.length + dropped.length > 0) await commit(draft, async () => {});
      else draft.commit();
      for (const [agentId, at] of seen) newest.set(agentId, at);
      if (all) tickedAt = now;
    } catch (error) {
      for (const agentId of changed) stale.add(agentId);
      // What can never be written is passed over, so that it does not stop what comes after it.
      if (!ViworksError.from(error).retryable) held = [];
      throw error;
    }
    held = [];
    return samples.size > 0;
  }

  /** Until so many milliseconds are over, one of these is, or all is. */
  async function pause(ms: number, ...sooner: Promise<void>[]): Promise<void> {
    if (ms < 0) return;
    const passed = Promise.withResolvers<void>();
    const timer = setTimeout(passed.resolve, ms);
    await Promise.race([passed.promise, halted.promise, ...sooner]);
    clearTimeout(timer);
  }

  async function run(): Promise<void> {
    let failures = 0;
    while (!stopped) {
      const begun = performance.now();
      let delayMs = tickMs;
      try {
        wake = Promise.withResolvers();
        if (await turns(round)) delayMs = 0;
        failures = 0;
      } catch (error) {
        log.warn({ err: ViworksError.from(error) }, 'cannot look for alerts now');
        delayMs = backoffDelay({ baseMs: 200, maximumMs: 5000 }, failures++, 0.5 + Math.random() / 2);
      }
      // While it fails, only time helps.
      await pause(delayMs, ...(failures > 0 ? [] : [wake.promise]));
      if (delayMs > 0) await pause(calmMs - (performance.now() - begun));
    }
  }

  return {
    start() {
      running ??= run();
    },
    async stop() {
      stopped = true;
      halted.resolve();
      await running;
      await turns(async () => {});
    },
    onStored(stored) {
      samples.add(stored);
      wake.resolve();
    },
    onAgent(agentId) {
      stale.add(agentId);
      wake.resolve();
    },
    async look() {
      tickedAt = Number.NEGATIVE_INFINITY;
      agentsAt = Number.NEGATIVE_INFINITY;
      while (await turns(round));
    },
    change(work) {
      return turns(async () => {
        await refresh([]);
        const draft = book.draft();
        let again = false;
        const changing = { draft, entry: book.byId, reload: () => (again = true) };
        const result = await commit(draft, (query) => work(query, changing));
        if (!again) return result;
        loaded = false;
        wake.resolve();
        return result;
      });
    },
    onChanged(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  };
}
