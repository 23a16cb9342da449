import { beforeEach, onTestFinished } from 'vitest';
import type { CommandService } from '../../src/commands/service.ts';
import { checkSpec } from '../../src/commands/submission/specs.ts';
import { createRowBinding } from '../../src/identity/row-binding.ts';
import { silentLogger } from '../../src/lib/logger.ts';
import { createMetrics } from '../../src/lib/metrics.ts';
import { builtInCatalogue } from '../../src/protocol/verbs.ts';
import { createSchedules, type Schedules, type SchedulesDeps } from '../../src/schedules/schedules.ts';
import type { ScheduleInput } from '../../src/schedules/types.ts';
import { statement } from '../../src/storage/database.ts';
import { createTemplates } from '../../src/templates/templates.ts';
import type { TemplateService } from '../../src/templates/types.ts';
import { type Core, createTestClock, testCommandSecret } from './app-core.ts';
import { startFileCore } from './app-core-file.ts';
import { enrolled } from './fake-agent.ts';

export interface Automation {
  templates: TemplateService;
  schedules: Schedules;
}

/** Templates and schedules over a core; several over one are what several instances are. */
export function automationOf(core: Core, over: Partial<SchedulesDeps> = {}): Automation {
  const { database, bus, clock, engine: commands } = core;
  const check = (input: Parameters<typeof checkSpec>[0]) =>
    void checkSpec(input, { timeToLiveMs: 3_600_000, verbs: builtInCatalogue });
  const log = silentLogger;
  const metrics = createMetrics();
  const binding = createRowBinding(testCommandSecret);
  const templates = createTemplates({ database, commands, check, clock, binding, metrics, log });
  const schedules = createSchedules({
    database,
    bus,
    commands,
    clock,
    templates,
    check,
    log,
    metrics,
    audit: core.audit.trail,
    binding,
    ...over,
  });
  onTestFinished(schedules.stop);
  return { templates, schedules };
}

/** For a file: a core with an agent in berlin, a quarter of an hour before a full hour; no schedules as a test begins. */
export async function startAutomationCore(): Promise<Core> {
  const { core } = await startFileCore({ clock: createTestClock(Date.parse('2026-05-04T02:45:00Z')) });
  await enrolled(core, 'agent-1', { site: 'berlin' });
  beforeEach(() => core.database.query(statement('test_clear', 'delete from schedules'), []));
  return core;
}

/** Commands of the core, where something happens before or after each submit. */
export const around = (
  core: Core,
  hooks: { before?: () => unknown; after?: () => unknown },
): CommandService => ({
  ...core.engine,
  async submit(actor, input) {
    await hooks.before?.();
    const command = await core.engine.submit(actor, input);
    await hooks.after?.();
    return command;
  },
});

/** A command that waits for the agents of the site berlin. */
export const action = { command: { verb: 'exec', args: { argv: ['true'] }, target: { site: 'berlin' } } };

export const hourly = (name: string, more: Partial<ScheduleInput['timing']> = {}): ScheduleInput => ({
  name,
  timing: { cron: '0 * * * *', ...more } as ScheduleInput['timing'],
  action,
});

/** Commands that a schedule submitted, oldest first. */
export async function submittedBy(core: Core, name: string) {
  const { items } = await core.engine.list({}, { size: 1000 });
  return items.filter(({ origin }) => origin === `schedule:${name}`).reverse();
}

const hourMs = 3_600_000;

/** Moves the clock to so many milliseconds after the next full hour. */
export function toHour({ clock }: Core, afterMs = 0): void {
  clock.advance(hourMs - (clock.now() % hourMs) + afterMs);
}

/** The last full hour. */
export const fullHour = ({ clock }: Core): Date => new Date(clock.now() - (clock.now() % hourMs));
