import { onTestFinished } from 'vitest';
import { checkSpec } from '../../src/commands/specs.ts';
import { silentLogger } from '../../src/lib/logger.ts';
import { createMetrics } from '../../src/lib/metrics.ts';
import { createSchedules, type Schedules, type SchedulesDeps } from '../../src/schedules/schedules.ts';
import { createTemplates } from '../../src/templates/templates.ts';
import type { TemplateService } from '../../src/templates/types.ts';
import type { Core } from './app-core.ts';

export interface Automation {
  templates: TemplateService;
  schedules: Schedules;
}

/** Templates and schedules over a core; several over one are what several instances are. */
export function automationOf(core: Core, over: Partial<SchedulesDeps> = {}): Automation {
  const { database, bus, clock, engine: commands } = core;
  const check = (input: Parameters<typeof checkSpec>[0]) =>
    void checkSpec(input, { timeToLiveMs: 3_600_000 });
  const templates = createTemplates({ database, commands, check, clock });
  const log = silentLogger;
  const metrics = createMetrics();
  const schedules = createSchedules({
    database,
    bus,
    commands,
    clock,
    templates,
    check,
    log,
    metrics,
    ...over,
  });
  onTestFinished(schedules.stop);
  return { templates, schedules };
}
