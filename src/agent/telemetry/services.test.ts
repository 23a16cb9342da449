import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { SampleSchema } from '#gen/viworks/agent/v1/telemetry_pb.js';
import { systemClock } from '../../lib/clock.ts';
import { silentLogger } from '../../lib/logger.ts';
import { problemsOf } from '../../protocol/validation.ts';
import { createCollector } from './collector.ts';
import { servicePattern } from './service-names.ts';
import { parseServices, readServices } from './services.ts';

const answer = `Id=nginx.service
LoadState=loaded
ActiveState=active
SubState=running
NRestarts=3

Id=gone.service
LoadState=not-found
ActiveState=inactive
SubState=dead
NRestarts=0

Id=postgresql.service
LoadState=loaded
ActiveState=failed
SubState=failed
NRestarts=
`;

/** A folder with a program of that name, as a shell's script. */
async function withProgram(name: string, script: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'viworks-services-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  await writeFile(join(folder, name), `#!/bin/sh\n${script}\n`);
  await chmod(join(folder, name), 0o755);
  return folder;
}

test('each service has its own state, under the name that was asked for', () => {
  const services = parseServices(['nginx', 'gone', 'postgres-alias', 'unanswered'], answer);
  expect(services.map(({ name, state, subState, restarts }) => [name, state, subState, restarts])).toEqual([
    ['nginx', 'active', 'running', 3],
    ['gone', 'not-found', 'dead', 0],
    ['postgres-alias', 'failed', 'failed', 0],
    ['unanswered', 'unknown', '', 0],
  ]);
});

test('systemctl is asked once for all of them, with an argument vector', async () => {
  const path = await withProgram(
    'systemctl',
    `printf '%s\\n' "$@" >"$(dirname "$0")/argv"\ncat <<'EOF'\n${answer}EOF`,
  );
  const names = ['nginx', 'gone', 'x y'];
  const services = await readServices({ names, path: `${path}:/bin:/usr/bin` });
  expect(services.map(({ state }) => state)).toEqual(['active', 'not-found', 'failed']);
  const argv = (await readFile(join(path, 'argv'), 'utf8')).trim().split('\n');
  expect(argv.slice(argv.indexOf('--'))).toEqual(['--', ...names]);
  expect(await readServices({ names: [], path: '/nowhere' })).toEqual([]);
});

test('a service manager that does not answer leaves every service unknown, and the sample says so', async () => {
  const path = await withProgram('systemctl', 'echo "no bus" >&2; exit 1');
  for (const where of [`${path}:/bin`, '/nowhere']) {
    const collect = createCollector({
      clock: systemClock,
      log: silentLogger,
      containers: true,
      services: ['nginx'],
      path: where,
    });
    const sample = await collect();
    sample.number = 1n;
    expect(sample.services).toMatchObject([{ name: 'nginx', state: 'unknown' }]);
    expect(sample.unread).toEqual(expect.arrayContaining(['services', 'containers']));
    expect(problemsOf(SampleSchema, sample)).toEqual([]);
  }
});

test.each(['nginx', 'getty@tty1.service', 'a_b-c.timer', 'dev-disk\\x2d1.device'])('%s is a name', (name) => {
  expect(servicePattern.test(name)).toBe(true);
});

test.each(['', '-H', 'a b', 'a;b', 'a/b', 'x'.repeat(256)])('"%s" is none', (name) => {
  expect(servicePattern.test(name)).toBe(false);
});
