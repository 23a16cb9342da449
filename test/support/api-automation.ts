import type { CommandService } from '../../src/commands/service.ts';
import { ViworksError } from '../../src/errors.ts';
import type { PageRequest } from '../../src/lib/page.ts';
import type { Schedule, ScheduleService, Timing } from '../../src/schedules/types.ts';
import { renderTemplate } from '../../src/templates/render.ts';
import type { Template, TemplateService } from '../../src/templates/types.ts';

/** Templates and schedules of a core in memory: kept as they are said, and nothing runs by itself. */

const then = new Date('2030-01-01T00:00:00.000Z');

const page = <T>(items: Map<string, T>, { size }: PageRequest) => ({
  items: [...items.values()].slice(0, size),
  nextToken: undefined,
});

function found<T extends { revision: number }>(
  items: Map<string, T>,
  what: 'template' | 'schedule',
  name: string,
  revision?: number,
): T {
  const item = items.get(name);
  if (item === undefined) throw new ViworksError(`${what}_unknown`, `There is no ${what} ${name}.`);
  if (revision !== undefined && revision !== item.revision)
    throw new ViworksError('revision_conflict', `It has ${item.revision}.`);
  return item;
}

function memoryTemplates(commands: Pick<CommandService, 'submit'>): TemplateService {
  const templates = new Map<string, Template>();
  const find = (name: string, revision?: number) => found(templates, 'template', name, revision);
  return {
    list: async (request) => page(templates, request),
    get: async (name) => find(name),
    async save(actor, input, revision) {
      if (revision !== undefined) find(input.name, revision);
      const saved = { description: '', ...input, updatedBy: actor, createdAt: then, updatedAt: then };
      const template = { ...saved, revision: (revision ?? 0) + 1 } as Template;
      templates.set(input.name, template);
      return template;
    },
    async delete(name, revision) {
      find(name, revision);
      templates.delete(name);
    },
    render: async (name, use) => renderTemplate(find(name), use),
    run: (actor, name, use, options) =>
      commands.submit(actor, { ...renderTemplate(find(name), use), ...options }),
  };
}

function memorySchedules(commands: Pick<CommandService, 'submit'>): ScheduleService {
  const schedules = new Map<string, Schedule>();
  const find = (name: string, revision?: number) => found(schedules, 'schedule', name, revision);
  const timingOf = (input: object): Timing =>
    ({
      ...('cron' in input && { timeZone: 'UTC' }),
      missed: 'skip',
      catchUpWithinMs: 3_600_000,
      overlap: 'allow',
      ...set(input),
    }) as Timing;
  const change = (name: string, values: Partial<Schedule>) => {
    const schedule = find(name);
    return Object.assign(schedule, set(values), { revision: schedule.revision + 1 });
  };
  return {
    list: async (request) => page(schedules, request),
    get: async (name) => find(name),
    async create(actor, { name, description = '', timing, action, paused = false }) {
      const schedule: Schedule = {
        name,
        description,
        timing: timingOf(timing),
        action,
        enabled: !paused,
        actor,
        scope: undefined,
        revision: 1,
        nextAt: then,
        lastAt: undefined,
        lastCommandId: undefined,
        lastError: 'Missed: 3.',
        createdAt: then,
        updatedAt: then,
      };
      schedules.set(name, schedule);
      return schedule;
    },
    async update(actor, name, revision, { timing, ...values }) {
      find(name, revision);
      return change(name, {
        ...values,
        actor,
        ...(timing && { timing: timingOf(timing) }),
      } as Partial<Schedule>);
    },
    async delete(name, revision) {
      find(name, revision);
      schedules.delete(name);
    },
    pause: async (name) => change(name, { enabled: false }),
    resume: async (name) => change(name, { enabled: true }),
    async run(actor, name, { idempotencyKey }) {
      const { action } = find(name);
      if (!('command' in action) || action.command.target === undefined) throw new Error('not in this core');
      return commands.submit(actor, { ...action.command, target: action.command.target, idempotencyKey });
    },
    async next(of, count) {
      if ('name' in of) find(of.name);
      return Array.from({ length: count }, (_, index) => new Date(then.getTime() + index * 60_000));
    },
  };
}

const set = <T extends object>(values: T): Partial<T> =>
  Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as Partial<T>;

export const memoryAutomation = (commands: Pick<CommandService, 'submit'>) => ({
  templates: memoryTemplates(commands),
  schedules: memorySchedules(commands),
});
