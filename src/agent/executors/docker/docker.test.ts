import { watch } from 'node:fs';
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { create } from '@bufbuild/protobuf';
import { expect, test } from 'vitest';
import {
  DockerBuildArgsSchema,
  DockerBuildResultSchema,
  DockerPullArgsSchema,
  DockerPullResultSchema,
} from '#gen/viworks/verbs/v1/docker_image_pb.js';
import {
  DockerInspectArgsSchema,
  DockerInspectResultSchema,
  DockerLogsArgsSchema,
  DockerStatsArgsSchema,
  DockerStatsResultSchema,
} from '#gen/viworks/verbs/v1/docker_pb.js';
import {
  DockerExecArgsSchema,
  DockerRmArgsSchema,
  DockerRmResultSchema,
  DockerRunArgsSchema,
  DockerRunResultSchema,
  DockerStopArgsSchema,
  DockerStopResultSchema,
} from '#gen/viworks/verbs/v1/docker_run_pb.js';
import { execute, outputOf, textOf } from '../../../../test/support/agent-execute.ts';
import { dockerStandIn } from '../../../../test/support/docker-stand-in.ts';
import { silentLogger } from '../../../lib/logger.ts';
import { timestampMs } from '../../../protocol/envelope.ts';
import { dockerBuildExecutor, dockerPullExecutor } from './image.ts';
import { dockerInspectExecutor } from './inspect.ts';
import { dockerExecExecutor, dockerLogsExecutor, dockerRunExecutor } from './run.ts';
import { bytePair, bytesOf, timeOf } from './sizes.ts';
import { dockerStatsExecutor } from './stats.ts';
import { dockerRmExecutor, dockerStopExecutor } from './stop.ts';

// The documents below have the form that docker 28 prints, with fewer fields.

const inspected = [
  {
    Id: 'f1d2',
    Created: '2026-01-01T10:00:00.123456789Z',
    Path: '/docker-entrypoint.sh',
    Args: ['nginx', '-g', 'daemon off;'],
    State: {
      Status: 'running',
      Running: true,
      OOMKilled: false,
      Pid: 4242,
      ExitCode: 0,
      Error: '',
      StartedAt: '2026-01-01T10:00:01Z',
      FinishedAt: '0001-01-01T00:00:00Z',
      Health: { Status: 'healthy', FailingStreak: 0, Log: [] },
    },
    Image: 'sha256:abc',
    Name: '/web',
    RestartCount: 2,
    HostConfig: { RestartPolicy: { Name: 'unless-stopped', MaximumRetryCount: 0 } },
    Mounts: [
      { Type: 'bind', Source: '/srv/web', Destination: '/usr/share/nginx/html', Mode: 'ro', RW: false },
      {
        Type: 'volume',
        Name: 'logs',
        Source: '/var/lib/docker/volumes/logs/_data',
        Destination: '/logs',
        RW: true,
      },
    ],
    Config: { Image: 'nginx:1', Env: ['SECRET=hunter2'], Labels: { role: 'web' } },
    NetworkSettings: {
      Ports: { '80/tcp': [{ HostIp: '0.0.0.0', HostPort: '8080' }], '443/tcp': null },
      Networks: { bridge: { IPAddress: '172.17.0.2', GlobalIPv6Address: '' } },
    },
  },
];

test('docker.inspect gives the parts that count, and the whole document only where it is asked for', async () => {
  const docker = await dockerStandIn();
  await docker.answers('inspect', { stdout: JSON.stringify(inspected) });
  const executor = dockerInspectExecutor(docker);
  const outcome = await execute(executor, DockerInspectArgsSchema, { containers: ['web'] });
  const [web] = outputOf(DockerInspectResultSchema, outcome).containers;
  expect(web).toMatchObject({
    id: 'f1d2',
    name: 'web',
    image: 'nginx:1',
    imageId: 'sha256:abc',
    command: ['/docker-entrypoint.sh', 'nginx', '-g', 'daemon off;'],
    status: 'running',
    health: 'healthy',
    pid: 4242,
    restartCount: 2,
    restartPolicy: 'unless-stopped',
    labels: { role: 'web' },
    networks: { bridge: '172.17.0.2' },
  });
  expect([web?.finishedAt, web?.raw]).toEqual([undefined, undefined]);
  expect(timestampMs(web?.startedAt)).toBe(Date.UTC(2026, 0, 1, 10, 0, 1));
  expect(web?.ports).toMatchObject([
    { containerPort: '80/tcp', hostAddress: '0.0.0.0', hostPort: 8080 },
    { containerPort: '443/tcp', hostAddress: '', hostPort: 0 },
  ]);
  expect(web?.mounts.map(({ target, writable }) => [target, writable])).toEqual([
    ['/usr/share/nginx/html', false],
    ['/logs', true],
  ]);
  expect(JSON.stringify(web, (_, v) => (typeof v === 'bigint' ? String(v) : v))).not.toContain('hunter2');
  const whole = await execute(executor, DockerInspectArgsSchema, { containers: ['web'], raw: true });
  expect(outputOf(DockerInspectResultSchema, whole).containers[0]?.raw).toEqual(inspected[0]);
  expect((await docker.calls())[0]).toEqual(['inspect', '--type=container', '--', 'web']);
});

test('docker.stats measures', async () => {
  const docker = await dockerStandIn();
  const row = {
    BlockIO: '4.1MB / 0B',
    CPUPerc: '150.25%',
    Container: 'web',
    ID: 'f1d2',
    MemPerc: '0.31%',
    MemUsage: '12.5MiB / 4GiB',
    Name: 'web',
    NetIO: '1.2kB / 656B',
    PIDs: '5',
  };
  const gone = {
    ...row,
    Name: 'old',
    CPUPerc: '--',
    MemUsage: '-- / --',
    MemPerc: '--',
    NetIO: '--',
    BlockIO: '--',
    PIDs: '--',
  };
  await docker.answers('stats', { stdout: `${JSON.stringify(row)}\n${JSON.stringify(gone)}\n` });
  const outcome = await execute(dockerStatsExecutor(docker), DockerStatsArgsSchema, {});
  const [web, old] = outputOf(DockerStatsResultSchema, outcome).containers;
  expect(web).toMatchObject({
    cpuPercent: 150.25,
    memoryUsedBytes: 13_107_200n,
    memoryLimitBytes: 4_294_967_296n,
    networkReceivedBytes: 1200n,
    networkSentBytes: 656n,
    blockReadBytes: 4_100_000n,
    processes: 5,
  });
  expect(old).toMatchObject({ name: 'old', cpuPercent: 0, memoryUsedBytes: 0n, processes: 0 });
});

test('docker.logs hands both streams on', async () => {
  const docker = await dockerStandIn();
  await docker.answers('logs', { stdout: 'served\n', stderr: 'warned\n' });
  const args = { container: 'web', since: '10m', timestamps: true };
  const outcome = await execute(dockerLogsExecutor(docker), DockerLogsArgsSchema, args);
  expect([textOf(outcome.stdout), textOf(outcome.stderr), outcome.failure]).toEqual([
    'served\n',
    'warned\n',
    undefined,
  ]);
  expect(await docker.calls()).toEqual([['logs', '--tail=1000', '--since=10m', '--timestamps', '--', 'web']]);
});

test('what a container writes is told as it comes', async () => {
  const docker = await dockerStandIn();
  await docker.answers('logs', { stdout: 'served\n', stderr: 'warned\n' });
  const told = { stdout: '', stderr: '' };
  await dockerLogsExecutor(docker).run(create(DockerLogsArgsSchema, { container: 'web' }), {
    signal: new AbortController().signal,
    timeoutMs: 10_000,
    outputLimit: 1000,
    onOutput(stream, data) {
      told[stream] += textOf({ data });
    },
    log: silentLogger,
  });
  expect(told).toEqual({ stdout: 'served\n', stderr: 'warned\n' });
});

const idFile = expect.stringMatching(/^--cidfile=./);

test('docker.run in the foreground ends as the program does', async () => {
  const docker = await dockerStandIn();
  await docker.answers('run', { stdout: 'Linux\n', exitCode: 3 });
  const args = { image: 'alpine:3', name: 'job', command: ['sh', '-c', 'exit 3'], remove: true };
  const outcome = await execute(dockerRunExecutor(docker), DockerRunArgsSchema, args);
  expect(outcome).toMatchObject({ exitCode: 3, failure: { code: 'exit_code' } });
  expect(textOf(outcome.stdout)).toBe('Linux\n');
  expect(outputOf(DockerRunResultSchema, outcome)).toMatchObject({ name: 'job', containerId: '' });
  expect(await docker.calls()).toEqual([
    ['run', '--name=job', idFile, '--rm', '--', 'alpine:3', 'sh', '-c', 'exit 3'],
  ]);
});

test('docker.run in the background answers with the id', async () => {
  const docker = await dockerStandIn();
  await docker.answers('run', { stdout: 'f1d2c3\n' });
  const outcome = await execute(dockerRunExecutor(docker), DockerRunArgsSchema, {
    image: 'nginx',
    detach: true,
  });
  const output = outputOf(DockerRunResultSchema, outcome);
  expect(output.containerId).toBe('f1d2c3');
  expect(output.name).toMatch(/^viworks-[0-9a-f-]{36}$/);
  expect((await docker.calls())[0]).toEqual([
    'run',
    `--name=${output.name}`,
    idFile,
    '--detach',
    '--',
    'nginx',
  ]);
});

/** Resolves when the file is there. */
async function fileMade(dir: string, name: string): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const look = () => access(join(dir, name)).then(resolve, () => {});
  const watcher = watch(dir, () => void look());
  await look();
  await promise;
  watcher.close();
}

test('an interrupted docker.run kills its container, and none of that name that was there before', async () => {
  const docker = await dockerStandIn();
  await docker.answers('kill', {});
  const interrupt = async (begun: string, script: string) => {
    await docker.runs('run', `${script} : > "${docker.dir}/${begun}"; exec /bin/sleep 300`);
    const controller = new AbortController();
    const args = { image: 'alpine', name: 'long' };
    const running = execute(dockerRunExecutor(docker), DockerRunArgsSchema, args, { controller });
    await fileMade(docker.dir, begun);
    controller.abort('cancelled');
    expect((await running).interrupted).toBe(true);
    return (await docker.calls()).at(-1);
  };
  expect((await interrupt('pulling', ''))?.[0]).toBe('run');
  const made =
    'for a in "$@"; do case "$a" in --cidfile=*) printf f1d2c3 > "$(echo "$a" | /bin/sed s/--cidfile=//)";; esac; done;';
  expect(await interrupt('made', made)).toEqual(['kill', '--', 'f1d2c3']);
});

test('docker.exec tells a failure of docker from one of the program', async () => {
  const docker = await dockerStandIn();
  const executor = dockerExecExecutor(docker);
  const args = { container: 'web', argv: ['cat', '-n'], environment: { A: 'x y' }, user: '0:0' };
  await docker.answers('exec', { stderr: 'cat: no such file\n', exitCode: 1 });
  expect((await execute(executor, DockerExecArgsSchema, args)).failure?.code).toBe('exit_code');
  await docker.answers('exec', {
    stderr: 'Error response from daemon: No such container: web\n',
    exitCode: 1,
  });
  expect((await execute(executor, DockerExecArgsSchema, args)).failure).toEqual({
    code: 'not_found',
    message: 'docker ended with exit code 1: Error response from daemon: No such container: web',
  });
  expect((await docker.calls())[0]).toEqual(['exec', '--user=0:0', '--env=A=x y', '--', 'web', 'cat', '-n']);
});

test('docker.stop and docker.rm name what they ended', async () => {
  const docker = await dockerStandIn();
  await docker.answers('stop', { stdout: 'web\ndb\n' });
  const stop = { containers: ['web', 'db'], graceSeconds: 0 };
  const stopped = await execute(dockerStopExecutor(docker), DockerStopArgsSchema, stop);
  expect(outputOf(DockerStopResultSchema, stopped).stopped).toEqual(['web', 'db']);
  expect(await docker.calls()).toEqual([['stop', '-t=0', '--', 'web', 'db']]);

  await docker.answers('rm', {
    stdout: 'web\n',
    stderr: 'Error response from daemon: No such container: db\n',
    exitCode: 1,
  });
  const rm = { containers: ['web', 'db'], force: true };
  const removed = await execute(dockerRmExecutor(docker), DockerRmArgsSchema, rm);
  expect(removed.failure).toBeUndefined();
  expect(outputOf(DockerRmResultSchema, removed)).toMatchObject({ removed: ['web'], missing: ['db'] });
});

test('docker.rm fails where a container is there and stays', async () => {
  const docker = await dockerStandIn();
  await docker.answers('rm', {
    stderr:
      'Error response from daemon: No such container: db\nError response from daemon: cannot remove container "/web": container is running: stop the container before removing or force remove\n',
    exitCode: 1,
  });
  const outcome = await execute(dockerRmExecutor(docker), DockerRmArgsSchema, { containers: ['web', 'db'] });
  expect(outcome.failure?.message).toMatch(/container is running/);
});

test('docker.pull streams, and reads what it got', async () => {
  const docker = await dockerStandIn();
  await docker.answers('pull', {
    stdout:
      '1: Pulling from library/nginx\nDigest: sha256:0a1b\nStatus: Image is up to date for nginx:1\ndocker.io/library/nginx:1\n',
  });
  const outcome = await execute(dockerPullExecutor(docker), DockerPullArgsSchema, { image: 'nginx:1' });
  expect(outputOf(DockerPullResultSchema, outcome)).toMatchObject({
    image: 'docker.io/library/nginx:1',
    digest: 'sha256:0a1b',
    upToDate: true,
  });
  expect(textOf(outcome.stdout)).toContain('Pulling from');
});

test('docker.build answers with the id of the image, and leaves no file behind', async () => {
  const docker = await dockerStandIn();
  await docker.runs(
    'build',
    'for a in "$@"; do case "$a" in --iidfile=*) f=$(echo "$a" | /bin/sed s/--iidfile=//);; esac; done; printf sha256:0a1b > "$f"; echo "$f"; echo "#1 DONE" >&2',
  );
  const args = { context: '/srv/web', tags: ['web:1'], buildArgs: { VERSION: '1 2' }, noCache: true };
  const outcome = await execute(dockerBuildExecutor(docker), DockerBuildArgsSchema, args);
  expect(outputOf(DockerBuildResultSchema, outcome).imageId).toBe('sha256:0a1b');
  await expect(access(textOf(outcome.stdout).trim())).rejects.toThrow(/ENOENT/);
  expect((await docker.calls())[0]?.slice(2)).toEqual([
    '--tag=web:1',
    '--build-arg=VERSION=1 2',
    '--no-cache',
    '--',
    '/srv/web',
  ]);
});

test.each([
  [
    'Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?',
    'engine_unavailable',
  ],
  [
    'permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock',
    'permission_denied',
  ],
  [
    "Error response from daemon: pull access denied for x, repository does not exist or may require 'docker login'",
    'not_found',
  ],
  [
    'Error response from daemon: manifest for nginx:nope not found: manifest unknown: manifest unknown',
    'not_found',
  ],
  ['toomanyrequests: You have reached your pull rate limit.', 'rate_limited'],
  ['write /var/lib/docker/tmp/x: no space left on device', 'resource_exhausted'],
  ['dial tcp: lookup registry-1.docker.io: no such host', 'network'],
  ['something else', 'exit_code'],
])('%s is %s', async (stderr, code) => {
  const docker = await dockerStandIn();
  await docker.answers('pull', { stderr, exitCode: 1 });
  const outcome = await execute(dockerPullExecutor(docker), DockerPullArgsSchema, { image: 'nginx' });
  expect(outcome.failure).toEqual({ code, message: `docker ended with exit code 1: ${stderr}` });
});

test('an answer in another form is a failure and no crash', async () => {
  const docker = await dockerStandIn();
  await docker.answers('inspect', { stdout: '<html>' });
  const outcome = await execute(dockerInspectExecutor(docker), DockerInspectArgsSchema, {
    containers: ['a'],
  });
  expect(outcome.failure?.code).toBe('output_unreadable');
});

test("docker's sizes and times are read", () => {
  expect([bytesOf('1.5kB'), bytesOf('2GiB'), bytesOf('0B'), bytesOf('--'), bytesOf('')]).toEqual([
    1500n,
    2n ** 31n,
    0n,
    0n,
    0n,
  ]);
  expect(bytePair('1B / 2B')).toEqual([1n, 2n]);
  expect(timeOf('2026-01-01 01:00:00 +0100 CET')).toBe(Date.UTC(2026, 0, 1));
  expect([timeOf('0001-01-01T00:00:00Z'), timeOf('')]).toEqual([undefined, undefined]);
});
