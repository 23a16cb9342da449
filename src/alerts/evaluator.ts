import { ViworksError } from '../errors.ts';
import { backoffDelay } from '../lib/backoff.ts';
import type { Clock } from '../lib/clock.ts';
import { newId } from '../lib/ids.ts';
import type { Logger } from '../lib/logger.ts';
import type { Metrics } from '../lib/metrics.ts';
import { createQuiet } from '../lib/quiet.ts';
import type { Turns } from '../lib/turns.ts';
import { createWaits } from '../lib/waits.ts';
import { openAlerts, writeAlerts } from '../storage/alerts.ts';
import type { Database } from '../storage/database.ts';
import { createBook, type Draft, type Entry } from './book.ts';
import { type Circumstances, type Forecasts, seePresence, seeSample, seeTime } from './evaluate.ts';
import { alertOf, entryOf, rowOf } from './rows.ts';
import { createSampleQueue, type ObservedSample } from './samples.ts';
import { isSetBack } from './state.ts';
import type { Alert } from './types.ts';
import { createWatched } from './watched.ts';

/**
 * Looks at samples that are stored, at who is connected and at the time, and keeps the alerts that come of it. One
 * thing changes alerts at a time; what it knows is what the database has.
 */
export interface Evaluator {
  start(): void;
  /** Resolves when nothing is under way. */
  stop(): Promise<void>;
  /** Samples were committed. Never waits, never throws. */
  onStored(samples: readonly ObservedSample[]): void;
  /** An agent came, went or changed. Never waits, never throws. */
  onAgent(agentId: string): void;
  /** Looks at everything now: what waits, who is connected, what time it is. */
  look(): Promise<void>;
  /** Changes alerts in its turn; the work's own rows are committed with them. */
  change<T>(work: (query: Database['query'], changing: Changing) => Promise<T>): Promise<T>;
  /** Tells of alerts as they are after each commit, and of those that never fired and are no more. */
  onChanged(listener: ChangedListener): () => void;
}

/** Must not throw. */
export type ChangedListener = (alerts: readonly Alert[], gone: readonly string[]) => void;

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

export function createEvaluator(deps: EvaluatorDeps): Evaluator {
  const { database, clock, log, metrics, turns, onNotice, tickMs = 5000, agentsMs = 30_000 } = deps;
  const book = createBook();
  const quiet = createQuiet(60_000);
  const samples = createSampleQueue(maximumWaiting, (count) => metrics.alertSamplesSkipped.inc(count));
  const watched = createWatched({ database, clock, agentsMs });
  const listeners = new Set<ChangedListener>();
  const forecasts = new Map<string, Forecasts>();
  /** The newest sample of each agent that was looked at. */
  const newest = new Map<string, number>();
  /** What is looked at, until that is committed. */
  let held: readonly ObservedSample[] = [];
  let loaded = false;
  let tickedAt = Number.NEGATIVE_INFINITY;
  let stopped = false;
  const waits = createWaits();
  let running: Promise<void> | undefined;

  /** Makes what is known what the database has: what changed of it, and agents that nothing was known of. */
  async function refresh(wanted: readonly ObservedSample[]): Promise<void> {
    if (!loaded) {
      await watched.readRules();
      book.load((await openAlerts(database.query)).map(entryOf));
      loaded = true;
      tickedAt = Number.NEGATIVE_INFINITY;
    }
    const all = await watched.readAgents(wanted.map(({ agentId }) => agentId));
    if (!all) return;
    for (const known of [forecasts, newest])
      for (const agentId of known.keys()) if (watched.get(agentId) === undefined) known.delete(agentId);
    tickedAt = Number.NEGATIVE_INFINITY;
  }

  function circumstances(draft: Draft, now: number): Circumstances {
    return {
      draft,
      silenced: watched.silencedAt(now),
      refused: (agentId) => {
        if (quiet.says(agentId, now)) log.warn({ agentId }, 'there are too many alerts for another one');
      },
    };
  }

  function see(draft: Draft, batch: readonly ObservedSample[], changed: readonly string[], now: number) {
    const context = circumstances(draft, now);
    const seen = new Map<string, number>();
    for (const { agentId, at, late, measured } of batch) {
      const agent = watched.get(agentId);
      const before = seen.get(agentId) ?? newest.get(agentId) ?? 0;
      if (agent === undefined || (at <= before && !isSetBack({ at, late }, before))) continue;
      seen.set(agentId, at);
      const known = forecasts.get(agentId) ?? new Map();
      forecasts.set(agentId, known);
      seeSample(context, {
        agent,
        rules: watched.rulesOf(agent),
        forecasts: known,
        at,
        late,
        sample: measured(),
      });
    }
    // A clock that was set back stops nothing.
    const all = now < tickedAt || now - tickedAt >= tickMs;
    const looked = all ? new Set([...watched.ids(), ...book.agents()]) : changed;
    for (const agentId of looked) {
      const agent = watched.get(agentId);
      const applied = agent === undefined ? [] : watched.rulesOf(agent);
      if (agent !== undefined) seePresence(context, agent, applied, now);
      seeTime(context, agentId, agent, applied, now);
    }
    return { seen, all };
  }

  /** Writes what changed, and makes it what is known. The rows of `also` are committed with it. */
  async function commit<T>(draft: Draft, also: (query: Database['query']) => Promise<T>): Promise<T> {
    const at = new Date(clock.now());
    let rows: ReturnType<typeof rowOf>[] = [];
    let gone: string[] = [];
    let told = 0;
    let refused = true;
    const write = async (query: Database['query']) => {
      const result = await also(query);
      refused = false;
      const { written, dropped, notices } = draft.changes();
      rows = written.map((entry) => rowOf(entry, at));
      gone = dropped.map(({ alertId }) => alertId);
      told = notices.length;
      await writeAlerts(query, {
        written: rows,
        dropped: gone,
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
      if (rows.length + gone.length > 0) {
        const alerts = rows.map(alertOf);
        for (const listener of listeners) listener(alerts, gone);
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
    await refresh(batch);
    const changed = watched.changed();
    const now = clock.now();
    const draft = book.draft();
    try {
      const { seen, all } = see(draft, batch, changed, now);
      const { written, dropped } = draft.changes();
      if (written.length + dropped.length > 0) await commit(draft, async () => {});
      else draft.commit();
      for (const [agentId, at] of seen) newest.set(agentId, at);
      if (all) tickedAt = now;
      watched.looked(changed);
    } catch (error) {
      // What can never be written is passed over, so that it does not stop what comes after it.
      if (!ViworksError.from(error).retryable) held = [];
      throw error;
    }
    held = [];
    return samples.size > 0;
  }

  async function run(): Promise<void> {
    let failures = 0;
    while (!stopped) {
      const begun = performance.now();
      try {
        waits.lower();
        const more = await turns(round);
        failures = 0;
        if (more) {
          // What else the process has to do comes between.
          await waits.pass(0);
          continue;
        }
        await waits.untilWoken(tickMs);
      } catch (error) {
        log.warn({ err: ViworksError.from(error) }, 'cannot look for alerts now');
        // Only time helps.
        await waits.pass(backoffDelay({ baseMs: 200, maximumMs: 5000 }, failures++, 0.5 + Math.random() / 2));
      }
      await waits.pass(Math.max(0, calmMs - (performance.now() - begun)));
    }
  }

  return {
    start() {
      running ??= run();
    },
    async stop() {
      stopped = true;
      waits.end();
      await running;
      await turns(async () => {});
    },
    onStored(stored) {
      samples.add(stored);
      waits.wake();
    },
    onAgent(agentId) {
      watched.heard(agentId);
      waits.wake();
    },
    async look() {
      tickedAt = Number.NEGATIVE_INFINITY;
      watched.forget();
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
        waits.wake();
        return result;
      });
    },
    onChanged(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  };
}
