import { fileURLToPath } from 'node:url';
import { createClient as createGrpcClient } from '@connectrpc/connect';
import { createGrpcTransport } from '@connectrpc/connect-node';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ControlService } from '#gen/viworks/control/v1/control_service_pb.js';
import { startPanel } from '../../examples/plugins/panel/panel-server.ts';
import { otherVerb } from '../../src/api/client.ts';
import { createClient } from '../../src/cli/client.ts';
import { readOperatorFile } from '../../src/cli/data-dir.ts';
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts';
import { runCli, startCli, startSharedCli } from '../support/process.ts';

/** The example plug-ins on a running control plane with one agent, over the command line and over tRPC. */

const example = (path: string) => fileURLToPath(new URL(`../../examples/plugins/${path}`, import.meta.url));

let database: TestDatabase;
let server: ReturnType<typeof startSharedCli>;
let panel: Awaited<ReturnType<typeof startPanel>>;

beforeAll(async () => {
  database = await createTestDatabase();
  panel = await startPanel('secret');
  server = startSharedCli(['start'], {
    VIWORKS_API_PORT: '0',
    VIWORKS_AGENT_PORT: '0',
    DATABASE_URL: database.url,
    VIWORKS_PLUGINS: [example('hello/verbs.json'), example('panel/verbs.json')].join(','),
    VIWORKS_AGENT_PLUGINS: [example('hello/executor.ts'), example('panel/executor.ts')].join(','),
    PANEL_URL: panel.url,
    PANEL_TOKEN: 'secret',
  });
  await server.process.stdout.match(/Ctrl-C stops/);
}, 60_000);

afterAll(async () => {
  await server?.stop();
  await panel?.close();
  await database?.drop();
}, 60_000);

const cli = (...args: string[]) => runCli(args, { env: { VIWORKS_DATA_DIR: server.dataDir } });

/** Runs a verb that destroys something: it waits for a second person, who comes and approves it. */
async function runApproved(...args: string[]) {
  const made = await cli('token', 'create', '--subject', 'bob', '--role', 'operator');
  const run = startCli(['run', ...args], { env: { VIWORKS_DATA_DIR: server.dataDir } });
  const [, commandId = ''] =
    /commands approve (\S+)/.exec(await run.stderr.match(/commands approve \S+/)) ?? [];
  expect(await cli('commands', 'approve', commandId)).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('a second person can'),
  });
  const access = readOperatorFile(server.dataDir);
  const env = { VIWORKS_URL: access?.url ?? '', VIWORKS_TOKEN: made.stdout.trim() };
  expect((await runCli(['commands', 'list', '--awaiting-approval'], { env })).stdout).toContain(commandId);
  expect(await runCli(['commands', 'approve', commandId, '--reason', 'seen'], { env })).toMatchObject({
    code: 0,
  });
  const { code } = await run.exited;
  return { code, stdout: run.stdout.text(), stderr: run.stderr.text(), commandId };
}

function client() {
  const access = readOperatorFile(server.dataDir);
  if (access === undefined) throw new Error('the server left no token');
  return createClient(access);
}

test('the smallest plug-in runs from the command line, with args in their types and defaults', async () => {
  const once = await cli('run', 'hello.greet', 'Ada', '--all');
  expect({ code: once.code, output: JSON.parse(once.stdout) }).toEqual({
    code: 0,
    output: { greeting: 'Hello Ada!' },
  });
  const twice = await cli('run', 'hello.greet', '--all', '--arg', 'name=Ada', '--arg', 'times=2');
  expect(JSON.parse(twice.stdout)).toEqual({ greeting: 'Hello Ada! Hello Ada!' });
});

test('a panel user is created once and deleted', async () => {
  const create = ['run', 'panel.user.create', 'ada', '--all', '--arg', 'email=ada@example.com'];
  const created = await cli(...create, '--arg', 'plan=large', '--arg', 'domains=example.com');
  expect(created.code).toBe(0);
  expect(panel.users.get('ada')?.plan).toBe('large');
  const again = await cli(...create, '--retries', '3');
  expect(again).toMatchObject({ code: 1, stderr: expect.stringContaining('There is a user ada already.') });
  const gone = await runApproved('panel.user.delete', 'ada', '--all');
  expect(JSON.parse(gone.stdout)).toEqual({ deleted: true });
  expect(panel.users.has('ada')).toBe(false);
  expect((await cli('commands', 'get', gone.commandId)).stdout).toMatch(
    /approval +approved by bob at .*: seen/,
  );
});

test('args that break the schema are refused at submit, with every field named', async () => {
  const args = ['--all', '--args', '{"username": "0", "email": "nobody", "plan": "huge", "colour": "red"}'];
  const { code, stderr } = await cli('run', 'panel.user.create', ...args);
  expect(code).toBe(2);
  for (const problem of [
    /args\.username: must match pattern/,
    /args\.email: must match format "email"/,
    /args\.plan: must be one of small, medium, large/,
    /args\.colour: is not a known field/,
  ])
    expect(stderr).toMatch(problem);
  expect((await cli('run', 'hello.gret', '--all')).stderr).toMatch(/did you mean hello\.greet\?/);
  const unknown = await cli('run', 'panel.user.create', 'ada', '--all', '--arg', 'emial=x');
  expect(unknown).toMatchObject({ code: 2, stderr: expect.stringMatching(/did you mean email\?/) });
});

test('the catalogue lists and explains them', async () => {
  expect((await cli('verbs')).stdout).toMatch(/^panel\.user\.create +once +elevated +30 s +panel/m);
  const { stdout } = await cli('verbs', 'panel.user.create');
  expect(stdout).toMatch(/plan {2}\(small \| medium \| large; default: small\)/);
  expect(stdout).toContain('viworks run panel.user.create ada --agent web-1 --arg email=ada@example.com');
});

test('the same over tRPC: plan, submit, result', async () => {
  const trpc = client();
  const target = { all: true } as const;
  const verb = otherVerb('panel.user.create');
  const args = { username: 'eve', email: 'eve@example.com' };
  expect((await trpc.commands.plan.query({ verb, args, target })).chosenCount).toBe(1);
  const { command } = await trpc.commands.submit.mutate({ verb, args, target });
  const seen: unknown[] = [];
  for await (const { data } of trpc.commands.watch.subscribe({ commandId: command.commandId }))
    seen.push(...data.executions.map(({ result }) => result?.output));
  expect(seen.at(-1)).toMatchObject({ username: 'eve' });
});

test('what may be repeated is tried again, as for a built-in verb', async () => {
  panel.failNext(1);
  const { code, stderr } = await runApproved('panel.user.delete', 'nobody', '--all', '--retries', '1');
  expect({ code, stderr }).toEqual({ code: 0, stderr: expect.stringContaining('1 succeeded') });
  expect(stderr).toMatch(/retry 1 of 1/);
});

test('the same over gRPC', async () => {
  const access = readOperatorFile(server.dataDir);
  const transport = createGrpcTransport({
    baseUrl: access?.url ?? '',
    interceptors: [
      (next) => (request) => {
        request.header.set('authorization', `Bearer ${access?.token}`);
        return next(request);
      },
    ],
  });
  const control = createGrpcClient(ControlService, transport);
  const { verb } = await control.getVerb({ name: 'panel.user.create' });
  expect(verb).toMatchObject({ verb: { effect: 'once', argsMessage: '' }, argsSchema: { type: 'object' } });
  expect((await control.listVerbs({})).verbs.map(({ name }) => name)).toContain('hello.greet');
  const target = { target: { case: 'all', value: true } } as const;
  const spec = { verb: 'hello.greet', args: { name: 'Ada', times: 1 }, target };
  const { command } = await control.submitCommand({ spec });
  const seen: unknown[] = [];
  for await (const { executions } of control.watchCommand({ commandId: command?.commandId ?? '' }))
    seen.push(...executions.map(({ result }) => result?.output));
  expect(seen.at(-1)).toEqual({ greeting: 'Hello Ada!' });
  const wrong = control.submitCommand({ spec: { ...spec, args: { nam: 'Ada' } } });
  await expect(wrong).rejects.toThrow(/args\.nam: is not a known field/);
});
