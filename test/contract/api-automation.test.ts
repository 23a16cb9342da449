import { describe, expect, test } from 'vitest';
import { MissedRuns, Overlap } from '#gen/viworks/control/v1/schedule_pb.js';
import { ParameterType } from '#gen/viworks/control/v1/template_pb.js';
import { startApi, type TestApi } from '../support/api-server.ts';
import { errorOf } from '../support/api-surfaces.ts';

/** Templates and schedules over every surface: what is asked for arrives, and what is answered is the same. */

interface Surface {
  /** One with every kind of parameter; `pattern` of the first. */
  save(pattern: string, revision?: number): Promise<number>;
  saveWithout(what: 'verb'): Promise<unknown>;
  parameters(name: string): Promise<unknown[]>;
  render(
    params: Record<string, string | number>,
    agent?: string,
  ): Promise<{ args: unknown; agents: unknown }>;
  run(params: Record<string, string | number>, idempotencyKey: string): Promise<string>;
  remove(revision: number): Promise<unknown>;
  create(when: { cron: string } | { at: string }): Promise<unknown>;
  createFromTemplate(): Promise<unknown>;
  update(revision: number, cron: string): Promise<{ revision: number; cron: string; description: string }>;
  pause(): Promise<boolean>;
  resume(): Promise<boolean>;
  trigger(idempotencyKey: string): Promise<string>;
  next(of: 'nightly' | { cron: string }, count: number): Promise<string[]>;
  removeSchedule(): Promise<unknown>;
  schedules(): Promise<string[]>;
}

const argv = ['{{program}}', '--count={{count}}'];
const policy = { missed: 'once', catchUpWithinMs: 1500, overlap: 'skip' } as const;

async function trpc(api: TestApi): Promise<Surface> {
  const { templates, schedules } = await api.trpc('operator');
  const command = { verb: 'exec', args: { argv }, timeoutMs: 1500, rollout: { canary: 2 } };
  return {
    save: async (pattern, revision) => {
      const parameters = [
        { name: 'program', type: 'string' as const, pattern, example: 'ls', max: 9 },
        { name: 'count', type: 'integer' as const, min: 1, default: 3, required: false },
        { name: 'mode', type: 'enum' as const, values: ['a', 'b'], description: 'which' },
      ];
      return (await templates.save.mutate({ name: 'tidy', parameters, command, revision })).template.revision;
    },
    saveWithout: () => templates.save.mutate({ name: 'tidy', command: { ...command, timeoutMs: 0 } }),
    parameters: async (name) => (await templates.get.query({ name })).template.parameters,
    async render(params, agent = 'alpha') {
      const target = { agents: [agent] };
      const { command: rendered } = await templates.render.query({ name: 'tidy', params, target });
      expect(rendered).toMatchObject({ timeoutMs: 1500, rollout: { canary: 2 } });
      return { args: rendered.args, agents: rendered.target };
    },
    run: async (params, idempotencyKey) => {
      const target = { all: true as const };
      return (await templates.run.mutate({ name: 'tidy', params, target, idempotencyKey })).command.commandId;
    },
    remove: (revision) => templates.delete.mutate({ name: 'tidy', revision }),
    create: (when) =>
      schedules.create.mutate({
        name: 'nightly',
        description: 'first',
        timing: { ...('cron' in when ? { cron: when.cron, timeZone: 'Europe/Berlin' } : when), ...policy },
        action: { command: { verb: 'exec', args: { argv: ['ls'] }, target: { site: 'berlin' } } },
      }),
    createFromTemplate: () =>
      schedules.create.mutate({
        name: 'other',
        timing: { at: '2031-01-01T01:00:00+01:00' },
        action: { template: { name: 'tidy', params: { count: 2 }, target: { site: 'berlin' } } },
      }),
    async update(revision, cron) {
      const { schedule } = await schedules.update.mutate({ name: 'nightly', revision, timing: { cron } });
      return { ...schedule, cron: 'cron' in schedule.timing ? schedule.timing.cron : '' };
    },
    pause: async () => (await schedules.pause.mutate({ name: 'nightly' })).schedule.enabled,
    resume: async () => (await schedules.resume.mutate({ name: 'nightly' })).schedule.enabled,
    trigger: async (idempotencyKey) =>
      (await schedules.run.mutate({ name: 'nightly', idempotencyKey })).command.commandId,
    async next(of, count) {
      const input = of === 'nightly' ? { name: of, count } : { timing: of, count };
      return (await schedules.next.query(input)).occurrences;
    },
    removeSchedule: () => schedules.delete.mutate({ name: 'nightly' }),
    schedules: async () => (await schedules.list.query()).schedules.map(({ name }) => name),
  };
}

const iso = (time: { seconds: bigint } | undefined) =>
  new Date(Number(time?.seconds ?? 0n) * 1000).toISOString();

async function control(api: TestApi, protocol: 'grpc' | 'connect'): Promise<Surface> {
  const client = await api.control(protocol, 'operator');
  const timeout = { seconds: 1n, nanos: 500_000_000 };
  const command = { verb: 'exec', args: { argv }, timeout, rollout: { canary: 2 } };
  const site = { target: { case: 'site' as const, value: 'berlin' } };
  const value = (kind: 'stringValue' | 'numberValue', given: string | number) =>
    ({ kind: { case: kind, value: given } }) as never;
  return {
    async save(pattern, revision = 0) {
      const parameters = [
        { name: 'program', type: ParameterType.STRING, pattern, example: value('stringValue', 'ls'), max: 9 },
        {
          name: 'count',
          type: ParameterType.INTEGER,
          min: 1,
          defaultValue: value('numberValue', 3),
          required: false,
        },
        { name: 'mode', type: ParameterType.ENUM, values: ['a', 'b'], description: 'which' },
      ];
      const spec = { name: 'tidy', parameters, command };
      return (await client.saveTemplate({ spec, revision })).template?.revision ?? 0;
    },
    saveWithout: () =>
      client.saveTemplate({ spec: { name: 'tidy', command: { ...command, timeout: { seconds: 0n } } } }),
    async parameters(name) {
      const { template } = await client.getTemplate({ name });
      return (template?.spec?.parameters ?? []).map((parameter) => ({
        name: parameter.name,
        type: ParameterType[parameter.type].toLowerCase(),
        ...(parameter.description && { description: parameter.description }),
        ...(parameter.required !== undefined && { required: parameter.required }),
        ...(parameter.defaultValue && { default: parameter.defaultValue.kind.value }),
        ...(parameter.example && { example: parameter.example.kind.value }),
        ...(parameter.pattern && { pattern: parameter.pattern }),
        ...(parameter.min !== undefined && { min: parameter.min }),
        ...(parameter.max !== undefined && { max: parameter.max }),
        ...(parameter.values.length > 0 && { values: parameter.values }),
      }));
    },
    async render(params, agent = 'alpha') {
      const target = { target: { case: 'agents' as const, value: { agentIds: [agent] } } };
      const { command: rendered } = await client.renderTemplate({ name: 'tidy', params, target });
      expect(rendered?.rollout?.canary).toBe(2);
      expect(rendered?.timeout).toMatchObject(timeout);
      const chosen = rendered?.target?.target;
      const agents = { agents: chosen?.case === 'agents' ? chosen.value.agentIds : [] };
      return { args: rendered?.args, agents };
    },
    async run(params, idempotencyKey) {
      const target = { target: { case: 'all' as const, value: true } };
      const { command: run } = await client.runTemplate({ name: 'tidy', params, target, idempotencyKey });
      return run?.commandId ?? '';
    },
    remove: (revision) => client.deleteTemplate({ name: 'tidy', revision }),
    create: (when) =>
      client.createSchedule({
        name: 'nightly',
        description: 'first',
        timing: {
          when:
            'cron' in when
              ? { case: 'cron', value: { expression: when.cron, timeZone: 'Europe/Berlin' } }
              : { case: 'at', value: { seconds: BigInt(Date.parse(when.at) / 1000) } },
          missed: MissedRuns.ONCE,
          catchUpWithin: timeout,
          overlap: Overlap.SKIP,
        },
        action: {
          action: { case: 'command', value: { verb: 'exec', args: { argv: ['ls'] }, target: site } },
        },
      }),
    createFromTemplate: () =>
      client.createSchedule({
        name: 'other',
        timing: { when: { case: 'at', value: { seconds: 1924992000n } } },
        action: {
          action: { case: 'template', value: { name: 'tidy', params: { count: 2 }, target: site } },
        },
      }),
    async update(revision, cron) {
      const timing = { when: { case: 'cron' as const, value: { expression: cron } } };
      const { schedule } = await client.updateSchedule({ name: 'nightly', revision, timing });
      const when = schedule?.timing?.when;
      return {
        revision: schedule?.revision ?? 0,
        cron: when?.case === 'cron' ? when.value.expression : '',
        description: schedule?.description ?? '',
      };
    },
    pause: async () => (await client.pauseSchedule({ name: 'nightly' })).schedule?.enabled ?? true,
    resume: async () => (await client.resumeSchedule({ name: 'nightly' })).schedule?.enabled ?? false,
    trigger: async (idempotencyKey) =>
      (await client.runSchedule({ name: 'nightly', idempotencyKey })).command?.commandId ?? '',
    async next(of, count) {
      const timing = (cron: string) => ({ when: { case: 'cron' as const, value: { expression: cron } } });
      const request =
        of === 'nightly'
          ? { case: 'name' as const, value: of }
          : { case: 'timing' as const, value: timing(of.cron) };
      return (await client.nextOccurrences({ of: request, count })).occurrences.map(iso);
    },
    removeSchedule: () => client.deleteSchedule({ name: 'nightly' }),
    schedules: async () => (await client.listSchedules({})).schedules.map(({ name }) => name),
  };
}

describe.each(['trpc', 'grpc', 'connect'] as const)('over %s', (name) => {
  const surfaceOf = (api: TestApi) => (name === 'trpc' ? trpc(api) : control(api, name));

  test('a template is kept as it was saved, rendered and run', async () => {
    await using api = await startApi();
    const surface = await surfaceOf(api);
    expect(await surface.save('[a-z]+')).toBe(1);
    expect(await surface.parameters('tidy')).toEqual([
      { name: 'program', type: 'string', pattern: '[a-z]+', example: 'ls', max: 9 },
      { name: 'count', type: 'integer', min: 1, default: 3, required: false },
      { name: 'mode', type: 'enum', values: ['a', 'b'], description: 'which' },
    ]);
    const params = { program: 'df', count: '5', mode: 'a' };
    expect(await surface.render(params, 'beta')).toEqual({
      args: { argv: ['df', '--count=5'] },
      agents: { agents: ['beta'] },
    });
    await surface.run(params, 'k');
    expect(api.commands.submitted).toEqual([
      {
        actor: 'the operator',
        input: expect.objectContaining({
          args: { argv: ['df', '--count=5'] },
          timeoutMs: 1500,
          target: { all: true },
          idempotencyKey: 'k',
        }),
      },
    ]);
    await surface.remove(1);
    expect(await errorOf(surface.render(params))).toMatchObject({ code: 'template_unknown' });
  });

  test('wrong values, wrong revisions and wrong fields are told by their names', async () => {
    await using api = await startApi();
    const surface = await surfaceOf(api);
    await surface.save('[a-z]+');
    expect(await errorOf(surface.render({ program: 'DF', mode: 'c', count: 0 }))).toMatchObject({
      code: 'invalid_request',
      fields: [{ field: 'params.program' }, { field: 'params.count' }, { field: 'params.mode' }],
    });
    expect(await errorOf(surface.remove(7))).toMatchObject({ code: 'revision_conflict' });
    expect(await surface.save('.+', 1)).toBe(2);
    const field = name === 'trpc' ? 'command.timeoutMs' : 'spec.command.timeout';
    expect(await errorOf(surface.saveWithout('verb'))).toMatchObject({ fields: [{ field }] });
  });

  test('a schedule is kept as it was said, changed, paused, resumed, run and deleted', async () => {
    await using api = await startApi();
    const surface = await surfaceOf(api);
    await surface.create({ cron: '0 3 * * *' });
    const client = await api.trpc('viewer');
    const { schedule } = await client.schedules.get.query({ name: 'nightly' });
    expect(schedule).toMatchObject({
      actor: 'the operator',
      description: 'first',
      timing: { cron: '0 3 * * *', timeZone: 'Europe/Berlin', ...policy },
      action: { command: { verb: 'exec', args: { argv: ['ls'] }, target: { site: 'berlin' } } },
      enabled: true,
      nextAt: '2030-01-01T00:00:00.000Z',
      lastError: 'Missed: 3.',
    });
    expect(await surface.update(1, '0 4 * * *')).toMatchObject({
      revision: 2,
      cron: '0 4 * * *',
      description: 'first',
    });
    expect(await errorOf(surface.update(1, '0 5 * * *'))).toMatchObject({ code: 'revision_conflict' });
    expect(await surface.pause()).toBe(false);
    expect(await surface.resume()).toBe(true);
    await surface.trigger('again');
    expect(api.commands.submitted).toEqual([
      { actor: 'the operator', input: expect.objectContaining({ idempotencyKey: 'again' }) },
    ]);
    expect(await surface.schedules()).toEqual(['nightly']);
    await surface.removeSchedule();
    expect(await errorOf(surface.pause())).toMatchObject({ code: 'schedule_unknown' });
  });

  test('once, and by a template', async () => {
    await using api = await startApi();
    const surface = await surfaceOf(api);
    await surface.create({ at: '2031-01-01T00:00:00Z' });
    await surface.createFromTemplate();
    const client = await api.trpc('viewer');
    const { schedules } = await client.schedules.list.query();
    expect(schedules.map(({ timing }) => timing)).toMatchObject([
      { at: '2031-01-01T00:00:00.000Z' },
      { at: '2031-01-01T00:00:00.000Z' },
    ]);
    expect(schedules[1]?.action).toEqual({
      template: { name: 'tidy', params: { count: 2 }, target: { site: 'berlin' } },
    });
  });

  test('the next times of what is stored and of what is not', async () => {
    await using api = await startApi();
    const surface = await surfaceOf(api);
    await surface.create({ cron: '0 3 * * *' });
    const times = ['2030-01-01T00:00:00.000Z', '2030-01-01T00:01:00.000Z'];
    expect(await surface.next('nightly', 2)).toEqual(times);
    expect(await surface.next({ cron: '0 3 * * *' }, 1)).toEqual(times.slice(0, 1));
  });
});

test('what no name and no revision can be is refused before anybody looks for it', async () => {
  await using api = await startApi();
  const client = await api.control('grpc');
  const calls = (name: string, revision: number) => [
    () => client.getTemplate({ name }),
    () => client.renderTemplate({ name }),
    () => client.runTemplate({ name }),
    () => client.deleteTemplate({ name, revision }),
    () => client.getSchedule({ name }),
    () => client.pauseSchedule({ name }),
    () => client.resumeSchedule({ name }),
    () => client.runSchedule({ name }),
    () => client.updateSchedule({ name, revision }),
    () => client.deleteSchedule({ name, revision }),
    () => client.getAgent({ agentId: name }),
    () => client.setAgentStatus({ agentId: name }),
  ];
  const revised = ['a', 2 ** 31] as const;
  const withRevision = [3, 8, 9].map((index) => calls(...revised)[index] ?? (() => Promise.resolve()));
  for (const call of [...calls('a\0b', 1), ...withRevision])
    expect((await errorOf(call())).code).toBe('invalid_request');
});
