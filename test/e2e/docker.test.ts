import { rm } from 'node:fs/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createDockerStandIn, type DockerStandIn } from '../support/docker-stand-in.ts';
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts';
import { runCli, startSharedCli } from '../support/process.ts';

/** Verbs of docker from the command line to the docker command of a machine, which is a stand-in. */

let database: TestDatabase;
let server: ReturnType<typeof startSharedCli>;
let docker: DockerStandIn;

beforeAll(async () => {
  database = await createTestDatabase();
  docker = await createDockerStandIn();
  await docker.runs('version', 'echo 28.2.2');
  await docker.runs('compose version', 'echo 2.35.0');
  await docker.answers('ps', { stdout: '' });
  server = startSharedCli(['start'], {
    VIWORKS_API_PORT: '0',
    VIWORKS_AGENT_PORT: '0',
    DATABASE_URL: database.url,
    PATH: `${docker.path}:${process.env.PATH ?? ''}`,
  });
  await server.process.stdout.match(/Ctrl-C stops/);
}, 60_000);

afterAll(async () => {
  await server?.stop();
  await database?.drop();
  if (docker) await rm(docker.dir, { recursive: true });
}, 60_000);

const cli = (...args: string[]) => runCli(args, { env: { VIWORKS_DATA_DIR: server.dataDir } });

/** The arguments of the last call of the verb, without those of telemetry. */
const called = async (verb: string) => (await docker.calls()).findLast((argv) => argv.includes(verb));

test('the agent announces what its docker can do', async () => {
  const { stdout } = await cli('agents', '--json');
  expect(JSON.parse(stdout)[0].capabilities).toEqual(expect.arrayContaining(['compose', 'docker']));
});

test('docker.run shows the output of the container and ends as it does', async () => {
  await docker.answers('run', { stdout: 'Linux\n', stderr: 'careful\n', exitCode: 3 });
  const args = ['--arg', 'image=alpine:3', '--arg', 'remove', '--arg', 'environment.A=b c'];
  const { code, stdout, stderr } = await cli('run', 'docker.run', '--all', ...args, '--', 'uname', '-a');
  expect({ code, stdout }).toEqual({ code: 1, stdout: 'Linux\n' });
  expect(stderr).toMatch(/careful[\s\S]*The program ended with exit code 3\./);
  expect((await called('run'))?.slice(3)).toEqual(['--rm', '--env=A=b c', '--', 'alpine:3', 'uname', '-a']);
});

test('what may be repeated is tried again where docker may answer later, and not where it never will', async () => {
  await docker.runs(
    'pull',
    `if [ -e "${docker.dir}/pulled" ]; then echo docker.io/library/nginx:1; exit 0; fi
     : > "${docker.dir}/pulled"; echo 'dial tcp: i/o timeout' >&2; exit 1`,
  );
  const later = await cli('run', 'docker.pull', 'nginx:1', '--all', '--retries', '2');
  expect(later).toMatchObject({ code: 0, stderr: expect.stringMatching(/retry 1 of 2/) });
  await docker.answers('stop', {
    stderr: 'Error response from daemon: No such container: web\n',
    exitCode: 1,
  });
  const never = await cli('run', 'docker.stop', 'web', '--all', '--retries', '2', '--json');
  const last = JSON.parse(never.stdout.trim().split('\n').at(-2) ?? '');
  expect(last.execution).toMatchObject({
    state: 'failed',
    attempt: 1,
    result: { failure: { code: 'not_found' } },
  });
});

test('compose.ps answers with the containers of the project', async () => {
  const row = { ID: 'f1', Name: 'shop-web-1', Service: 'web', State: 'running', ExitCode: 0 };
  await docker.answers('compose ps', { stdout: JSON.stringify(row) });
  const { code, stdout } = await cli('run', 'compose.ps', docker.dir, '--all');
  expect(code).toBe(0);
  expect(JSON.parse(stdout).containers).toMatchObject([{ name: 'shop-web-1', state: 'running' }]);
});

test('a name that looks like an option is refused before it is stored', async () => {
  const { code, stderr } = await cli('run', 'docker.rm', '--all', '--', '--force');
  expect(code).toBe(2);
  expect(stderr).toMatch(/args\.containers\[0\]/);
  expect(await called('rm')).toBeUndefined();
});
