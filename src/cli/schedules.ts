import type { Command } from 'commander';
import type { ScheduleView } from '../api/schemas/schedules.ts';
import { defined } from '../lib/defined.ts';
import type { Client } from './client.ts';
import { noteApproval } from './command-view.ts';
import { type CliContext, type ClientOptions, clientOf, withClientOptions } from './context.ts';
import { UsageError } from './failure.ts';
import { follow } from './follow.ts';
import { catalogueWith } from './known-verbs.ts';
import { wholeNumber } from './options.ts';
import {
  type ActionOptions,
  actionOf,
  type TimingOptions,
  timingOf,
  withActionOptions,
  withTimingOptions,
} from './schedule-options.ts';
import { printable, printTable, since } from './terminal.ts';

/** `viworks schedules`: commands that are submitted at their times. */

interface ListOptions extends ClientOptions {
  limit: number;
}
interface ChangeOptions extends ClientOptions, TimingOptions, ActionOptions {
  description?: string;
  paused?: boolean;
  revision?: number;
}
interface NextOptions extends ClientOptions, TimingOptions {
  count: number;
}

export function schedulesCommand(program: Command, context: CliContext, exit: (code: number) => void): void {
  const schedules = program
    .command('schedules')
    .summary('list, make, change, pause and run schedules')
    .description('Commands that are submitted at their times.')
    .addHelpText(
      'after',
      `
Examples:
  viworks schedules create nightly --cron "30 3 * * 1-5" --time-zone Europe/Berlin exec --all -- apt-get update
  viworks schedules create reboot --at 2030-01-31T03:00:00Z --template reboot --param delay=5 --site berlin
  viworks schedules next nightly --count 3
  viworks schedules next --cron "*/10 * * * *"
  viworks schedules update nightly --cron "0 4 * * *"
  viworks schedules run nightly`,
    );
  withClientOptions(
    schedules
      .command('list', { isDefault: true })
      .description('List schedules by name.')
      .option('--limit <number>', 'at most so many', wholeNumber(1, 1000), 100),
  ).action((options: ListOptions) => list(context, options));

  withClientOptions(schedules.command('get <name>').description('Show one schedule.')).action(
    async (name: string, options: ClientOptions) => {
      const { schedule } = await clientOf(context, options).schedules.get.query({ name });
      show(context, options, schedule);
    },
  );

  const options = (command: Command) =>
    withClientOptions(
      withActionOptions(withTimingOptions(command.option('--description <text>', 'what it is for'))),
    );
  options(
    schedules
      .command('create <name> [verb] [args...]')
      .description('Make a schedule: --cron or --at, and a verb or --template.')
      .option('--paused', 'it begins when somebody resumes it'),
  ).action((name: string, verb: string | undefined, args: string[], given: ChangeOptions) =>
    create(context, name, verb, args, given),
  );
  options(
    schedules
      .command('update <name> [verb] [args...]')
      .description('Change a schedule; what is not given stays as it is.')
      .option('--revision <number>', 'only if it has this one', wholeNumber(1, 2_147_483_647)),
  ).action((name: string, verb: string | undefined, args: string[], given: ChangeOptions) =>
    update(context, name, verb, args, given),
  );

  for (const turn of ['pause', 'resume'] as const) {
    const what = turn === 'pause' ? 'Submit nothing until it is resumed.' : 'Go on with the next time.';
    withClientOptions(schedules.command(`${turn} <name>`).description(what)).action(
      async (name: string, given: ClientOptions) => {
        const { schedule } = await clientOf(context, given).schedules[turn].mutate({ name });
        show(context, given, schedule);
      },
    );
  }

  withClientOptions(
    schedules
      .command('delete <name>')
      .description('Delete a schedule; its commands go on.')
      .option('--revision <number>', 'only if it has this one', wholeNumber(1, 2_147_483_647)),
  ).action(async (name: string, given: ChangeOptions) => {
    const { revision } = given;
    await clientOf(context, given).schedules.delete.mutate({
      name,
      ...defined({ revision }),
    });
    if (given.json) context.terminal.json({});
    else context.terminal.note(`deleted ${name}`);
  });

  withClientOptions(
    withTimingOptions(
      schedules
        .command('next [name]')
        .description('Show when a schedule will run, or one that would have --cron or --at.')
        .option('--count <number>', 'so many times', wholeNumber(1, 1000), 10),
    ),
  ).action((name: string | undefined, given: NextOptions) => next(context, name, given));

  withClientOptions(
    schedules
      .command('run <name>')
      .description('Submit its command now and follow it to its end.')
      .option('--idempotency-key <key>', 'the same key again gives the first command')
      .option('--no-wait', 'print the id of the command and leave'),
  ).action(async (name: string, given: ClientOptions & { idempotencyKey?: string; wait: boolean }) => {
    exit(await run(context, name, given));
  });
}

async function list(context: CliContext, options: ListOptions): Promise<void> {
  const { terminal } = context;
  const { schedules } = await clientOf(context, options).schedules.list.query({ pageSize: options.limit });
  if (options.json) return terminal.json(schedules);
  if (schedules.length === 0) return terminal.line('No schedules. See: viworks schedules create --help');
  const rows = schedules.map((schedule) => [
    schedule.name,
    whenLine(schedule),
    whatLine(schedule),
    nextLine(schedule),
    since(schedule.lastAt, Date.now()),
    schedule.lastError === undefined ? 'ok' : schedule.lastError,
  ]);
  printTable(terminal, ['NAME', 'WHEN', 'WHAT', 'NEXT', 'LAST', 'STATE'], rows);
}

async function create(
  context: CliContext,
  name: string,
  verb: string | undefined,
  args: readonly string[],
  options: ChangeOptions,
): Promise<void> {
  const timing = timingOf(options);
  if (timing === undefined) throw new UsageError('say when it runs by one of --cron and --at');
  const client = clientOf(context, options);
  const action = actionOf(verb, args, options, await typesOf(client, verb));
  if (action === undefined) throw new UsageError('say what it submits by a verb or --template');
  const { description = '', paused = false } = options;
  const input = { name, description, timing, action, paused };
  const { schedule } = await client.schedules.create.mutate(input);
  show(context, options, schedule);
}

async function update(
  context: CliContext,
  name: string,
  verb: string | undefined,
  args: readonly string[],
  options: ChangeOptions,
): Promise<void> {
  const client = clientOf(context, options);
  const action = actionOf(verb, args, options, await typesOf(client, verb));
  const { schedule: before } = await client.schedules.get.query({ name });
  const timing = timingOf(options, before.timing);
  const { description, revision = before.revision } = options;
  const { schedule } = await client.schedules.update.mutate({
    name,
    revision,
    ...defined({ description, timing, action }),
  });
  show(context, options, schedule);
}

const typesOf = async (client: Client, verb: string | undefined) =>
  verb === undefined ? undefined : catalogueWith(client, verb);

async function next(context: CliContext, name: string | undefined, options: NextOptions): Promise<void> {
  const { terminal } = context;
  const timing = timingOf(options);
  if ((name === undefined) === (timing === undefined))
    throw new UsageError('give the name of a schedule, or --cron or --at');
  const { schedules } = clientOf(context, options);
  const { count } = options;
  const { occurrences } =
    timing === undefined
      ? await schedules.next.query({ name: name ?? '', count })
      : await schedules.next.query({ timing, count });
  if (options.json) return terminal.json(occurrences);
  if (occurrences.length === 0) return terminal.line('It does not run any more.');
  for (const time of occurrences) terminal.line(time);
}

async function run(
  context: CliContext,
  name: string,
  options: ClientOptions & { idempotencyKey?: string; wait: boolean },
): Promise<number> {
  const { terminal } = context;
  const { idempotencyKey, wait } = options;
  const client = clientOf(context, options);
  const key = idempotencyKey === undefined ? {} : { idempotencyKey };
  const { command } = await client.schedules.run.mutate({ name, ...key });
  const json = options.json === true;
  if (!wait) {
    if (json) terminal.json(command);
    else terminal.line(command.commandId);
    noteApproval(terminal, command);
    return 0;
  }
  if (json) terminal.json({ event: 'submitted', command });
  return follow(client, terminal, command.commandId, { json });
}

function show({ terminal }: CliContext, options: ClientOptions, schedule: ScheduleView): void {
  if (options.json) return terminal.json(schedule);
  const { name, description, timing, actor, revision, lastAt, lastCommandId, lastError } = schedule;
  terminal.line(`schedule  ${name}, revision ${revision}, in the name of ${actor}`);
  if (description !== '') terminal.line(`          ${printable(description)}`);
  const { missed, catchUpWithinMs, overlap } = timing;
  const late = missed === 'once' ? `once, within ${catchUpWithinMs / 1000} s` : missed;
  terminal.line(`when      ${whenLine(schedule)}; missed: ${late}; overlap: ${overlap}`);
  terminal.line(`what      ${whatLine(schedule)}`);
  terminal.line(`next      ${nextLine(schedule)}`);
  if (lastAt !== undefined) terminal.line(`last      ${lastAt}`);
  if (lastCommandId !== undefined) terminal.line(`command   ${lastCommandId}`);
  if (lastError !== undefined) terminal.line(`problem   ${printable(lastError)}`);
}

const whenLine = ({ timing }: ScheduleView): string =>
  'at' in timing ? `at ${timing.at}` : `${timing.cron} (${timing.timeZone})`;

const nextLine = ({ enabled, nextAt = 'nothing to come' }: ScheduleView): string =>
  enabled ? nextAt : 'paused';

function whatLine({ action }: ScheduleView): string {
  if ('template' in action) {
    const { name, params, target } = action.template;
    const where = target === undefined ? '' : ` on ${JSON.stringify(target)}`;
    return `template ${name} ${JSON.stringify(params)}${where}`;
  }
  const { verb, args, target } = action.command;
  return `${verb} ${JSON.stringify(args)} on ${JSON.stringify(target)}`;
}
