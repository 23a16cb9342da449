import type { Bus } from '../bus/bus.ts';
import { ViworksError } from '../errors.ts';
import { backoffDelay } from '../lib/backoff.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/logger.ts';
import type { Metrics } from '../lib/metrics.ts';
import type { Turns } from '../lib/turns.ts';
import type { RowBinding } from '../storage/bound-rows.ts';
import type { Database } from '../storage/database.ts';
import { claimSchedules, type ScheduleRow, settleSchedule, soonestSchedule } from '../storage/schedules.ts';
import { boundValues, notAuthentic, scheduleOf } from './rows.ts';
import type { Runner, RunOutcome } from './runner.ts';

/**
 * The loop that runs schedules at their times. Any instance may run any of them: it holds the row from before it
 * submits until it has kept what came of it, and passes over rows that somebody else holds.
 */
export interface ScheduleLoop {
  start(): void;
  /** Runs what is due now; answers with how many times were dealt with. */
  look(): Promise<number>;
  /** Resolves when nothing is under way. */
  stop(): Promise<void>;
}

export interface ScheduleLoopDeps {
  database: Database;
  bus: Bus;
  clock: Pick<Clock, 'now'>;
  metrics: Pick<Metrics, 'rowsForged'>;
  log: Logger;
  binding: RowBinding;
  runDue: Runner['runDue'];
  /** Shared with whoever changes schedules. */
  turns: Turns;
}

/** Schedules that one transaction runs. */
const atOnce = 20;
/** Milliseconds until a schedule is looked at again that could not be run because the database was away. */
const unavailableMs = 1000;
/** Milliseconds between looks, however far the next time is: a wake may be lost, and the clock may be set. */
const lookAgainMs = 60_000;

export function createScheduleLoop(deps: ScheduleLoopDeps): ScheduleLoop {
  const { database, bus, clock, log, metrics, binding, runDue, turns } = deps;
  /** Schedules that were refused for now, and when they are to be tried again. */
  const refused = new Map<string, number>();
  let timer: NodeJS.Timeout | undefined;
  let running: Promise<void> | undefined;
  let unsubscribe: (() => void) | undefined;
  let again = false;
  let stopped = false;
  let failures = 0;

  function waiting(): string[] {
    const now = clock.now();
    for (const [name, until] of refused) if (until <= now) refused.delete(name);
    return [...refused.keys()];
  }

  /** Only what was saved here submits anything. */
  async function runRow(row: ScheduleRow): Promise<RunOutcome | undefined> {
    if (binding.holds('schedules', boundValues(row), row.binding)) return runDue(scheduleOf(row));
    const { name, actor, lastAt } = row;
    const { message: lastError } = notAuthentic(name);
    metrics.rowsForged.inc({ table: 'schedules' });
    log.error({ schedule: name, actor }, 'a schedule that was not saved here is not run');
    return { nextAt: null, lastAt, lastCommandId: null, lastError, againInMs: undefined };
  }

  /** Runs some of what is due; answers with how many it found, and how many of them are dealt with. */
  function round(): Promise<{ found: number; settled: number }> {
    return database.transaction(async (query) => {
      const rows = await claimSchedules(query, new Date(clock.now()), waiting(), atOnce);
      // Together, because commands that are submitted at the same time share a commit.
      const outcomes = await Promise.allSettled(rows.map(runRow));
      let settled = 0;
      for (const [index, { name }] of rows.entries()) {
        const outcome = outcomes[index];
        if (outcome?.status === 'rejected') {
          log.warn({ err: ViworksError.from(outcome.reason), schedule: name }, 'cannot run a schedule now');
          refused.set(name, clock.now() + unavailableMs);
        }
        if (outcome?.status !== 'fulfilled' || outcome.value === undefined) continue;
        await settleSchedule(query, name, outcome.value);
        if (outcome.value.againInMs === undefined) settled += 1;
        else refused.set(name, clock.now() + outcome.value.againInMs);
      }
      return { found: rows.length, settled };
    });
  }

  async function look(): Promise<number> {
    let total = 0;
    while (!stopped) {
      const { found, settled } = await turns(round);
      total += settled;
      if (found < atOnce) break;
    }
    return total;
  }

  /** Milliseconds until there is something to do. */
  async function untilNext(): Promise<number> {
    const soonest = await soonestSchedule(database.query, waiting());
    const times = [...refused.values(), ...(soonest === undefined ? [] : [soonest.getTime()])];
    return Math.min(lookAgainMs, Math.max(1, Math.min(...times) - clock.now()));
  }

  async function run(): Promise<void> {
    let delayMs: number;
    try {
      do {
        again = false;
        await look();
        delayMs = await untilNext();
      } while (again && !stopped);
      failures = 0;
    } catch (error) {
      log.warn({ err: ViworksError.from(error) }, 'cannot look for schedules now');
      delayMs = backoffDelay({ baseMs: 200, maximumMs: 5000 }, failures++, 0.5 + Math.random() / 2);
    }
    running = undefined;
    if (!stopped) timer = setTimeout(wake, delayMs);
  }

  function wake(): void {
    if (stopped) return;
    again = true;
    clearTimeout(timer);
    running ??= run();
  }

  return {
    look,
    start() {
      unsubscribe ??= bus.subscribe('schedules.changed', 'all', wake);
      wake();
    },
    async stop() {
      stopped = true;
      unsubscribe?.();
      clearTimeout(timer);
      await running;
    },
  };
}
