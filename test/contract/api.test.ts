import { describe, expect, test } from 'vitest';
import { statusOf, statusOfKind } from '../../src/api/errors.ts';
import { catalogue, type ErrorCode, invalidField, ViworksError } from '../../src/errors.ts';
import { startApi } from '../support/api-server.ts';
import { errorOf, type SurfaceName, surfaceNames, surfaceOf } from '../support/api-surfaces.ts';

const codes = Object.keys(catalogue) as ErrorCode[];
/** What a caller wrote, as each surface names it. */
const nameOf = (surface: SurfaceName, trpc: string, grpc: string) => (surface === 'trpc' ? trpc : grpc);

describe.each(surfaceNames)('the API over %s', (name) => {
  test('lists agents page by page and filtered', async () => {
    await using api = await startApi();
    const surface = await surfaceOf(api, name, 'viewer');
    const first = await surface.listAgents({}, 1);
    expect(first.ids).toEqual(['alpha']);
    const second = await surface.listAgents({}, 1, first.next);
    expect(second).toEqual({ ids: ['beta'], next: undefined });
    expect((await surface.listAgents({ site: 'paris' })).ids).toEqual(['beta']);
  });

  test('shows one agent with its telemetry, and takes it out of service', async () => {
    await using api = await startApi();
    const surface = await surfaceOf(api, name);
    expect(await surface.getAgent('alpha')).toEqual({
      status: 'online',
      telemetry: { cpu: { usage: 0.25 } },
    });
    expect(await surface.setMaintenance('alpha', true, 'new disk')).toBe('maintenance new disk');
    expect(await surface.setMaintenance('alpha', false, '')).toBe('online');
  });

  test('submits in the name of the caller, with what was asked and nothing more', async () => {
    await using api = await startApi();
    const surface = await surfaceOf(api, name, 'operator');
    await surface.submit({
      verb: 'exec',
      args: { argv: ['uptime'] },
      target: { agents: ['alpha', 'beta'] },
      timeoutMs: 1500,
      idempotencyKey: 'k1',
    });
    expect(api.commands.submitted).toEqual([
      {
        actor: 'the operator',
        input: {
          verb: 'exec',
          args: { argv: ['uptime'] },
          target: { agents: ['alpha', 'beta'] },
          timeoutMs: 1500,
          idempotencyKey: 'k1',
        },
      },
    ]);
  });

  test('follows a command to its result', async () => {
    await using api = await startApi();
    const surface = await surfaceOf(api, name, 'operator');
    const commandId = await surface.submit({ verb: 'exec', args: {}, target: { agents: ['alpha'] } });
    expect(await surface.getCommand(commandId)).toEqual({
      done: false,
      states: ['queued'],
      stdout: undefined,
    });
    const watched = surface.watch(commandId);
    await api.commands.watchersAre(1);
    api.commands.advance(commandId, 'running');
    const data = new TextEncoder().encode('hellø\n');
    api.commands.advance(commandId, 'succeeded', {
      exitCode: 0,
      signal: undefined,
      stdout: { data, totalBytes: data.length, truncated: false },
      stderr: undefined,
      output: { duration: '0.1s' },
      failure: undefined,
      startedAt: new Date(0),
      finishedAt: new Date(1),
    });
    expect(await watched).toEqual({
      cursors: ['c1', 'c2', 'c3'],
      states: ['queued', 'running', 'succeeded'],
    });
    expect(await surface.getCommand(commandId)).toEqual({
      done: true,
      states: ['succeeded'],
      stdout: 'hellø\n',
    });
    await api.commands.watchersAre(0);
  });

  test('lists and cancels commands', async () => {
    await using api = await startApi();
    const surface = await surfaceOf(api, name, 'operator');
    const first = await surface.submit({ verb: 'exec', args: {}, target: { site: 'berlin' } });
    const second = await surface.submit({ verb: 'system.info', target: { all: true } });
    expect(await surface.listCommands()).toEqual([second, first]);
    expect(await surface.listCommands('exec')).toEqual([first]);
    expect(await surface.cancel(first, 'a mistake')).toBe(true);
  });

  test('tells verbs and health, and makes enrolment tokens', async () => {
    await using api = await startApi();
    const surface = await surfaceOf(api, name);
    expect(await surface.verbs()).toContain('system.info');
    expect(await surface.health()).toEqual({ status: 'ok', components: ['database ok'] });
    expect(await surface.createEnrollment('berlin')).toBe('vwe_once');
    expect(api.enrollmentTokens.created).toEqual([
      { site: 'berlin', labels: {}, uses: 1, lifetimeMs: 3_600_000 },
    ]);
  });

  test('a watch goes on behind the cursor it is given', async () => {
    await using api = await startApi();
    const surface = await surfaceOf(api, name);
    const commandId = await surface.submit({ verb: 'exec', args: {}, target: { agents: ['alpha'] } });
    api.commands.advance(commandId, 'sent');
    api.commands.advance(commandId, 'succeeded');
    expect((await surface.watch(commandId, 'c2')).cursors).toEqual(['c3']);
  });

  test('a client that leaves ends the watch in the core', async () => {
    await using api = await startApi();
    const surface = await surfaceOf(api, name);
    const commandId = await surface.submit({ verb: 'exec', args: {}, target: { agents: ['alpha'] } });
    expect((await surface.watch(commandId, undefined, 1)).cursors).toEqual(['c1']);
    await api.commands.watchersAre(0);
  });

  test('every error of the catalogue keeps code, message, fields and retry', async () => {
    await using api = await startApi();
    const surface = await surfaceOf(api, name);
    for (const code of codes) {
      const sent = new ViworksError(code, `This is ${code}.`, {
        fields: [{ field: 'site', problem: 'is wrong' }],
        retryAfterMs: 2500,
      });
      api.commands.failNext(sent);
      const status = statusOf(sent);
      expect(await errorOf(surface.listCommands())).toEqual({
        code,
        message: `This is ${code}.`,
        fields: [{ field: 'site', problem: 'is wrong' }],
        retryAfterMs: 2500,
        retryable: catalogue[code].retryable,
        status: name === 'trpc' ? status.http : status.connect,
      });
    }
  });

  test('what the core did not mean to say stays inside', async () => {
    await using api = await startApi();
    const surface = await surfaceOf(api, name);
    api.commands.failNext(new Error('password=hunter2', { cause: new Error('hunter2') }));
    const seen = await errorOf(surface.listCommands());
    expect(seen).toMatchObject({ code: 'internal', message: 'Something went wrong inside the server.' });
    expect(JSON.stringify(seen)).not.toContain('hunter2');
  });

  test('an answer of the core that breaks the contract is an internal error', async () => {
    await using api = await startApi();
    const surface = await surfaceOf(api, name);
    api.health.report = { ...api.health.report, uptimeMs: Number.NaN };
    expect(await errorOf(surface.health())).toMatchObject({ code: 'internal', fields: [] });
  });

  test.each([
    [
      'a misspelt agent',
      { agents: ['alpha', 'Not An Id'] },
      'target.agents[1]',
      'spec.target.agents.agent_ids[1]',
    ],
    ['no agent', { agents: [] }, 'target.agents', 'spec.target.agents.agent_ids'],
    ['the same agent twice', { agents: ['a', 'a'] }, 'target.agents', 'spec.target.agents.agent_ids'],
    ['a misspelt site', { site: 'Not A Site' }, 'target.site', 'spec.target.site'],
  ])('names the field for %s', async (_what, target, trpcName, grpcName) => {
    await using api = await startApi();
    const surface = await surfaceOf(api, name);
    const seen = await errorOf(surface.submit({ verb: 'exec', args: {}, target }));
    const field = nameOf(name, trpcName, grpcName);
    expect(seen).toMatchObject({ code: 'invalid_request', fields: [{ field }] });
    expect(seen.message.startsWith(`${field}: `)).toBe(true);
    expect(api.commands.submitted).toEqual([]);
  });

  test('bounds the time-out, and names the fields that the core complains of', async () => {
    await using api = await startApi();
    const surface = await surfaceOf(api, name);
    const input = { verb: 'exec', args: {}, target: { all: true } } as const;
    for (const timeoutMs of [0, 86_400_001]) {
      const seen = await errorOf(surface.submit({ ...input, timeoutMs }));
      expect(seen.fields[0]?.field).toBe(nameOf(name, 'timeoutMs', 'spec.timeout'));
    }
    api.commands.failNext(invalidField('args.argv', 'must name a program', 'invalid_args'));
    const field = nameOf(name, 'args.argv', 'spec.args.argv');
    expect(await errorOf(surface.submit(input))).toMatchObject({
      code: 'invalid_args',
      message: `${field}: must name a program`,
      fields: [{ field, problem: 'must name a program' }],
    });
  });

  test('a command that is not there, a page that is too large and an id that is none are refused', async () => {
    await using api = await startApi();
    const surface = await surfaceOf(api, name);
    const absent = '01890a5d-ac96-774b-bcce-b302099a8057';
    expect(await errorOf(surface.getCommand(absent))).toMatchObject({ code: 'command_unknown' });
    expect(await errorOf(surface.watch(absent))).toMatchObject({ code: 'command_unknown' });
    expect(await errorOf(surface.getAgent('nobody'))).toMatchObject({ code: 'agent_unknown' });
    expect(await errorOf(surface.getCommand('x'))).toMatchObject({
      fields: [{ field: nameOf(name, 'commandId', 'command_id') }],
    });
    expect(await errorOf(surface.listAgents({}, 1001))).toMatchObject({
      fields: [{ field: nameOf(name, 'pageSize', 'page_size') }],
    });
  });

  test('counts calls by operation and outcome', async () => {
    await using api = await startApi();
    const surface = await surfaceOf(api, name);
    await surface.verbs();
    await errorOf(surface.getAgent('nobody'));
    const text = await api.metrics.render();
    const kind = name === 'trpc' ? 'trpc' : 'grpc';
    expect(text).toContain(
      `viworks_api_requests_total{surface="${kind}",operation="verbs.list",code="ok"} 1`,
    );
    expect(text).toContain(
      `viworks_api_requests_total{surface="${kind}",operation="agents.get",code="agent_unknown"} 1`,
    );
  });
});

test('every kind of error has a status of its own on every surface', () => {
  const statuses = Object.values(statusOfKind);
  for (const edge of ['http', 'trpc', 'connect'] as const) {
    expect(new Set(statuses.map((status) => status[edge])).size).toBe(statuses.length);
  }
});
