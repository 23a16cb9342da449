import { expect, test } from 'vitest';
import { statement } from '../../src/storage/database.ts';
import {
  automationOf,
  fullHour,
  hourly,
  startAutomationCore,
  submittedBy,
  toHour,
} from '../support/automation.ts';

/** Whoever writes into the database has the server submit nothing, by a schedule or by a template. */

const core = await startAutomationCore();

let statements = 0;
/** Whatever somebody with the password of the database may write. */
function sql(text: string): Promise<unknown[]> {
  statements += 1;
  return core.database.query(statement(`forged_schedule_${statements}`, text), []);
}

const forgedAction = `'{"command":{"verb":"exec","args":{"argv":["evil"]},"target":{"site":"berlin"}}}'`;
const notAuthentic = { code: 'not_authentic' };

test.each([
  ['another command', `action = ${forgedAction}`],
  ['another actor', `actor = 'root'`],
  ['no limits', 'scope = null'],
  ['other times', `timing = jsonb_set(timing, '{cron}', '"* * * * *"')`],
  ['another revision', 'revision = revision + 1'],
  ['no binding', 'binding = null'],
  ['a binding of its own', `binding = sha256('evil')`],
])('a schedule with %s submits nothing, and says so', async (what, change) => {
  const { schedules } = automationOf(core);
  const name = what.replaceAll(' ', '-');
  await schedules.create('ada', { ...hourly(name), within: { sites: ['berlin'], verbs: ['exec'] } });
  await sql(`update schedules set ${change} where name = '${name}'`);
  toHour(core);
  expect(await schedules.look()).toBe(1);
  expect(await submittedBy(core, name)).toEqual([]);
  expect(await schedules.get(name)).toMatchObject({
    nextAt: undefined,
    lastError: expect.stringContaining('not saved here, or altered since'),
  });
  // Nor does anybody run it, or vouch for it by changing something else about it.
  await expect(schedules.run('bea', name, {})).rejects.toMatchObject(notAuthentic);
  await expect(schedules.pause(name)).rejects.toMatchObject(notAuthentic);
  const { revision } = await schedules.get(name);
  await expect(schedules.update('bea', name, revision, { description: 'x' })).rejects.toMatchObject(
    notAuthentic,
  );
  await schedules.delete(name, undefined);
  await schedules.create('ada', hourly(name));
  toHour(core);
  await schedules.look();
  expect(await submittedBy(core, name)).toMatchObject([{ actor: 'ada', args: { argv: ['true'] } }]);
});

test('a schedule that is copied, or that a person paused, does not run because a row says so', async () => {
  const { schedules } = automationOf(core);
  await schedules.create('ada', hourly('true-one'));
  await schedules.pause('true-one');
  await sql(`update schedules set enabled = true where name = 'true-one'`);
  await schedules.create('ada', hourly('copied'));
  const columns =
    'description, timing, action, actor, enabled, revision, next_at, binding, created_at, updated_at';
  await sql(
    `insert into schedules (name, ${columns}) select 'copy', ${columns} from schedules where name = 'copied'`,
  );
  toHour(core);
  expect(await schedules.look()).toBe(3);
  expect(await submittedBy(core, 'true-one')).toEqual([]);
  expect(await submittedBy(core, 'copy')).toEqual([]);
  expect(await submittedBy(core, 'copied')).toHaveLength(1);
});

test('a time that is none of its times is left out, and one that was dealt with does not come again', async () => {
  const { schedules } = automationOf(core);
  toHour(core, 600_000);
  await schedules.create('ada', hourly('early', { missed: 'once' }));
  await sql(
    `update schedules set next_at = '${new Date(core.clock.now()).toISOString()}' where name = 'early'`,
  );
  await schedules.look();
  expect(await submittedBy(core, 'early')).toEqual([]);
  expect((await schedules.get('early')).lastError).toMatch(/none of its times/);
  toHour(core);
  await schedules.look();
  expect(await submittedBy(core, 'early')).toHaveLength(1);
  await sql(`update schedules set next_at = '${fullHour(core).toISOString()}' where name = 'early'`);
  await schedules.look();
  expect(await submittedBy(core, 'early')).toHaveLength(1);
});

test.each([
  ['another command', `command = '{"verb":"exec","args":{"argv":["evil"]}}'`],
  ['other parameters', `parameters = '[]'`],
  ['no binding', 'binding = null'],
])(
  'a template with %s is not run, by nobody and no schedule, until somebody saves it anew',
  async (what, change) => {
    const { schedules, templates } = automationOf(core);
    const name = `template-${what.replaceAll(' ', '-')}`;
    const template = {
      name,
      parameters: [{ name: 'path', type: 'string' as const, default: 'x' }],
      command: { verb: 'exec', args: { argv: ['cat', '{{path}}'] }, target: { site: 'berlin' } },
    };
    await templates.save('ada', template, undefined);
    await schedules.create('ada', { ...hourly(name), action: { template: { name, params: {} } } });
    await sql(`update templates set ${change} where name = '${name}'`);
    await expect(templates.run('bea', name, { params: {} }, {})).rejects.toMatchObject(notAuthentic);
    toHour(core);
    await schedules.look();
    expect(await submittedBy(core, name)).toEqual([]);
    expect((await schedules.get(name)).lastError).toMatch(/not saved here, or altered since/);
    await templates.save('ada', template, 1);
    toHour(core);
    await schedules.look();
    expect(await submittedBy(core, name)).toMatchObject([{ args: { argv: ['cat', 'x'] } }]);
  },
);
