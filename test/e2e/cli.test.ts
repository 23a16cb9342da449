import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts';
import { runCli, startSharedCli } from '../support/process.ts';

/** The command line against one running control plane with one agent. */

let database: TestDatabase;
let server: ReturnType<typeof startSharedCli>;

beforeAll(async () => {
  database = await createTestDatabase();
  server = startSharedCli(['start'], {
    VIWORKS_API_PORT: '0',
    VIWORKS_AGENT_PORT: '0',
    DATABASE_URL: database.url,
  });
  await server.process.stdout.match(/Ctrl-C stops/);
}, 60_000);

afterAll(async () => {
  await server?.stop();
  await database?.drop();
}, 60_000);

const cli = (...args: string[]) => runCli(args, { env: { VIWORKS_DATA_DIR: server.dataDir } });
const json = async (...args: string[]) => {
  const { stdout } = await cli(...args, '--json');
  return stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
};

const agentId = async (): Promise<string> => (await json('agents'))[0][0].agentId;

test('run prints output to stdout and what it says about it to stderr', async () => {
  const { code, stdout, stderr } = await cli(
    'run',
    'exec',
    '--all',
    '--',
    'sh',
    '-c',
    'echo out; echo err >&2',
  );
  expect({ code, stdout }).toEqual({ code: 0, stdout: 'out\n' });
  expect(stderr).toMatch(/succeeded .*exit 0/);
  expect(stderr).toMatch(/^err$/m);
  expect(stderr).toMatch(/1 succeeded \(command [0-9a-f-]{36}\)\n$/);
});

test('run exits 1 when an execution does not succeed', async () => {
  const { code, stderr } = await cli('run', 'exec', '--all', '--', 'false');
  expect(code).toBe(1);
  expect(stderr).toMatch(/1 failed/);
  expect((await cli('run', 'exec', '--all', '--timeout', '200ms', '--', 'sleep', '20')).stderr).toMatch(
    /1 timed out/,
  );
});

test('run --json is one document a line', async () => {
  const events = await json('run', 'system.info', '--agent', await agentId());
  expect(events[0]).toMatchObject({ event: 'submitted', command: { verb: 'system.info', done: false } });
  expect(events.at(-1)).toMatchObject({ event: 'done', succeeded: true, command: { done: true } });
  const last = events.findLast(({ event }) => event === 'execution');
  expect(last.execution).toMatchObject({
    state: 'succeeded',
    result: { output: { hostname: expect.any(String) } },
  });
});

test('a rollout is followed; a stop is told with its reason and what can be done about it', async () => {
  const good = await cli('run', 'exec', '--all', '--canary', '1', '--', 'true');
  expect(good.code).toBe(0);
  expect(good.stderr).toMatch(/^rollout completed: 1 of 1 let go; 1 succeeded/m);

  const bad = await cli('run', 'exec', '--all', '--canary', '1', '--batch', '10%', '--', 'false');
  expect(bad.code).toBe(1);
  expect(bad.stderr).toMatch(/^rollout stopped \(the canary did not succeed: 1 of 1 failed/m);
  const events = await json('run', 'exec', 'false', '--all', '--rollout');
  expect(events.findLast(({ event }) => event === 'rollout')).toMatchObject({
    rollout: { state: 'stopped', counts: { failed: 1 } },
  });
  expect(events.at(-1)).toMatchObject({ succeeded: false, command: { rollout: { state: 'stopped' } } });

  const { commandId } = events[0].command;
  expect((await cli('rollouts', 'show', commandId)).stdout).toMatch(/^plan +canary 1, batches of 25%/m);
  expect((await cli('rollouts')).stdout).toContain(commandId);
  const resume = await cli('rollouts', 'resume', commandId, '--force');
  expect(resume.code).toBe(2);
  expect(resume.stderr).toMatch(/nothing is left that it could let go/);
});

test('a rollout is paused, and aborted with what runs', async () => {
  const { stdout } = await cli('run', 'exec', '--all', '--rollout', '--no-wait', '--', 'sleep', '60');
  const commandId = stdout.trim();
  const paused = await cli('rollouts', 'pause', commandId, '--reason', 'lunch');
  expect(paused.stdout).toMatch(/^rollout +paused \(paused by operator: lunch\): /m);
  expect((await cli('rollouts', 'list', '--state', 'paused')).stdout).toContain(commandId);
  await cli('rollouts', 'resume', commandId);
  const aborted = await cli('rollouts', 'abort', commandId, '--stop-running');
  expect(aborted.stdout).toMatch(/^rollout +aborted \(aborted by operator\): /m);
  const watched = await cli('commands', 'watch', commandId);
  expect(watched.code).toBe(1);
  expect(watched.stderr).toMatch(/^1 cancelled/m);
});

test('a template is saved, tried and run', async () => {
  const file = join(server.dataDir, 'greet.json');
  const template = {
    name: 'greet',
    parameters: [
      { name: 'who', type: 'string', pattern: '[a-z ]+', example: 'you' },
      { name: 'times', type: 'integer', max: 3, default: 1 },
    ],
    command: { verb: 'exec', args: { argv: ['echo', 'hello {{who}}', '{{times|text}}'] } },
  };
  writeFileSync(file, JSON.stringify(template));
  expect((await cli('templates', 'save', file)).stdout).toMatch(/^template +greet, revision 1, by operator/);
  const again = await cli('templates', 'save', file);
  expect(again.code).toBe(2);
  expect(again.stderr).toMatch(/the template greet has the revision 1, and none was given/);
  writeFileSync(file, JSON.stringify((await json('templates', 'get', 'greet'))[0]));
  expect((await cli('templates', 'save', file)).stdout).toMatch(/revision 2/);
  expect((await cli('templates')).stdout).toMatch(/^greet +exec +who times +2 /m);
  const [rendered] = await json('templates', 'render', 'greet', '--param', 'who=you all', '--all');
  expect(rendered.args).toEqual({ argv: ['echo', 'hello you all', '1'] });
  const run = await cli('run', '--template', 'greet', '--param', 'who=x; id', '--all');
  expect({ code: run.code, stderr: run.stderr }).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('params.who: must match [a-z ]+'),
  });
  const good = await cli('run', '--template', 'greet', '--param', 'who=a b', '--param', 'times=3', '--all');
  expect(good).toMatchObject({ code: 0, stdout: 'hello a b 3\n' });
  expect((await cli('run', '--template', 'greet', '--param', 'who=a', '--all', '--dry-run')).stdout).toMatch(
    /would go to 1 agent/,
  );
  expect((await cli('templates', 'delete', 'greet')).code).toBe(0);
  expect((await cli('run', '--template', 'greet', '--all')).stderr).toMatch(/There is no template greet/);
});

test('a schedule is made, looked at, changed, run and deleted', async () => {
  const when = ['--cron', '30 2 * * 1-5', '--time-zone', 'Europe/Berlin', '--overlap', 'skip'];
  const made = await cli('schedules', 'create', 'nightly', ...when, 'exec', '--all', '--', 'echo', 'tidy');
  expect(made.stdout).toMatch(/^when +30 2 \* \* 1-5 \(Europe\/Berlin\); missed: skip; overlap: skip$/m);
  expect((await cli('schedules')).stdout).toMatch(/^nightly .* never +ok$/m);
  expect((await json('schedules', 'next', 'nightly', '--count', '3'))[0]).toHaveLength(3);
  const spring = await cli('schedules', 'next', '--cron', '*/15 2 29 3 *', '--time-zone', 'Europe/Berlin');
  expect(spring.code).toBe(0);
  const changed = await cli('schedules', 'update', 'nightly', '--cron', '0 4 * * *', '--missed', 'once');
  expect(changed.stdout).toMatch(
    /^when +0 4 \* \* \* \(Europe\/Berlin\); missed: once, within 3600 s; overlap: skip$/m,
  );
  expect((await cli('schedules', 'pause', 'nightly')).stdout).toMatch(/^next +paused$/m);
  expect((await cli('schedules', 'resume', 'nightly')).stdout).toMatch(/^next +20/m);
  const run = await cli('schedules', 'run', 'nightly');
  expect({ code: run.code, stdout: run.stdout }).toEqual({ code: 0, stdout: 'tidy\n' });
  const wrong = await cli('schedules', 'create', 'x', '--cron', '61 * * * *', 'exec', '--all', '--', 'true');
  expect(wrong.code).toBe(2);
  expect(wrong.stderr).toMatch(/timing.cron: must be a cron expression/);
  expect((await cli('schedules', 'delete', 'nightly')).code).toBe(0);
});

test('a schedule submits by itself', async () => {
  await cli('schedules', 'create', 'tick', '--cron', '* * * * * *', 'exec', '--all', '--', 'true');
  const runs = async (): Promise<string[]> => {
    const [commands] = await json('commands', 'list');
    return commands.flatMap(({ origin, idempotencyKey }: { origin?: string; idempotencyKey?: string }) =>
      origin === 'schedule:tick' ? [idempotencyKey ?? ''] : [],
    );
  };
  // Each call takes a while; the test's own end is the bound.
  while ((await runs()).length < 2);
  const paused = await cli('schedules', 'pause', 'tick');
  expect(paused.stdout).toMatch(/^command +[0-9a-f-]{36}$/m);
  const after = await runs();
  expect(new Set(after).size).toBe(after.length);
  for (const key of after) expect(key).toMatch(/^schedule:tick:1:20.*Z$/);
  await cli('schedules', 'delete', 'tick');
});

test('typed args reach the agent', async () => {
  const { stdout } = await cli(
    'run',
    'exec',
    '--all',
    '--arg',
    'environment.GREETING=hi',
    '--arg',
    'working_directory=/',
    '--',
    'sh',
    '-c',
    'echo $GREETING; pwd',
  );
  expect(stdout).toBe('hi\n/\n');
  expect((await cli('run', 'file.read', '/proc/self/comm', '--all')).code).toBe(0);
});

test.for([
  [['run', 'exce', '--all'], /no verb exce; did you mean exec\?/],
  [['run', 'exec', '--all', '--arg', 'foo=1'], /exec has no such arg/],
  [
    ['run', 'exec', '--', 'ls'],
    /choose the agents by one of --agent ID, --site SITE, --select NAME=VALUE and --all/,
  ],
  [['run', 'exec', '--agent', 'nobody', '--', 'ls'], /nobody/],
  [['run', 'exec', '--all'], /argv/],
  [['run', 'exec', '--all', '--timeout', 'soon', '--', 'ls'], /must be a duration such as/],
  [['run', 'exec', '--site', 'nowhere', '--', 'ls'], /error: /],
  [['commands', 'get', 'x'], /commandId/],
  [['agents', 'get', 'nobody'], /nobody/],
  [['agnets'], /unknown command 'agnets'[\s\S]*agents/],
] as const)('%j is refused with exit code 2', async ([args, message]) => {
  const { code, stderr, stdout } = await cli(...args);
  expect(stderr).toMatch(message);
  expect(stderr).toMatch(/^error: /);
  expect(stderr).not.toMatch(/\n +at /);
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
});

test('--no-wait leaves an id that commands can follow, show and cancel', async () => {
  const { stdout } = await cli('run', 'exec', '--all', '--no-wait', '--', 'sleep', '60');
  const commandId = stdout.trim();
  expect((await cli('commands', 'cancel', commandId, '--reason', 'test')).code).toBe(0);
  const watched = await cli('commands', 'watch', commandId);
  expect(watched.code).toBe(1);
  expect(watched.stderr).toMatch(/1 cancelled/);
  const [shown] = await json('commands', 'get', commandId);
  expect(shown).toMatchObject({ command: { commandId, done: true }, executions: [{ state: 'cancelled' }] });
  expect((await cli('commands', 'get', commandId)).stdout).toMatch(/queued[\s\S]*cancelled/);
  expect((await cli('commands')).stdout).toContain(commandId);
});

test('the same idempotency key gives the same command', async () => {
  const args = ['run', 'exec', '--all', '--no-wait', '--idempotency-key', 'once', '--', 'true'];
  expect((await cli(...args)).stdout).toBe((await cli(...args)).stdout);
});

test('an agent in maintenance holds its commands until it is back', async () => {
  const id = await agentId();
  expect((await cli('agents', 'maintenance', id, '--reason', 'new disk')).stdout).toMatch(/now maintenance/);
  const commandId = (await cli('run', 'exec', '--all', '--no-wait', '--', 'echo', 'waited')).stdout.trim();
  const [held] = await json('commands', 'get', commandId);
  expect(held.executions).toMatchObject([{ state: 'held' }]);
  expect((await cli('agents', 'get', id)).stdout).toMatch(/maintenance \(new disk\)/);
  expect((await cli('agents', 'resume', id)).stdout).toMatch(/now online/);
  expect(await cli('commands', 'watch', commandId)).toMatchObject({ code: 0, stdout: 'waited\n' });
});

test('lists and reports read well and parse well', async () => {
  const [agents] = await json('agents');
  expect(agents).toMatchObject([{ status: 'online', site: 'local' }]);
  expect((await cli('agents')).stdout).toMatch(/^AGENT +STATUS .*\n.* online +local /);
  expect((await cli('verbs')).stdout).toMatch(/^VERB[\s\S]*system\.info/);
  expect((await cli('verbs', 'file.read')).stdout).toMatch(/path {2}\(text; required; also without a name\)/);
  expect(await cli('health')).toMatchObject({ code: 0, stdout: expect.stringMatching(/^ok, version/) });
  expect((await json('health'))[0]).toMatchObject({ status: 'ok' });
  expect((await cli('agents', 'get', await agentId())).stdout).toMatch(
    /^telemetry +\d+s ago: cpu [\d.]+ %, memory [\d.]+ %, disk [\d.]+ %, load [\d.]+$/m,
  );
  expect(await cli('top', '--site', 'nowhere')).toMatchObject({ code: 0, stdout: 'No agent matches.\n' });
  const ignored = await Promise.all([
    cli('health', 'web-1', '--days', '3'),
    cli('telemetry', '--limit', '3'),
  ]);
  expect(ignored).toMatchObject([{ code: 2 }, { code: 2 }]);
});

test('tokens: a viewer may look and not act, and the file of the server is sent to no other', async () => {
  const { stdout } = await cli(
    'token',
    'create',
    '--subject',
    'auditor',
    '--role',
    'viewer',
    '--lifetime',
    '5m',
  );
  const asViewer = { VIWORKS_DATA_DIR: server.dataDir, VIWORKS_TOKEN: stdout.trim() };
  expect((await runCli(['agents'], { env: asViewer })).code).toBe(0);
  const refused = await runCli(['run', 'exec', '--all', '--', 'true'], { env: asViewer });
  expect(refused).toMatchObject({ code: 2, stdout: '' });
  const elsewhere = await cli('agents', '--url', 'http://127.0.0.1:1');
  expect(elsewhere).toMatchObject({ code: 2, stderr: expect.stringMatching(/no token for http/) });
  const enrolment = await cli('token', 'enroll', '--site', 'berlin', '--uses', '2', '--lifetime', '1h');
  expect(enrolment).toMatchObject({ code: 0, stdout: expect.stringMatching(/^\S+\n$/) });
});

test.each([['agents'], ['health'], ['top', '--once'], ['telemetry', 'web-1', '--follow']])(
  'a server that is not there is one line of %s',
  async (...args) => {
    const { code, stderr } = await cli(...args, '--url', 'http://127.0.0.1:2', '--token', 'x');
    expect(code).toBe(1);
    expect(stderr).toMatch(/^error: The server cannot be reached: .*ECONNREFUSED/);
  },
);

test('health says that the database is away although no token can be looked at then', async () => {
  const detail = 'The database did not answer within 2000 ms.';
  const report = {
    status: 'degraded',
    version: '1.2.3',
    uptimeMs: 61_000,
    components: [{ name: 'database', status: 'down', detail }],
    agents: {},
    executions: {},
  };
  // Whatever else is asked of it waits for the database.
  const away = createServer((request, response) => {
    if (request.url === '/health') response.end(JSON.stringify(report));
  });
  away.listen(0, '127.0.0.1');
  await once(away, 'listening');
  onTestFinished(() => void away.close().closeAllConnections());
  const { port } = away.address() as AddressInfo;
  const { code, stdout } = await cli('health', '--url', `http://127.0.0.1:${port}`, '--token', 'x');
  expect(code).toBe(1);
  expect(stdout).toBe(
    'degraded, version 1.2.3, up 1m 1s\n' +
      `  database     down ${detail}\nagents      not known now\nexecutions  not known now\n`,
  );
});

test('doctor finds nothing wrong here, and says what is wrong elsewhere', async () => {
  const env = {
    VIWORKS_DATA_DIR: server.dataDir,
    DATABASE_URL: database.url,
    VIWORKS_API_PORT: '0',
    VIWORKS_AGENT_PORT: '0',
  };
  const well = await runCli(['doctor', '--json'], { env });
  const findings: { check: string; status: string }[] = JSON.parse(well.stdout);
  expect(findings.filter(({ status }) => status !== 'ok')).toEqual([]);
  expect(well.code).toBe(0);
  const limited = ['tokens', 'create', 'limited', '--role', 'viewer', '--site', 'test', '--json'];
  const { token } = JSON.parse((await runCli(limited, { env })).stdout);
  expect(await runCli(['doctor', '--token', token], { env })).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/^ok +certificates +not looked at/m),
  });
  const ill = await runCli(['doctor'], {
    env: { ...env, DATABASE_URL: 'postgres://127.0.0.1:1/x', VIWORKS_TOKEN: 'x' },
  });
  expect(ill.code).toBe(1);
  expect(ill.stdout).toMatch(/^fail +database +DATABASE_URL: the database refuses/m);
  expect(ill.stdout).toMatch(/^fail +token /m);
});

test('migrate is content with what is up to date', async () => {
  const env = { DATABASE_URL: database.url };
  expect(await runCli(['migrate'], { env })).toMatchObject({
    code: 0,
    stdout: 'The schema is up to date.\n',
  });
});

test('help names every subcommand and shows examples', async () => {
  const { code, stdout } = await runCli(['--help']);
  expect(code).toBe(0);
  for (const name of [
    'start',
    'serve',
    'agent',
    'migrate',
    'doctor',
    'run',
    'agents',
    'commands',
    'rollouts',
    'templates',
    'schedules',
    'verbs',
    'token',
    'health',
  ]) {
    expect(stdout).toMatch(new RegExp(`^  ${name}\\b`, 'm'));
  }
  expect((await runCli(['run', '--help'])).stdout).toContain('Examples:');
  const manifest = JSON.parse(readFileSync(join(import.meta.dirname, '../../package.json'), 'utf8'));
  expect((await runCli(['--version'])).stdout).toBe(`${manifest.version}\n`);
});
