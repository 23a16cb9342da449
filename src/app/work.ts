import { createCommandEngine } from '../commands/engine.ts';
import { checkSpec } from '../commands/submission/specs.ts';
import type { SubmitInput } from '../commands/types.ts';
import { createCommandBinding } from '../identity/command-binding.ts';
import { createRowBinding } from '../identity/row-binding.ts';
import type { VerbCatalogue } from '../protocol/verbs.ts';
import { createSchedules } from '../schedules/schedules.ts';
import { createTemplates } from '../templates/templates.ts';
import { commandLimitsOf } from './command-limits.ts';
import type { Foundation } from './foundation.ts';

/** What agents are asked to do: commands, templates of them, and their times. */
export function composeWork(foundation: Foundation, verbs: VerbCatalogue, sweepIntervalMs = 500) {
  const { config, clock, log, metrics, bus, database, trail, secrets, resources } = foundation;
  const { commandSecret } = secrets;
  const { add } = resources;
  const defaults = {
    verbs,
    timeToLiveMs: Math.round(config.command.time_to_live * 1000),
    timeoutMs: config.command.command_timeout && Math.round(config.command.command_timeout * 1000),
    maxRetries: config.command.max_retries,
    approval: config.command.approval,
  };
  const engine = createCommandEngine({
    database,
    bus,
    clock,
    log,
    metrics,
    audit: trail,
    binding: createCommandBinding(commandSecret),
    settings: {
      ...defaults,
      keepMs: Math.round(config.command.retention * 86_400_000),
      maximumWaiting: 100_000,
      ...commandLimitsOf(config.command),
      sweepIntervalMs,
    },
  });
  engine.start();
  add('command engine', engine.stop);
  const check = (input: SubmitInput) => void checkSpec(input, defaults);
  const rowBinding = createRowBinding(commandSecret);
  const templates = createTemplates({
    database,
    commands: engine,
    check,
    clock,
    binding: rowBinding,
    metrics,
    log,
  });
  const schedules = createSchedules({
    database,
    commands: engine,
    templates,
    check,
    bus,
    clock,
    metrics,
    log,
    audit: trail,
    binding: rowBinding,
  });
  schedules.start();
  add('schedules', schedules.stop);
  return { engine, templates, schedules };
}
