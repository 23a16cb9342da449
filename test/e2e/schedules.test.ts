import { describe, expect, test } from 'vitest';
import type { CommandService } from '../../src/commands/service.ts';
import { ViworksError } from '../../src/errors.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { statement } from '../../src/storage/database.ts';
import {
  action,
  around,
  automationOf,
  fullHour,
  hourly,
  startAutomationCore,
  submittedBy,
  toHour,
} from '../support/automation.ts';

const core = await startAutomationCore();

const minuteMs = 60_000;

describe('a schedule', () => {
  test('submits at its time, once, in the name of its actor', async () => {
    const { schedules } = automationOf(core);
    const { nextAt } = await schedules.create('ada', hourly('once-an-hour'));
    expect(await schedules.look()).toBe(0);
    toHour(core);
    expect(nextAt).toEqual(fullHour(core));
    expect(await schedules.look()).toBe(1);
    expect(await schedules.look()).toBe(0);
    const [command, ...more] = await submittedBy(core, 'once-an-hour');
    expect(more).toEqual([]);
    expect(command).toMatchObject({ actor: 'ada', verb: 'exec' });
    const schedule = await schedules.get('once-an-hour');
    expect(schedule).toMatchObject({
      lastCommandId: command?.commandId,
      lastAt: fullHour(core),
      revision: 1,
    });
    expect(schedule.nextAt?.getTime()).toBe(fullHour(core).getTime() + 60 * minuteMs);
    expect(schedule.lastError).toBeUndefined();
  });

  test('that is for one time has nothing to come after it', async () => {
    const { schedules } = automationOf(core);
    const at = new Date(core.clock.now() + minuteMs).toISOString();
    await schedules.create('ada', { name: 'one-time', timing: { at }, action });
    core.clock.advance(minuteMs);
    await schedules.look();
    expect(await submittedBy(core, 'one-time')).toHaveLength(1);
    expect((await schedules.get('one-time')).nextAt).toBeUndefined();
    expect(await schedules.next({ name: 'one-time' }, 5)).toEqual([]);
  });

  test('submits what its template makes at that moment', async () => {
    const { schedules, templates } = automationOf(core);
    const command = { verb: 'exec', args: { argv: ['echo', '{{what}}'] } };
    const parameters = [{ name: 'what', type: 'string' as const }];
    const saved = await templates.save('ada', { name: 'say', parameters, command }, undefined);
    const use = { name: 'say', params: { what: 'hi' }, target: { site: 'berlin' } };
    await schedules.create('ada', { ...hourly('by-template'), action: { template: use } });
    const louder = { ...command, args: { argv: ['echo', 'LOUD', '{{what}}'] } };
    await templates.save('bob', { name: 'say', parameters, command: louder }, saved.revision);
    toHour(core);
    await schedules.look();
    expect(await submittedBy(core, 'by-template')).toMatchObject([
      { args: { argv: ['echo', 'LOUD', 'hi'] } },
    ]);

    await templates.delete('say', undefined);
    toHour(core);
    expect(await schedules.look()).toBe(1);
    expect((await schedules.get('by-template')).lastError).toBe('There is no template say.');
    expect(await submittedBy(core, 'by-template')).toHaveLength(1);
  });

  test('is run by one of two instances that look at the same time', async () => {
    const instances = [automationOf(core), automationOf(core)];
    const names = Array.from({ length: 50 }, (_, index) => `both-${index}`);
    for (const name of names) await instances[0]?.schedules.create('ada', hourly(name));
    toHour(core);
    const counts = await Promise.all(instances.map(({ schedules }) => schedules.look()));
    // One may be done while the other still holds rows.
    const late = await Promise.all(instances.map(({ schedules }) => schedules.look()));
    expect([...counts, ...late].reduce((sum, count) => sum + count)).toBe(50);
    for (const name of names) expect(await submittedBy(core, name)).toHaveLength(1);
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
    const dying = automationOf(core, { commands: around(core, { after: kill }) });
    await dying.schedules.create('ada', hourly('killed'));
    toHour(core);
    const before = (await submittedBy(core, 'killed')).length;
    await expect(dying.schedules.look()).rejects.toMatchObject({ code: 'database_unavailable' });
    expect((await dying.schedules.get('killed')).nextAt).toEqual(fullHour(core));
    const at = fullHour(core);

    core.clock.advance(laterMs);
    const { schedules } = automationOf(core);
    expect(await schedules.look()).toBe(1);
    const commands = await submittedBy(core, 'killed');
    expect(commands).toHaveLength(before + 1);
    expect(await schedules.get('killed')).toMatchObject({
      lastAt: at,
      lastCommandId: commands.at(-1)?.commandId,
      lastError: undefined,
    });
  });

  test('also when its template has changed since', async () => {
    const dying = automationOf(core, { commands: around(core, { after: kill }) });
    const { templates } = dying;
    const template = (text: string) => ({
      name: 'changing',
      parameters: [],
      command: { verb: 'exec', args: { argv: ['echo', text] }, target: { site: 'berlin' } },
    });
    await templates.save('ada', template('one'), undefined);
    await dying.schedules.create('ada', {
      ...hourly('changed'),
      action: { template: { name: 'changing', params: {} } },
    });
    toHour(core);
    await expect(dying.schedules.look()).rejects.toThrow();
    await templates.save('ada', template('two'), 1);
    const { schedules } = automationOf(core);
    expect(await schedules.look()).toBe(1);
    const [command, ...more] = await submittedBy(core, 'changed');
    expect(more).toEqual([]);
    expect(command?.args).toEqual({ argv: ['echo', 'one'] });
    expect(await schedules.get('changed')).toMatchObject({ lastCommandId: command?.commandId });
  });
});

describe('runs that nobody was there for', () => {
  test('are left out and counted', async () => {
    const { schedules } = automationOf(core);
    await schedules.create('ada', hourly('skipping'));
    toHour(core, 3 * 60 * minuteMs + 2 * minuteMs);
    expect(await schedules.look()).toBe(1);
    expect(await submittedBy(core, 'skipping')).toEqual([]);
    const schedule = await schedules.get('skipping');
    expect(schedule.lastError).toMatch(/^Missed: 4 since .* \(2m late, and 1m is allowed\)\.$/);
    expect(schedule.nextAt?.getTime()).toBe(fullHour(core).getTime() + 60 * minuteMs);
    toHour(core);
    await schedules.look();
    expect(await submittedBy(core, 'skipping')).toHaveLength(1);
    expect((await schedules.get('skipping')).lastError).toBeUndefined();
  });

  test('are made up for by one, if that is wanted and it is not too late', async () => {
    const { schedules } = automationOf(core);
    await schedules.create('ada', hourly('catching', { missed: 'once', catchUpWithinMs: 10 * minuteMs }));
    toHour(core, 3 * 60 * minuteMs + 9 * minuteMs);
    await schedules.look();
    expect(await submittedBy(core, 'catching')).toHaveLength(1);
    expect((await schedules.get('catching')).lastError).toMatch(/^Runs before it were missed: 3 since /);
    toHour(core, 11 * minuteMs);
    await schedules.look();
    expect(await submittedBy(core, 'catching')).toHaveLength(1);
    expect((await schedules.get('catching')).lastError).toMatch(/^Missed: the one of /);
  });

  test('while it was paused are not made up for', async () => {
    const { schedules } = automationOf(core);
    await schedules.create('ada', hourly('pausing', { missed: 'once' }));
    expect((await schedules.pause('pausing')).enabled).toBe(false);
    toHour(core);
    expect(await schedules.look()).toBe(0);
    const { nextAt } = await schedules.resume('pausing');
    expect(nextAt?.getTime()).toBe(fullHour(core).getTime() + 60 * minuteMs);
    expect(await schedules.look()).toBe(0);
    toHour(core);
    await schedules.look();
    expect(await submittedBy(core, 'pausing')).toHaveLength(1);
  });
});

describe('what cannot be submitted', () => {
  test('is kept on its schedule, and others go on', async () => {
    const { schedules } = automationOf(core);
    const nowhere = { command: { ...action.command, target: { site: 'nowhere' } } };
    await schedules.create('ada', { ...hourly('a-nowhere'), action: nowhere });
    await schedules.create('ada', hourly('b-somewhere'));
    toHour(core);
    expect(await schedules.look()).toBe(2);
    const { lastError, nextAt } = await schedules.get('a-nowhere');
    expect(lastError).toMatch(/nowhere/);
    expect(nextAt?.getTime()).toBeGreaterThan(core.clock.now());
    expect(await submittedBy(core, 'b-somewhere')).toHaveLength(1);
  });

  test('because the queue is full is tried again, and given up in the end', async () => {
    let full = true;
    const commands = around(core, {
      before: () => {
        if (full) throw new ViworksError('queue_full', 'The queue is full.', { retryAfterMs: 20_000 });
      },
    });
    const { schedules } = automationOf(core, { commands });
    await schedules.create('ada', hourly('refused'));
    toHour(core);
    expect(await schedules.look()).toBe(0);
    expect(await schedules.get('refused')).toMatchObject({
      lastError: 'Is tried again: The queue is full.',
      nextAt: fullHour(core),
    });
    full = false;
    core.clock.advance(19_000);
    expect(await schedules.look()).toBe(0);
    core.clock.advance(1000);
    expect(await schedules.look()).toBe(1);
    expect(await schedules.get('refused')).toMatchObject({ lastAt: fullHour(core), lastError: undefined });
    expect(await submittedBy(core, 'refused')).toHaveLength(1);

    full = true;
    toHour(core);
    const looks: number[] = [];
    for (let tries = 0; tries < 4; tries++) {
      looks.push(await schedules.look());
      core.clock.advance(20_000);
    }
    expect(looks).toEqual([0, 0, 0, 1]);
    expect(await schedules.get('refused')).toMatchObject({ lastError: 'The queue is full.' });
    expect(await submittedBy(core, 'refused')).toHaveLength(1);
  });

  test('because the command before has not ended is left out, if that is wanted', async () => {
    const { schedules } = automationOf(core);
    await schedules.create('ada', hourly('overlapping', { overlap: 'skip' }));
    toHour(core);
    await schedules.look();
    const [first] = await submittedBy(core, 'overlapping');
    toHour(core);
    await schedules.look();
    expect(await schedules.get('overlapping')).toMatchObject({
      lastCommandId: first?.commandId,
      lastError: `Left out: the command before, ${first?.commandId}, has not ended.`,
    });
    await core.engine.cancel('ada', first?.commandId ?? '', '');
    toHour(core);
    await schedules.look();
    expect(await submittedBy(core, 'overlapping')).toHaveLength(2);
  });
});

test('a person runs it now, in his own name; it goes on at its times', async () => {
  const { schedules } = automationOf(core);
  const { nextAt } = await schedules.create('ada', hourly('by-hand'));
  const command = await schedules.run('bob', 'by-hand', { idempotencyKey: 'k' });
  expect(command).toMatchObject({ actor: 'bob', origin: 'schedule:by-hand' });
  expect((await schedules.run('bob', 'by-hand', { idempotencyKey: 'k' })).commandId).toBe(command.commandId);
  expect(await schedules.get('by-hand')).toMatchObject({ nextAt, lastCommandId: command.commandId });
});

test('schedules are listed by name, page by page', async () => {
  const { schedules } = automationOf(core);
  for (const name of ['c', 'a', 'b']) await schedules.create('ada', hourly(name));
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
  const every = (name: string) => ({ ...hourly(name), timing: { cron: '* * * * * *' } });
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
