import { afterAll, beforeAll, expect, test } from 'vitest';
import { statement } from '../../src/storage/database.ts';
import { openTestDatabase } from '../support/postgres.ts';
import { runCli, startSharedCli } from '../support/process.ts';

/** `viworks health` against a running control plane with one agent of its own, and others that are not well. */

let database: Awaited<ReturnType<typeof openTestDatabase>>;
let server: ReturnType<typeof startSharedCli>;
let agentId: string;

const cli = (...args: string[]) => runCli(args, { env: { VIWORKS_DATA_DIR: server.dataDir } });
const json = async (...args: string[]) => JSON.parse((await cli(...args, '--json')).stdout);

beforeAll(async () => {
  database = await openTestDatabase();
  server = startSharedCli(['start'], {
    VIWORKS_API_PORT: '0',
    VIWORKS_AGENT_PORT: '0',
    DATABASE_URL: database.url,
    TELEMETRY_COLLECTION_INTERVAL: '0.5',
    TELEMETRY_ANOMALY_DETECTION: 'true',
  });
  await server.process.stdout.match(/Ctrl-C stops/);
  const own = statement('test_own', 'select agent_id as "agentId" from agents');
  agentId = (await database.database.query<{ agentId: string }>(own, []))[0]?.agentId ?? '';
  const away = statement(
    'test_away',
    `insert into agents (agent_id, site, incarnation, last_seen_at) select 'away-' || n, 'paris', 1, now()
     from generate_series(1, 30) n`,
  );
  await database.database.query(away, []);
}, 60_000);

afterAll(async () => {
  await server?.stop();
  await database?.drop();
}, 60_000);

test('an agent that has measured something is healthy, and its report says what it measured', async () => {
  // Each call takes a while; the test's own end is the bound.
  while ((await json('health', agentId)).agent.figures?.metrics.cpu === undefined);
  const { code, stdout } = await cli('health', agentId, '--trends', '--days', '1');
  expect(stdout).toMatch(new RegExp(`^${agentId} in local is healthy$`, 'm'));
  expect(code).toBe(0);
  expect(stdout).toMatch(/^alerts +none$/m);
  expect(stdout).toMatch(/^figures +of .* ago: cpu [\d.]+ %, memory [\d.]+ %/m);
  expect(stdout).toMatch(/^disk +\/\S* +[\d.]+ %, .*B free$/m);
  expect(stdout).toMatch(/^unusual +not known yet: 0 of 7 days that it takes$/m);
  expect(stdout).toMatch(/^trends +\S+, the last 1d/m);
  expect(stdout).toMatch(/^ {2}disk \/\S*: [\d.]+ %, no trend yet: \d+ of 12 points, over .* of 6h$/m);
  expect(await json('health', agentId, '--trends')).toMatchObject({
    agent: { agentId, verdict: 'healthy', figures: { current: true } },
    trends: { agentId, trends: expect.arrayContaining([expect.objectContaining({ metric: 'disk' })]) },
  });
}, 60_000);

test('a site that is not well says so, with its worst agents, and in the exit code', async () => {
  const paris = await cli('health', '--site', 'paris');
  expect(paris.code).toBe(1);
  expect(paris.stdout).toMatch(/^site paris: (unknown|unhealthy) \(30 (unknown|unhealthy) of 30 agents\)$/m);
  expect(paris.stdout).toMatch(/^(unknown|unhealthy) +away-1: it is not connected, for /m);
  expect(paris.stdout).toMatch(/^ +and 10 more that are not healthy$/m);
  const all = await cli('health', '--all');
  expect(all.code).toBe(1);
  expect(all.stdout).toMatch(/^all agents: .* of 31 agents\)$/m);
  expect(all.stdout).toMatch(/^site +local is /m);
  expect(all.stdout).toMatch(new RegExp(`^memory +average .* on ${agentId} \\(1 of 31 agents\\)$`, 'm'));
  expect((await json('health', '--all')).fleet.agents).toMatchObject({ healthy: expect.any(Number) });
  expect(await cli('health', '--site', 'local')).toMatchObject({ code: 0 });
}, 60_000);

test('without a name it is the control plane that is asked for, and the others are a line', async () => {
  const { code, stdout } = await cli('health');
  expect(code).toBe(0);
  expect(stdout).toMatch(/^ok, version/);
  expect(stdout).toMatch(/^fleet +(unknown|unhealthy): .* of 31 agents$/m);
  expect(await json('health')).toMatchObject({ status: 'ok', fleet: { siteCount: 2 } });
}, 60_000);

test('whoever is limited to a site sees that site and no other', async () => {
  const { stdout } = await cli(
    'token',
    'create',
    '--subject',
    'eve',
    '--role',
    'operator',
    '--site',
    'paris',
  );
  const eve = (...args: string[]) => cli('health', ...args, '--token', stdout.trim());
  const [all, local, own, nobody] = await Promise.all([
    eve('--all'),
    eve('--site', 'local'),
    eve(agentId),
    eve('nobody'),
  ]);
  expect(all.stdout).toMatch(/ of 30 agents\)$/m);
  expect(local).toMatchObject({
    code: 1,
    stdout: expect.stringContaining('site local: unknown (there are no agents)'),
  });
  expect(own).toMatchObject({ code: 2, stderr: expect.stringContaining('There is no agent') });
  expect(own.stderr.replaceAll(agentId, 'nobody')).toBe(nobody.stderr);
}, 60_000);

test.each([
  [['a', '--all'], 'give one of an agent, --site and --all'],
  [['--site', 'paris', '--all'], 'give one of an agent, --site and --all'],
  [['--all', '--trends'], '--trends needs an agent'],
  [['a', '--trends', '--days', '31'], 'must be a number of days, at most 30'],
  [['--site', 'Not A Site'], 'must be 1 to 63 characters'],
])('wrong usage is refused: health %j', async (args, message) => {
  const { code, stderr } = await cli('health', ...args);
  expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringContaining(message) });
});
