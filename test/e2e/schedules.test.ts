import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { CommandService } from '../../src/commands/types.ts';
import { ViworksError } from '../../src/errors.ts';
import { systemClock } from '../../src/lib/clock.ts';
import type { ScheduleInput } from '../../src/schedules/types.ts';
import { statement } from '../../src/storage/database.ts';
import { type Core, createTestClock, startCore } from '../support/app-core.ts';
import { automationOf } from '../support/automation.ts';
import { enrolled } from '../support/fake-agent.ts';
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts';

let database: TestDatabase;
let core: Core;

const minuteMs = 60_000;

beforeAll(async () => {
  database = await createTestDatabase();
  // A quarter of an hour before the first time of `daily`.
  core = await startCore(database.url, { clock: createTestClock(Date.parse('2026-05-04T02:45:00Z')) });
  await enrolled(core, 'agent-1', { site: 'berlin' });
});

afterAll(async () => {
  await core.stop();
  await database.drop();
});

beforeEach(async () => {
  await core.database.query(statement('test_clear', 'delete from schedules'), []);
});

const action = { command: { verb: 'exec', args: { argv: ['true'] }, target: { site: 'berlin' } } };
const daily = (name: string, more: Partial<ScheduleInput['timing']> = {}): ScheduleInput => ({
  name,
  timing: { cron: '0 * * * *', ...more } as ScheduleInput['timing'],
  action,
});

/** Commands that a schedule submitted, oldest first. */
async function submitted(name: string) {
  const { items } = await core.engine.list({}, { size: 1000 });
  return items.filter(({ origin }) => origin === `schedule:${name}`).reverse();
}
const forward = (ms: number) => core.clock.advance(ms);
/** Moves the clock to so many milliseconds after the next full hour. */
const toHour = (afterMs = 0) => forward(60 * minuteMs - (core.clock.now() % (60 * minuteMs)) + afterMs);
const hourAgo = () => new Date(core.clock.now() - (core.clock.now() % (60 * minuteMs)));

/** Commands of the core, where something happens before or after each submit. */
const around = (hooks: { before?: () => unknown; after?: () => unknown }): CommandService => ({
  ...core.engine,
  async submit(actor, input) {
    await hooks.before?.();
    const command = await core.engine.submit(actor, input);
    await hooks.after?.();
    return command;
  },
});

describe('a schedule', () => {
  test('submits at its time, once, in the name of its actor', async () => {
    const { schedules } = automationOf(core);
    const { nextAt } = await schedules.create('ada', daily('once-an-hour'));
    expect(await schedules.look()).toBe(0);
    toHour();
    expect(nextAt).toEqual(hourAgo());
    expect(await schedules.look()).toBe(1);
    expect(await schedules.look()).toBe(0);
    const [command, ...more] = await submitted('once-an-hour');
    expect(more).toEqual([]);
    expect(command).toMatchObject({ actor: 'ada', verb: 'exec' });
    const schedule = await schedules.get('once-an-hour');
    expect(schedule).toMatchObject({ lastCommandId: command?.commandId, lastAt: hourAgo(), revision: 1 });
    expect(schedule.nextAt?.getTime()).toBe(hourAgo().getTime() + 60 * minuteMs);
    expect(schedule.lastError).toBeUndefined();
  });

  test('that is for one time has nothing to come after it', async () => {
    const { schedules } = automationOf(core);
    const at = new Date(core.clock.now() + minuteMs).toISOString();
    await schedules.create('ada', { name: 'one-time', timing: { at }, action });
    forward(minuteMs);
    await schedules.look();
    expect(await submitted('one-time')).toHaveLength(1);
    expect((await schedules.get('one-time')).nextAt).toBeUndefined();
    expect(await schedules.next({ name: 'one-time' }, 5)).toEqual([]);
  });

  test('submits what its template makes at that moment', async () => {
    const { schedules, templates } = automationOf(core);
    const command = { verb: 'exec', args: { argv: ['echo', '{{what}}'] } };
    const parameters = [{ name: 'what', type: 'string' as const }];
    const saved = await templates.save('ada', { name: 'say', parameters, command }, undefined);
    const use = { name: 'say', params: { what: 'hi' }, target: { site: 'berlin' } };
    await schedules.create('ada', { ...daily('by-template'), action: { template: use } });
    const louder = { ...command, args: { argv: ['echo', 'LOUD', '{{what}}'] } };
    await templates.save('bob', { name: 'say', parameters, command: louder }, saved.revision);
    toHour();
    await schedules.look();
    expect(await submitted('by-template')).toMatchObject([{ args: { argv: ['echo', 'LOUD', 'hi'] } }]);

    await templates.delete('say', undefined);
    toHour();
    expect(await schedules.look()).toBe(1);
    expect((await schedules.get('by-template')).lastError).toBe('There is no template say.');
    expect(await submitted('by-template')).toHaveLength(1);
  });

  test('is run by one of two instances that look at the same time', async () => {
    const instances = [automationOf(core), automationOf(core)];
    const names = Array.from({ length: 50 }, (_, index) => `both-${index}`);
    for (const name of names) await instances[0]?.schedules.create('ada', daily(name));
    toHour();
    const counts = await Promise.all(instances.map(({ schedules }) => schedules.look()));
    // One may be done while the other still holds rows.
    const late = await Promise.all(instances.map(({ schedules }) => schedules.look()));
    expect([...counts, ...late].reduce((sum, count) => sum + count)).toBe(50);
    for (const name of names) expect(await submitted(name)).toHaveLength(1);
  });
});

describe('killed between the submit and the note of it', () => {
  /** Ends the connection that holds the row, as the end of a process does. */
  const kill = () =>
    core.database.query(
      statement(
        'test_kill',
        `select pg_terminate_backend(pid) from pg_stat_activity
         where datname = current_database() and state = 'idle in transaction'`,
      ),
      [],
    );

  test.each([
    ['at once', 0],
    ['hours later', 3 * 60 * minuteMs],
  ])('the same command is found by whoever looks next, %s', async (_when, laterMs) => {
    const dying = automationOf(core, { commands: around({ after: kill }) });
    await dying.schedules.create('ada', daily('killed'));
    toHour();
    const before = (await submitted('killed')).length;
    await expect(dying.schedules.look()).rejects.toMatchObject({ code: 'database_unavailable' });
    expect((await dying.schedules.get('killed')).nextAt).toEqual(hourAgo());
    const at = hourAgo();

    forward(laterMs);
    const { schedules } = automationOf(core);
    expect(await schedules.look()).toBe(1);
    const commands = await submitted('killed');
    expect(commands).toHaveLength(before + 1);
    expect(await schedules.get('killed')).toMatchObject({
      lastAt: at,
      lastCommandId: commands.at(-1)?.commandId,
      lastError: undefined,
    });
  });

  test('also when its template has changed since', async () => {
    const dying = automationOf(core, { commands: around({ after: kill }) });
    const { templates } = dying;
    const template = (text: string) => ({
      name: 'changing',
      parameters: [],
      command: { verb: 'exec', args: { argv: ['echo', text] }, target: { site: 'berlin' } },
    });
    await templates.save('ada', template('one'), undefined);
    await dying.schedules.create('ada', {
      ...daily('changed'),
      action: { template: { name: 'changing', params: {} } },
    });
    toHour();
    await expect(dying.schedules.look()).rejects.toThrow();
    await templates.save('ada', template('two'), 1);
    const { schedules } = automationOf(core);
    expect(await schedules.look()).toBe(1);
    const [command, ...more] = await submitted('changed');
    expect(more).toEqual([]);
    expect(command?.args).toEqual({ argv: ['echo', 'one'] });
    expect(await schedules.get('changed')).toMatchObject({ lastCommandId: command?.commandId });
  });
});

describe('runs that nobody was there for', () => {
  test('are left out and counted', async () => {
    const { schedules } = automationOf(core);
    await schedules.create('ada', daily('skipping'));
    toHour(3 * 60 * minuteMs + 2 * minuteMs);
    expect(await schedules.look()).toBe(1);
    expect(await submitted('skipping')).toEqual([]);
    const schedule = await schedules.get('skipping');
    expect(schedule.lastError).toMatch(/^Missed: 4 since .* \(2m late, and 1m is allowed\)\.$/);
    expect(schedule.nextAt?.getTime()).toBe(hourAgo().getTime() + 60 * minuteMs);
    toHour();
    await schedules.look();
    expect(await submitted('skipping')).toHaveLength(1);
    expect((await schedules.get('skipping')).lastError).toBeUndefined();
  });

  test('are made up for by one, if that is wanted and it is not too late', async () => {
    const { schedules } = automationOf(core);
    await schedules.create('ada', daily('catching', { missed: 'once', catchUpWithinMs: 10 * minuteMs }));
    toHour(3 * 60 * minuteMs + 9 * minuteMs);
    await schedules.look();
    expect(await submitted('catching')).toHaveLength(1);
    expect((await schedules.get('catching')).lastError).toMatch(/^Runs before it were missed: 3 since /);
    toHour(11 * minuteMs);
    await schedules.look();
    expect(await submitted('catching')).toHaveLength(1);
    expect((await schedules.get('catching')).lastError).toMatch(/^Missed: the one of /);
  });

  test('while it was paused are not made up for', async () => {
    const { schedules } = automationOf(core);
    await schedules.create('ada', daily('pausing', { missed: 'once' }));
    expect((await schedules.pause('pausing')).enabled).toBe(false);
    toHour();
    expect(await schedules.look()).toBe(0);
    const { nextAt } = await schedules.resume('pausing');
    expect(nextAt?.getTime()).toBe(hourAgo().getTime() + 60 * minuteMs);
    expect(await schedules.look()).toBe(0);
    toHour();
    await schedules.look();
    expect(await submitted('pausing')).toHaveLength(1);
  });
});

describe('what cannot be submitted', () => {
  test('is kept on its schedule, and others go on', async () => {
    const { schedules } = automationOf(core);
    const nowhere = { command: { ...action.command, target: { site: 'nowhere' } } };
    await schedules.create('ada', { ...daily('a-nowhere'), action: nowhere });
    await schedules.create('ada', daily('b-somewhere'));
    toHour();
    expect(await schedules.look()).toBe(2);
    const { lastError, nextAt } = await schedules.get('a-nowhere');
    expect(lastError).toMatch(/nowhere/);
    expect(nextAt?.getTime()).toBeGreaterThan(core.clock.now());
    expect(await submitted('b-somewhere')).toHaveLength(1);
  });

  test('because the queue is full is tried again, and given up in the end', async () => {
    let full = true;
    const commands = around({
      before: () => {
        if (full) throw new ViworksError('queue_full', 'The queue is full.', { retryAfterMs: 20_000 });
      },
    });
    const { schedules } = automationOf(core, { commands });
    await schedules.create('ada', daily('refused'));
    toHour();
    expect(await schedules.look()).toBe(0);
    expect(await schedules.get('refused')).toMatchObject({
      lastError: 'Is tried again: The queue is full.',
      nextAt: hourAgo(),
    });
    full = false;
    forward(19_000);
    expect(await schedules.look()).toBe(0);
    forward(1000);
    expect(await schedules.look()).toBe(1);
    expect(await schedules.get('refused')).toMatchObject({ lastAt: hourAgo(), lastError: undefined });
    expect(await submitted('refused')).toHaveLength(1);

    full = true;
    toHour();
    const looks: number[] = [];
    for (let tries = 0; tries < 4; tries++) {
      looks.push(await schedules.look());
      forward(20_000);
    }
    expect(looks).toEqual([0, 0, 0, 1]);
    expect(await schedules.get('refused')).toMatchObject({ lastError: 'The queue is full.' });
    expect(await submitted('refused')).toHaveLength(1);
  });

  test('because the command before has not ended is left out, if that is wanted', async () => {
    const { schedules } = automationOf(core);
    await schedules.create('ada', daily('overlapping', { overlap: 'skip' }));
    toHour();
    await schedules.look();
    const [first] = await submitted('overlapping');
    toHour();
    await schedules.look();
    expect(await schedules.get('overlapping')).toMatchObject({
      lastCommandId: first?.commandId,
      lastError: `Left out: the command before, ${first?.commandId}, has not ended.`,
    });
    await core.engine.cancel('ada', first?.commandId ?? '', '');
    toHour();
    await schedules.look();
    expect(await submitted('overlapping')).toHaveLength(2);
  });
});

describe('a change', () => {
  /** Holds the first submit until it is let go. */
  function gate() {
    const reached = Promise.withResolvers<void>();
    const open = Promise.withResolvers<void>();
    const commands = around({
      before: () => {
        reached.resolve();
        return open.promise;
      },
    });
    return { commands, reached: reached.promise, open: open.resolve };
  }

  test('waits for the run that is under way; a pause holds from when it returned', async () => {
    const { commands, reached, open } = gate();
    const { schedules } = automationOf(core, { commands });
    await schedules.create('ada', daily('pause-in-run'));
    toHour();
    const look = schedules.look();
    await reached;
    let paused = false;
    const pause = schedules.pause('pause-in-run').then(() => {
      paused = true;
    });
    // The row is held, so that nothing that the database does first can let the pause through.
    await schedules.list({ size: 1 });
    expect(paused).toBe(false);
    open();
    await pause;
    expect(await look).toBe(1);
    expect(await submitted('pause-in-run')).toHaveLength(1);
  });

  test('does not bring back a time that was dealt with meanwhile', async () => {
    const { commands, reached, open } = gate();
    const { schedules } = automationOf(core, { commands });
    await schedules.create('ada', daily('update-in-run'));
    toHour();
    const look = schedules.look();
    await reached;
    // Another instance, whose clock is a little behind.
    const behind = { ...core.clock, now: () => core.clock.now() - 5000 };
    const other = automationOf(core, { clock: behind });
    const update = other.schedules.update('bob', 'update-in-run', 1, { timing: { cron: '0 * * * *' } });
    open();
    await look;
    const { nextAt, actor, revision } = await update;
    expect({ actor, revision }).toEqual({ actor: 'bob', revision: 2 });
    expect(nextAt?.getTime()).toBe(hourAgo().getTime() + 60 * minuteMs);
    expect(await schedules.look()).toBe(0);
    expect(await submitted('update-in-run')).toHaveLength(1);
  });

  test('needs the revision that was read; names are unique', async () => {
    const { schedules } = automationOf(core);
    await schedules.create('ada', daily('revised'));
    await expect(schedules.create('ada', daily('revised'))).rejects.toMatchObject({
      code: 'revision_conflict',
      fields: [{ field: 'name' }],
    });
    expect((await schedules.update('ada', 'revised', 1, { description: 'x' })).timing).toMatchObject({
      cron: '0 * * * *',
      timeZone: 'UTC',
    });
    const late = { code: 'revision_conflict', fields: [{ field: 'revision' }] };
    await expect(schedules.update('ada', 'revised', 1, {})).rejects.toMatchObject(late);
    await expect(schedules.delete('revised', 1)).rejects.toMatchObject(late);
    await schedules.delete('revised', 2);
    await expect(schedules.delete('revised', undefined)).rejects.toMatchObject({ code: 'schedule_unknown' });
    await expect(schedules.pause('revised')).rejects.toMatchObject({ code: 'schedule_unknown' });
  });

  test.each<[string, Partial<ScheduleInput>, string]>([
    ['too few fields', { timing: { cron: '0 0 * *' } }, 'timing.cron: must have five fields'],
    ['a wrong field', { timing: { cron: '0 25 * * *' } }, 'timing.cron: must be a cron expression'],
    ['a question mark', { timing: { cron: '? 5 * * *' } }, 'timing.cron: must not have a ?'],
    ['no time', { timing: { cron: '0 0 30 2 *' } }, 'timing.cron: names no time'],
    ['no zone', { timing: { cron: '0 0 * * *', timeZone: 'Mars/Olympus' } }, 'timing.timeZone'],
    ['an offset', { timing: { cron: '0 0 * * *', timeZone: '+02:00' } }, 'timing.timeZone'],
    ['the past', { timing: { at: '2020-01-01T00:00:00Z' } }, 'timing.at: must be in the future'],
    ['no agents', { action: { command: { verb: 'exec' } } }, 'action.command.target: must be given'],
    [
      'wrong args',
      { action: { command: { ...action.command, args: { argw: [] } } } },
      'action.command.args.argw',
    ],
    ['no template', { action: { template: { name: 'none', params: {} } } }, 'There is no template none.'],
  ])('with %s is refused', async (_what, change, message) => {
    const { schedules } = automationOf(core);
    await expect(schedules.create('ada', { ...daily('wrong'), ...change })).rejects.toThrow(message);
    await expect(schedules.get('wrong')).rejects.toMatchObject({ code: 'schedule_unknown' });
  });
});

test('a person runs it now, in his own name; it goes on at its times', async () => {
  const { schedules } = automationOf(core);
  const { nextAt } = await schedules.create('ada', daily('by-hand'));
  const command = await schedules.run('bob', 'by-hand', { idempotencyKey: 'k' });
  expect(command).toMatchObject({ actor: 'bob', origin: 'schedule:by-hand' });
  expect((await schedules.run('bob', 'by-hand', { idempotencyKey: 'k' })).commandId).toBe(command.commandId);
  expect(await schedules.get('by-hand')).toMatchObject({ nextAt, lastCommandId: command.commandId });
});

test('schedules are listed by name, page by page', async () => {
  const { schedules } = automationOf(core);
  for (const name of ['c', 'a', 'b']) await schedules.create('ada', daily(name));
  const first = await schedules.list({ size: 2 });
  expect(first.items.map(({ name }) => name)).toEqual(['a', 'b']);
  const second = await schedules.list({ size: 2, token: first.nextToken });
  expect(second).toMatchObject({ items: [{ name: 'c' }], nextToken: undefined });
});

test('the loop runs what is due, wakes for what is new, and ends', async () => {
  const seen: string[] = [];
  let next = Promise.withResolvers<void>();
  const commands: CommandService = {
    ...core.engine,
    async submit(actor, input) {
      seen.push(input.origin ?? '');
      next.resolve();
      return core.engine.submit(actor, input);
    },
  };
  const { schedules } = automationOf(core, { commands, clock: systemClock });
  schedules.start();
  const every = (name: string) => ({ ...daily(name), timing: { cron: '* * * * * *' } });
  await schedules.create('ada', every('first'));
  await next.promise;
  next = Promise.withResolvers<void>();
  await next.promise;
  expect(new Set(seen)).toEqual(new Set(['schedule:first']));
  await schedules.pause('first');
  const count = seen.length;
  await schedules.create('ada', every('second'));
  next = Promise.withResolvers<void>();
  await next.promise;
  expect(seen.slice(count)[0]).toBe('schedule:second');
  await schedules.stop();
});
