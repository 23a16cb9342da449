import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { agentId, createProcessRig, type ProcessRig } from '../support/app-process.ts';
import { runCli } from '../support/process.ts';

/** `viworks telemetry` of an agent that measures this machine. */

/** A server, and an agent of it that has a number of its own; resolves when some samples are there. */
async function startRig(): Promise<ProcessRig> {
  const rig = createProcessRig();
  appendFileSync(join(rig.folder, 'viworks.toml'), '[telemetry]\ncollection_interval = 0.2\n');
  await rig.startServer();
  const metrics = join(rig.folder, 'agent', 'metrics');
  mkdirSync(metrics, { recursive: true });
  writeFileSync(join(metrics, 'shop.metrics'), 'queue.length 12\n');
  await rig.startAgent();
  for (;;) {
    const { samples } = await rig.client().telemetry.samples.query({ agentId });
    if (samples.length >= 5) return rig;
  }
}

const cliOf =
  (rig: ProcessRig) =>
  (env: Record<string, string>, ...args: string[]) =>
    runCli(['telemetry', ...args], { env: { VIWORKS_DATA_DIR: rig.dataDir, ...env } });

const utf8 = { LANG: 'C.UTF-8' };

test('it shows what an agent measured, now and over time', async () => {
  const rig = await startRig();
  const cli = cliOf(rig);
  const [all, one, plain, plots, samples, json, fleet, sites, help] = await Promise.all([
    cli(utf8),
    cli(utf8, agentId),
    cli({}, agentId),
    cli(utf8, agentId, '--metric', 'metrics.queue.length', '--metric', 'disk:/nowhere', '--since', '10m'),
    cli(utf8, agentId, '--samples', '--limit', '3'),
    cli(utf8, agentId, '--json'),
    cli(utf8, '--site', 'test', '--metric', 'memory'),
    cli(utf8, '--by-site', '--json'),
    cli(utf8, '--help'),
  ]);
  expect(all.stdout).toMatch(/^worker +test +online +\d+s ago +[\d.]+ % +[\d.]+ %/m);

  expect(one).toMatchObject({ code: 0, stderr: '' });
  expect(one.stdout).toMatch(/^worker in test, online$/m);
  expect(one.stdout).toMatch(/^sample +\d+s ago \(20.*Z\)$/m);
  expect(one.stdout).toMatch(/^cpu +[\d.]+ % of \d+ cores?, load [\d.]+ [\d.]+ [\d.]+$/m);
  expect(one.stdout).toMatch(/^memory +[\d.]+ % \([\d.]+ [GM]iB of [\d.]+ GiB\)$/m);
  expect(one.stdout).toMatch(/^metrics\.queue\.length +12$/m);
  expect(one.stdout).toMatch(/^cpu {2}last [\d.]+ %, average [\d.]+ %, min [\d.]+ %, max [\d.]+ %$/m);
  expect(one.stdout).toMatch(/┤.*[\u2801-\u28ff]/);
  expect(one.stdout).toMatch(/^ +\d\d:\d\d +\d\d:\d\d +\d\d:\d\d UTC$/m);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: all of ASCII
  expect(plain.stdout).toMatch(/^[\u0000-\u007f]*\*[\u0000-\u007f]*$/);

  expect(plots.stdout).toMatch(/^metrics\.queue\.length {2}last 12, average 12, min 12, max 12$/m);
  expect(plots.stdout).toContain('disk:/nowhere  not measured in this time');
  expect(samples.stdout.trim().split('\n')).toHaveLength(4);
  expect(samples.stderr).toMatch(/^… the newest 3 of \d+; --limit shows more$/m);
  const { sample, series } = JSON.parse(json.stdout);
  expect(sample.metrics).toEqual({ 'queue.length': 12 });
  expect(series.spans.at(-1).metrics.cpu.average).toBeTypeOf('number');
  expect(fleet.stdout).toMatch(/^memory {2}last/m);
  expect(fleet.stdout).toMatch(/^last span: 1 agent, 95 of 100 with an average of at most [\d.]+ %$/m);
  expect(JSON.parse(sites.stdout)).toMatchObject([{ site: 'test', agents: 1, reporting: 1 }]);
  expect(help.stdout).toContain('viworks telemetry web-1 --samples');
}, 120_000);

test('it says what is wrong, and why there is nothing to see', async () => {
  const rig = await startRig();
  const cli = cliOf(rig);
  const spec = { site: 'attic', labels: {}, uses: 1, lifetimeMs: 60_000 };
  const { token } = await rig.client().tokens.createEnrollment.mutate(spec);
  const enrol = ['enroll', '--url', rig.agentUrl(), '--id', 'shelf', '--token', token];
  expect((await runCli([...enrol, '--data-dir', join(rig.folder, 'shelf')])).code).toBe(0);
  const issue = { subject: 'ann', role: 'operator' as const, lifetimeMs: 600_000 };
  const limited = await rig.client().tokens.createApi.mutate({ ...issue, sites: ['attic'] });
  const ann = { VIWORKS_TOKEN: limited.token, VIWORKS_URL: rig.apiUrl() };
  const [two, unknown, name, metric, span, free, silent, past, hidden, seen, none] = await Promise.all([
    cli(utf8, agentId, '--all'),
    cli(utf8, 'nobody'),
    cli(utf8, agentId, '--metric', 'heat'),
    cli(utf8, '--all', '--metric', 'disk:/'),
    cli(utf8, agentId, '--resolution', '2m'),
    cli(utf8, '--since', '2h'),
    cli(utf8, 'shelf'),
    cli(utf8, agentId, '--from', '2026-01-01', '--to', '2026-01-02'),
    cli(ann, agentId),
    cli(ann),
    cli(ann, '--all'),
  ]);
  expect([two.code, unknown.code, name.code, metric.code, span.code, free.code]).toEqual([2, 2, 2, 2, 2, 2]);
  expect(two.stderr).toContain('give one of an agent, --site, --select and --all');
  expect(unknown.stderr).toContain('There is no agent "nobody".');
  expect(name.stderr).toContain('metrics[0]: must be one of cpu, memory');
  expect(metric.stderr).toContain('metric: must be one of cpu, memory');
  expect(span.stderr).toContain('must be 1m, 15m or 1h');
  expect(free.stderr).toContain('name an agent, or give --site, --select or --all');
  expect(silent.stdout).toBe(
    'shelf in attic, offline, last seen never\nNo telemetry. shelf has never connected.\n',
  );
  expect(past.stdout).toMatch(/^No samples from 2026-01-01T.* to 2026-01-02T.*\. Its newest sample is of 20/);
  // Of another site one sees that agent as little as one that there is not.
  expect(hidden.stderr).toContain(`There is no agent "${agentId}".`);
  expect(seen.stdout).toMatch(/^shelf +attic +offline +never/m);
  expect(seen.stdout).not.toContain(agentId);
  expect(none.stdout).toMatch(/^No samples from /);

  await rig.kill(rig.agent());
  for (;;) {
    const { agents } = await rig.client().agents.list.query({ filter: { status: 'offline', site: 'test' } });
    if (agents.length > 0) break;
  }
  expect((await cli(utf8, agentId)).stdout).toMatch(/^worker in test, offline, last seen \d+s ago$/m);
  const gone = await cli(utf8, agentId, '--from', '2026-01-01', '--to', '2026-01-02');
  expect(gone.stdout).toMatch(/It is not connected; it was last seen \d+s ago\. Its newest sample is of 20/);
}, 120_000);
