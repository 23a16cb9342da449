import { beforeAll, expect, test } from 'vitest';
import type { TemplateInput } from '../../src/templates/types.ts';
import { startFileCore } from '../support/app-core-file.ts';
import { automationOf } from '../support/automation.ts';
import { enrolled } from '../support/fake-agent.ts';

const { core } = await startFileCore();

beforeAll(async () => {
  await enrolled(core, 'agent-1', { site: 'berlin' });
});

const tail = (name: string): TemplateInput => ({
  name,
  description: 'the end of a file',
  parameters: [
    { name: 'path', type: 'string', pattern: '/.+', example: '/var/log/syslog' },
    { name: 'limit', type: 'integer', min: 1, max: 1000, default: 100 },
  ],
  command: {
    verb: 'file.read',
    args: { path: '{{path}}', limit: '{{limit}}' },
    priority: 'high',
    maxRetries: 2,
  },
});

test('what is run is what was rendered, in the name of whoever runs it', async () => {
  const { templates } = automationOf(core);
  expect(await templates.save('ada', tail('tail'), undefined)).toMatchObject({
    revision: 1,
    updatedBy: 'ada',
  });
  const use = { params: { path: '/etc/hosts', limit: '7' }, target: { site: 'berlin' } };
  expect(await templates.render('tail', use)).toEqual({
    verb: 'file.read',
    args: { path: '/etc/hosts', limit: 7 },
    target: { site: 'berlin' },
    priority: 'high',
    maxRetries: 2,
  });
  const command = await templates.run('bob', 'tail', use, { idempotencyKey: 'k', correlationId: undefined });
  expect(command).toMatchObject({
    actor: 'bob',
    origin: 'template:tail',
    args: { path: '/etc/hosts', limit: 7 },
    priority: 'high',
    maxRetries: 2,
    counts: { queued: 1 },
  });
  const again = await templates.run('bob', 'tail', use, { idempotencyKey: 'k' });
  expect(again.commandId).toBe(command.commandId);
  await expect(templates.run('bob', 'tail', { params: {} }, {})).rejects.toThrow(
    'params.path: must be given',
  );
  await expect(templates.run('bob', 'tail', { params: use.params }, {})).rejects.toThrow(
    'target: must be given',
  );
});

test('of two who change one revision, one is told to read it again', async () => {
  const { templates } = automationOf(core);
  await templates.save('ada', tail('contested'), undefined);
  await expect(templates.save('bob', tail('contested'), undefined)).rejects.toMatchObject({
    code: 'revision_conflict',
  });
  const both = await Promise.allSettled(
    ['ada', 'bob'].map((actor) => templates.save(actor, tail('contested'), 1)),
  );
  expect(both.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected']);
  expect((await templates.get('contested')).revision).toBe(2);
  await expect(templates.delete('contested', 1)).rejects.toMatchObject({
    code: 'revision_conflict',
    fields: [{ field: 'revision', problem: 'must be 2' }],
  });
  await templates.delete('contested', 2);
  await expect(templates.get('contested')).rejects.toMatchObject({ code: 'template_unknown' });
  await expect(templates.save('ada', tail('contested'), 2)).rejects.toMatchObject({
    code: 'template_unknown',
  });
});

test('what is refused is not stored', async () => {
  const { templates } = automationOf(core);
  const wrong = { ...tail('wrong'), parameters: [] };
  await expect(templates.save('ada', wrong, undefined)).rejects.toThrow(
    'command.args.path: {{path}} names no',
  );
  await expect(templates.get('wrong')).rejects.toMatchObject({ code: 'template_unknown' });
});

test('templates are listed by name, page by page', async () => {
  const { templates } = automationOf(core);
  for (const name of ['list-c', 'list-a', 'list-b']) await templates.save('ada', tail(name), undefined);
  const first = await templates.list({ size: 2 });
  expect(first.items.map(({ name }) => name)).toEqual(['list-a', 'list-b']);
  const { items } = await templates.list({ size: 10, token: first.nextToken });
  expect(items.map(({ name }) => name)).toContain('list-c');
});
