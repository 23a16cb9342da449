import { describe, expect, test } from 'vitest';
import type { ScheduleInput } from '../../src/schedules/types.ts';
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

describe('a change', () => {
  /** Holds the first submit until it is let go. */
  function gate() {
    const reached = Promise.withResolvers<void>();
    const open = Promise.withResolvers<void>();
    const commands = around(core, {
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
    await schedules.create('ada', hourly('pause-in-run'));
    toHour(core);
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
    expect(await submittedBy(core, 'pause-in-run')).toHaveLength(1);
  });

  test('does not bring back a time that was dealt with meanwhile', async () => {
    const { commands, reached, open } = gate();
    const { schedules } = automationOf(core, { commands });
    await schedules.create('ada', hourly('update-in-run'));
    toHour(core);
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
    expect(nextAt?.getTime()).toBe(fullHour(core).getTime() + 60 * minuteMs);
    expect(await schedules.look()).toBe(0);
    expect(await submittedBy(core, 'update-in-run')).toHaveLength(1);
  });

  test('waits without keeping the run from the database, however many there are', async () => {
    const { commands, reached, open } = gate();
    const { schedules } = automationOf(core, { commands });
    await schedules.create('ada', hourly('popular'));
    toHour(core);
    const look = schedules.look();
    await reached;
    const changes = Array.from({ length: 40 }, (_, index) =>
      index % 2 === 0 ? schedules.pause('popular') : schedules.resume('popular'),
    );
    // Each of them has asked by now for what it waits for.
    await schedules.list({ size: 1 });
    open();
    await Promise.all(changes);
    expect(await look).toBe(1);
    expect(await submittedBy(core, 'popular')).toHaveLength(1);
  });

  test('needs the revision that was read; names are unique', async () => {
    const { schedules } = automationOf(core);
    await schedules.create('ada', hourly('revised'));
    await expect(schedules.create('ada', hourly('revised'))).rejects.toMatchObject({
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
    await expect(schedules.create('ada', { ...hourly('wrong'), ...change })).rejects.toThrow(message);
    await expect(schedules.get('wrong')).rejects.toMatchObject({ code: 'schedule_unknown' });
  });
});
