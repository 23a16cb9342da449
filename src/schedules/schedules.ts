import type { AuditTrail } from '../audit/trail.ts';
import type { Bus } from '../bus/bus.ts';
import type { CommandService } from '../commands/service.ts';
import type { SubmitInput } from '../commands/types.ts';
import { invalidField, ViworksError, withFieldsUnder } from '../errors.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/logger.ts';
import type { Metrics } from '../lib/metrics.ts';
import { keyBefore, pageOf } from '../lib/page.ts';
import type { Scope } from '../lib/scope.ts';
import { storableJson, storableText } from '../lib/text.ts';
import { createTurns } from '../lib/turns.ts';
import type { RowBinding } from '../storage/bound-rows.ts';
import type { Database } from '../storage/database.ts';
import {
  deleteSchedule,
  findSchedule,
  insertSchedule,
  listSchedules,
  lockSchedule,
  type ScheduleRow,
  scheduleRan,
  updateSchedule,
} from '../storage/schedules.ts';
import type { TemplateService } from '../templates/types.ts';
import { createScheduleLoop, type ScheduleLoop } from './loop.ts';
import { occurrencesOf, upcoming } from './occurrences.ts';
import { boundValues, notAuthentic, scheduleOf } from './rows.ts';
import { createRunner, inputOf, originOf } from './runner.ts';
import { checkTiming } from './timing.ts';
import type { Action, Schedule, ScheduleService } from './types.ts';

/** Schedules in the database, and the loop that runs them. */
export interface Schedules extends ScheduleService, ScheduleLoop {}

export interface SchedulesDeps {
  database: Database;
  commands: Pick<CommandService, 'submit' | 'get'>;
  templates: Pick<TemplateService, 'render'>;
  /** Whether a command could be submitted, apart from its agents. @throws verb_unknown, invalid_args */
  check: (input: SubmitInput) => void;
  bus: Bus;
  clock: Pick<Clock, 'now'>;
  metrics: Pick<Metrics, 'scheduleRuns' | 'rowsForged'>;
  binding: RowBinding;
  log: Logger;
  audit: Pick<AuditTrail, 'during'>;
}

/** Milliseconds by which the clocks of two instances may differ. */
const clockSkewMs = 60_000;

export function createSchedules(deps: SchedulesDeps): Schedules {
  const { database, commands, templates, check, bus, clock, log, binding } = deps;
  const { query } = database;
  const { runDue } = createRunner(deps);
  const turns = createTurns();
  const loop = createScheduleLoop({ ...deps, runDue, turns });

  async function rowOf(name: string): Promise<ScheduleRow> {
    const row = await findSchedule(query, name);
    if (row === undefined) throw unknown(name);
    return row;
  }

  const get = async (name: string): Promise<Schedule> => scheduleOf(await rowOf(name));

  /** For whatever acts on what is stored, or stores it again. @throws not_authentic */
  function trusted(row: ScheduleRow): Schedule {
    if (!binding.holds('schedules', boundValues(row), row.binding)) throw notAuthentic(row.name);
    return scheduleOf(row);
  }

  /** What can be submitted as it is now. */
  async function checkAction(action: Action, within: Scope | undefined): Promise<void> {
    if ('command' in action && action.command.target === undefined)
      throw invalidField('action.command.target', 'must be given');
    try {
      check({ ...(await inputOf(action, templates)), within });
    } catch (thrown) {
      const parent = 'command' in action ? 'action.command' : 'action.template';
      throw withFieldsUnder(parent, ViworksError.from(thrown));
    }
  }

  type Values = Pick<Schedule, 'name' | 'description' | 'timing' | 'action' | 'actor' | 'scope' | 'enabled'>;

  /** @param revision that it gets */
  function valuesOf(values: Values, after: number, revision: number) {
    const nextAt = occurrencesOf(values.timing).after(after);
    const [timing, action] = [storableJson(values.timing), storableJson(values.action)];
    const scope = values.scope ?? null;
    // Over what will be read, and not over what is written: the two differ in what JSON leaves out.
    const read = { timing: JSON.parse(timing), action: JSON.parse(action), scope };
    return {
      ...values,
      description: storableText(values.description),
      timing,
      action,
      scope,
      binding: binding.bind('schedules', boundValues({ ...values, ...read, revision })),
      nextAt: nextAt === undefined ? null : new Date(nextAt),
    };
  }

  /**
   * Stores the next revision of a schedule, while nobody runs it. What is to come is found under the lock, so that
   * a time that was dealt with does not come again.
   * @param revision that it must have; undefined for any
   * @throws schedule_unknown, revision_conflict, not_authentic
   */
  async function change(
    name: string,
    revision: number | undefined,
    apply: (schedule: Schedule) => Values,
  ): Promise<Schedule> {
    const changed = await turns(() =>
      database.transaction(async (locked) => {
        const row = await lockSchedule(locked, name);
        if (row === undefined) throw unknown(name);
        if (revision !== undefined && row.revision !== revision) throw wrongRevision(name, row.revision);
        const now = clock.now();
        const lastAt = row.lastAt?.getTime() ?? 0;
        const after = lastAt <= now + clockSkewMs ? Math.max(now, lastAt) : now;
        const values = valuesOf(apply(trusted(row)), after, row.revision + 1);
        return updateSchedule(locked, values, new Date(now));
      }),
    );
    if (changed === undefined) throw unknown(name);
    bus.publish('schedules.changed', 'all');
    return scheduleOf(changed);
  }

  /** Pauses or resumes. */
  async function enable(name: string, enabled: boolean): Promise<Schedule> {
    const schedule = await get(name);
    return schedule.enabled === enabled
      ? schedule
      : change(name, undefined, (locked) => ({ ...locked, enabled }));
  }

  return {
    ...loop,
    get,

    async list(page, scope) {
      const after = keyBefore(page);
      const rows = await listSchedules(query, after, page.size + 1, scope);
      const { items, nextToken } = pageOf(rows, page.size, (row) => row.name);
      return { items: items.map(scheduleOf), nextToken };
    },

    async create(actor, { name, description = '', timing: asked, action, paused = false, within }) {
      const now = clock.now();
      const timing = checkTiming(asked, now);
      await checkAction(action, within);
      const enabled = !paused;
      const values = valuesOf({ name, description, timing, action, actor, scope: within, enabled }, now, 1);
      const row = await insertSchedule(query, values, new Date(now));
      if (row === undefined) {
        const problem = 'is the name of another schedule';
        throw invalidField('name', problem, 'revision_conflict');
      }
      bus.publish('schedules.changed', 'all');
      return scheduleOf(row);
    },

    async update(actor, name, revision, { description, timing, action, within }) {
      if (action !== undefined || within !== undefined)
        await checkAction(action ?? (await get(name)).action, within);
      const checked = timing && checkTiming(timing, clock.now());
      return change(name, revision, (schedule) => ({
        ...schedule,
        actor,
        scope: within,
        description: description ?? schedule.description,
        timing: checked ?? schedule.timing,
        action: action ?? schedule.action,
      }));
    },

    async delete(name, revision) {
      if (await turns(() => deleteSchedule(query, name, revision))) return;
      throw wrongRevision(name, (await get(name)).revision);
    },

    pause: (name) => enable(name, false),
    resume: (name) => enable(name, true),

    async run(actor, name, { idempotencyKey, within }) {
      const { action } = trusted(await rowOf(name));
      const input = await inputOf(action, templates);
      const origin = originOf(name);
      const command = await commands.submit(actor, { ...input, origin, idempotencyKey, within });
      const at = new Date(clock.now());
      await turns(() => scheduleRan(query, name, at, command.commandId)).catch((error: unknown) => {
        // It was submitted; who asked must not take it for refused, and submit it again.
        log.warn({ err: ViworksError.from(error), schedule: name }, 'cannot note the run of a schedule');
      });
      return command;
    },

    async next(of, count) {
      const now = clock.now();
      const timing = 'name' in of ? (await get(of.name)).timing : checkTiming(of.timing, now);
      return upcoming(occurrencesOf(timing), now, count).map((at) => new Date(at));
    },
  };
}

const unknown = (name: string) => new ViworksError('schedule_unknown', `There is no schedule ${name}.`);

const wrongRevision = (name: string, revision: number) =>
  invalidField('revision', `must be ${revision}, which the schedule ${name} has now`, 'revision_conflict');
