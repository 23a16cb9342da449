import { type Command, Option } from 'commander';
import type { AppInputs } from '../api/trpc/router.ts';
import { priorities } from '../commands/types.ts';
import { defined } from '../lib/defined.ts';
import type { VerbCatalogue } from '../protocol/verbs.ts';
import { UsageError } from './failure.ts';
import { collect, duration, wholeNumber } from './options.ts';
import { paramsOf } from './params.ts';
import { type RolloutOptions, withRolloutOptions } from './rollout-options.ts';
import { submitInputOf } from './run.ts';
import { refuseVerbOptions } from './run-template.ts';
import { optionalTargetOf, type TargetOptions, withTargetOptions } from './target.ts';

/** How a person says when a schedule runs and what it submits. */

export interface TimingOptions {
  cron?: string;
  at?: string;
  timeZone?: string;
  missed?: 'skip' | 'once';
  catchUpWithin?: number;
  overlap?: 'allow' | 'skip';
}

export function withTimingOptions(command: Command): Command {
  return command
    .option(
      '--cron <expression>',
      'again and again: minute hour day month weekday, a second before them at will',
    )
    .option('--at <time>', 'once, for example 2030-01-31T03:00:00Z')
    .option('--time-zone <name>', 'of --cron, for example Europe/Berlin (default: UTC)')
    .addOption(
      new Option('--missed <policy>', 'runs that no server was there for (default: skip)').choices([
        'skip',
        'once',
      ]),
    )
    .option('--catch-up-within <duration>', 'how late --missed once may run (default: 1h)', duration)
    .addOption(
      new Option('--overlap <policy>', 'while the command before has not ended (default: allow)').choices([
        'allow',
        'skip',
      ]),
    );
}

type Timing = AppInputs['schedules']['create']['timing'];

/** Undefined where nothing was said. @param before what options change, where they do not say when @throws UsageError */
export function timingOf(options: TimingOptions, before?: Timing): Timing | undefined {
  const { cron, at, timeZone, missed, catchUpWithin, overlap } = options;
  const policy = {
    ...defined({ missed, catchUpWithinMs: catchUpWithin, overlap }),
  };
  const kept = before && {
    missed: before.missed,
    catchUpWithinMs: before.catchUpWithinMs,
    overlap: before.overlap,
  };
  if (cron !== undefined && at !== undefined) throw new UsageError('choose one of --cron and --at');
  if (at !== undefined) {
    if (timeZone !== undefined) throw new UsageError('--time-zone: is for --cron; --at has its own');
    return { at: timeOf(at), ...kept, ...policy };
  }
  const old = before !== undefined && 'cron' in before ? before : undefined;
  if (cron !== undefined || (timeZone !== undefined && old !== undefined)) {
    const zone = timeZone ?? old?.timeZone;
    return {
      cron: cron ?? old?.cron ?? '',
      ...defined({ timeZone: zone }),
      ...kept,
      ...policy,
    };
  }
  if (timeZone !== undefined) throw new UsageError('--time-zone: is for --cron');
  if (Object.keys(policy).length === 0) return undefined;
  if (before === undefined) throw new UsageError('say when it runs by one of --cron and --at');
  return { ...before, ...policy };
}

/** A time without Z or an offset means another one on each machine. */
function timeOf(text: string): string {
  if (!/^\d{4}-\d\d-\d\dT.+(Z|[+-]\d\d:\d\d)$/.test(text) || Number.isNaN(Date.parse(text)))
    throw new UsageError('--at: must be a time with Z or an offset, for example 2030-01-31T03:00:00+01:00');
  return new Date(text).toISOString();
}

export interface ActionOptions extends TargetOptions, RolloutOptions {
  priority?: (typeof priorities)[number];
  retries?: number;
  template?: string;
  param?: string[];
  arg?: string[];
  args?: string;
  timeout?: number;
  ttl?: number;
}

export function withActionOptions(command: Command): Command {
  const withVerb = command
    .option('--template <name>', 'submit this template in place of a verb')
    .option('--param <name=value>', 'a value for the template; repeat for more', collect)
    .option(
      '--arg <name=value>',
      'one arg of the verb; repeat for more, or for more items of a list',
      collect,
    )
    .option('--args <json>', 'args as a JSON object')
    .addOption(new Option('--priority <priority>', 'before or after other commands').choices(priorities))
    .option('--timeout <duration>', "how long it may run (default: the verb's own)", duration)
    .option('--ttl <duration>', 'how long it may wait for its agents (default: 1h)', duration)
    .option(
      '--retries <n>',
      'further attempts after a failure, where the verb allows it',
      wholeNumber(0, 10),
    );
  return withRolloutOptions(withTargetOptions(withVerb), duration);
}

type Action = AppInputs['schedules']['create']['action'];

/** Undefined where nothing was said. @throws UsageError, verb_unknown */
export function actionOf(
  verb: string | undefined,
  positional: readonly string[],
  options: ActionOptions,
  catalogue?: VerbCatalogue,
): Action | undefined {
  const { template, param } = options;
  if (template !== undefined) {
    if (verb !== undefined) throw new UsageError('give a verb or --template, not both');
    refuseVerbOptions(options, 'is for a verb; the template says it');
    return { template: { name: template, params: paramsOf(param), ...optionalTargetOf(options) } };
  }
  if (param !== undefined) throw new UsageError('--param: is for --template');
  if (verb !== undefined) return { command: submitInputOf(verb, positional, options, catalogue) };
  refuseVerbOptions(options, 'needs a verb', ['agent', 'site', 'select', 'all', 'anyOne']);
  return undefined;
}
