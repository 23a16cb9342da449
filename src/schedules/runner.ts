import type { AuditTrail } from '../audit/trail.ts';
import type { CommandService } from '../commands/service.ts';
import type { SubmitInput } from '../commands/types.ts';
import { ViworksError } from '../errors.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/logger.ts';
import type { Metrics } from '../lib/metrics.ts';
import { findCommandByKey } from '../storage/commands.ts';
import type { Database } from '../storage/database.ts';
import type { ScheduleRun } from '../storage/schedules.ts';
import type { TemplateService } from '../templates/types.ts';
import { type DueDecision, decideDue } from './decide.ts';
import { occurrencesOf } from './occurrences.ts';
import type { Action, Schedule } from './types.ts';

/** Runs one schedule whose time has come. */
export interface Runner {
  /**
   * Submits, or says why not.
   * @throws database_unavailable: then nothing is known, and it is to be looked at again
   */
  runDue(schedule: Schedule): Promise<RunOutcome | undefined>;
}

export type RunOutcome = ScheduleRun & {
  /** Milliseconds until the same time is tried again; undefined if it is dealt with. */
  againInMs: number | undefined;
};

export interface RunnerDeps {
  database: Pick<Database, 'query'>;
  commands: Pick<CommandService, 'submit' | 'get'>;
  templates: Pick<TemplateService, 'render'>;
  clock: Pick<Clock, 'now'>;
  metrics: Pick<Metrics, 'scheduleRuns'>;
  log: Logger;
  audit: Pick<AuditTrail, 'during'>;
}

/** Milliseconds until a refusal that may pass is tried again, unless it says so itself. */
const tryAgainMs = 5000;

export function createRunner(deps: RunnerDeps): Runner {
  const { database, commands, templates, clock, metrics, log, audit } = deps;

  /** Submits under a key of its own, so that one time never has two commands, whoever submits it and how often. */
  async function submit(schedule: Schedule, occurrence: number): Promise<string> {
    const { name, revision, actor, action, scope: within } = schedule;
    const idempotencyKey = occurrenceKey(name, revision, occurrence);
    try {
      const input = await inputOf(action, templates);
      const command = await audit.during(
        {
          actor: 'system:schedules',
          action: 'schedules.occurrence',
          resourceKind: 'schedule',
          resourceId: name,
          details: () => ({ revision, occurrence: new Date(occurrence), onBehalfOf: actor }),
        },
        () => commands.submit(actor, { ...input, origin: originOf(name), idempotencyKey, within }),
      );
      return command.commandId;
    } catch (thrown) {
      const error = ViworksError.from(thrown);
      if (error.code !== 'idempotency_conflict') throw error;
      // It was submitted before, and its template or a default has changed since.
      const earlier = await findCommandByKey(database.query, actor, idempotencyKey);
      if (earlier === undefined) throw error;
      return earlier.commandId;
    }
  }

  async function hasEnded(commandId: string): Promise<boolean> {
    try {
      const { command } = await commands.get(commandId, { size: 1 });
      return command.done;
    } catch (thrown) {
      if (ViworksError.from(thrown).code === 'command_unknown') return true;
      throw thrown;
    }
  }

  async function run(schedule: Schedule, due: DueDecision): Promise<RunOutcome> {
    const before = schedule.lastCommandId;
    const dealtWith = (lastCommandId: string | null, lastError: string | null): RunOutcome => ({
      nextAt: dateOf(due.nextAt),
      lastAt: new Date(due.occurrence),
      lastCommandId,
      lastError,
      againInMs: undefined,
    });
    const note = due.note === undefined ? '' : ` ${due.note}`;
    if (due.note !== undefined) {
      metrics.scheduleRuns.inc({ outcome: 'missed' }, due.missed);
      log.warn({ schedule: schedule.name, note: due.note }, 'runs of a schedule were missed');
    }
    if (due.do === 'miss') return dealtWith(null, due.note ?? null);
    try {
      if (schedule.timing.overlap === 'skip' && before !== undefined && !(await hasEnded(before))) {
        metrics.scheduleRuns.inc({ outcome: 'overlapped' });
        return dealtWith(null, `Left out: the command before, ${before}, has not ended.${note}`);
      }
      const commandId = await submit(schedule, due.occurrence);
      metrics.scheduleRuns.inc({ outcome: 'submitted' });
      return dealtWith(commandId, due.note ?? null);
    } catch (thrown) {
      const error = ViworksError.from(thrown);
      if (error.code === 'database_unavailable') throw error;
      const againInMs = error.retryAfterMs ?? tryAgainMs;
      const again = error.retryable && clock.now() + againInMs <= due.until;
      log.warn({ err: error, schedule: schedule.name, again }, 'a schedule could not submit its command');
      if (!again) {
        metrics.scheduleRuns.inc({ outcome: 'refused' });
        return dealtWith(null, `${error.message}${note}`);
      }
      return {
        nextAt: schedule.nextAt ?? null,
        lastAt: schedule.lastAt ?? null,
        lastCommandId: null,
        lastError: `Is tried again: ${error.message}${note}`,
        againInMs,
      };
    }
  }

  return {
    async runDue(schedule) {
      const { timing, nextAt } = schedule;
      if (nextAt === undefined) return undefined;
      let due: DueDecision | undefined;
      try {
        // The next time is not bound, because it changes with each run; so it must be one that the timing has.
        const times = occurrencesOf(timing);
        if (times.after(nextAt.getTime() - 1) !== nextAt.getTime()) {
          log.warn({ schedule: schedule.name, nextAt }, 'the next time of a schedule is none of its times');
          return {
            nextAt: dateOf(times.after(nextAt.getTime())),
            lastAt: schedule.lastAt ?? null,
            lastCommandId: null,
            lastError: `Left out: ${nextAt.toISOString()} is none of its times.`,
            againInMs: undefined,
          };
        }
        due = decideDue(timing, nextAt.getTime(), clock.now());
      } catch (thrown) {
        // A zone that was known when it was stored may be unknown to another release of Node.
        log.error({ err: ViworksError.from(thrown), schedule: schedule.name }, 'a schedule has no times');
        const lastError = 'Its times cannot be told any more; update its timing.';
        return { nextAt: null, lastAt: nextAt, lastCommandId: null, lastError, againInMs: undefined };
      }
      if (due?.note !== undefined) {
        // Maybe it was not missed, and whoever submitted it was killed before it could say so.
        const key = occurrenceKey(schedule.name, schedule.revision, nextAt.getTime());
        const command = await findCommandByKey(database.query, schedule.actor, key);
        const following = occurrencesOf(timing).after(nextAt.getTime());
        if (command !== undefined) {
          return {
            nextAt: dateOf(following),
            lastAt: nextAt,
            lastCommandId: command.commandId,
            lastError: null,
            againInMs: undefined,
          };
        }
      }
      return due && run(schedule, due);
    },
  };
}

export const originOf = (name: string): string => `schedule:${name}`;

const dateOf = (time: number | undefined): Date | null => (time === undefined ? null : new Date(time));

const occurrenceKey = (name: string, revision: number, occurrence: number): string =>
  `schedule:${name}:${revision}:${new Date(occurrence).toISOString()}`;

/** What a schedule submits at this moment. @throws what its template is refused with */
export async function inputOf(action: Action, templates: RunnerDeps['templates']): Promise<SubmitInput> {
  if ('template' in action) return templates.render(action.template.name, action.template);
  const { command } = action;
  const { target } = command;
  if (target === undefined) throw new Error('a stored schedule names its agents');
  return { ...command, target };
}
