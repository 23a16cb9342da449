import { execFileSync } from 'node:child_process';
import { chmod, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { DockerPsArgsSchema, DockerPsResultSchema } from '#gen/viworks/verbs/v1/docker_pb.js';
import {
  FileReadArgsSchema,
  FileReadResultSchema,
  ServiceStatusArgsSchema,
  ServiceStatusResultSchema,
  SystemInfoArgsSchema,
  SystemInfoResultSchema,
} from '#gen/viworks/verbs/v1/system_pb.js';
import { execute, outputOf, textOf } from '../../../test/support/agent-execute.ts';
import { timestampMs } from '../../protocol/envelope.ts';
import { failureOf } from '../outcome.ts';
import { dockerPsExecutor, healthOf } from './docker/ps.ts';
import { fileReadExecutor } from './file-read.ts';
import { loadExecutors } from './registry.ts';
import { parseStatus, serviceStatusExecutor } from './service-status.ts';
import { systemInfoExecutor } from './system-info.ts';

async function newDir(): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'viworks-verbs-'));
  onTestFinished(() => rm(dir, { recursive: true }));
  return dir;
}

/** A folder for PATH with a stand-in for a program. */
async function standIn(name: string, script: string): Promise<string> {
  const dir = await newDir();
  await writeFile(join(dir, name), `#!/bin/sh\n${script}\n`);
  await chmod(join(dir, name), 0o755);
  return dir;
}

test('system.info describes this machine', async () => {
  const outcome = await execute(systemInfoExecutor('test/1'), SystemInfoArgsSchema, {});
  const info = outputOf(SystemInfoResultSchema, outcome);
  expect(info.hostname).not.toBe('');
  expect(info.cpuCores).toBeGreaterThan(0);
  expect(info.memoryTotalBytes).toBeGreaterThan(info.memoryAvailableBytes);
  expect(info.loadAverage).toHaveLength(3);
  expect(info.agentSoftware).toBe('test/1');
});

const read = (args: { path: string; offset?: bigint; limit?: number }) =>
  execute(fileReadExecutor(), FileReadArgsSchema, args);

test('file.read gives the part that was asked for', async () => {
  const path = join(await newDir(), 'file');
  await writeFile(path, '0123456789', { mode: 0o640 });
  await chmod(path, 0o640);
  const whole = outputOf(FileReadResultSchema, await read({ path }));
  expect([textOf(whole), whole.sizeBytes, whole.truncated, whole.mode]).toEqual([
    '0123456789',
    10n,
    false,
    0o640,
  ]);
  const part = outputOf(FileReadResultSchema, await read({ path, offset: 2n, limit: 3 }));
  expect([textOf(part), part.truncated]).toEqual(['234', true]);
  const beyond = outputOf(FileReadResultSchema, await read({ path, offset: 20n }));
  expect([textOf(beyond), beyond.truncated]).toEqual(['', false]);
});

test('file.read stops at 64 KiB unless told otherwise, and reads /proc', async () => {
  const path = join(await newDir(), 'file');
  await writeFile(path, Buffer.alloc(100_000));
  const first = outputOf(FileReadResultSchema, await read({ path }));
  expect([first.data.byteLength, first.truncated]).toEqual([65_536, true]);
  const status = outputOf(FileReadResultSchema, await read({ path: '/proc/self/status' }));
  expect(textOf(status)).toContain('Name:');
  expect(status.truncated).toBe(false);
});

test('file.read reads regular files only, and never hangs', async () => {
  const dir = await newDir();
  execFileSync('mkfifo', [join(dir, 'pipe')]);
  await symlink(join(dir, 'pipe'), join(dir, 'link'));
  for (const path of [join(dir, 'pipe'), join(dir, 'link'), '/dev/zero', dir])
    expect((await read({ path })).failure).toMatchObject({ code: 'not_regular' });
  await expect(read({ path: join(dir, 'none') })).rejects.toSatisfy((e) => failureOf(e).code === 'not_found');
});

test('service.status reads what systemctl says', async () => {
  const path = await standIn(
    'systemctl',
    `printf '%s\\n' Id=ssh.service 'Description=Secure = Shell' LoadState=loaded ActiveState=active SubState=running MainPID=812 'StateChangeTimestamp=Thu 2026-01-01 00:00:00 UTC'`,
  );
  const outcome = await execute(serviceStatusExecutor(path), ServiceStatusArgsSchema, { name: 'ssh' });
  const status = outputOf(ServiceStatusResultSchema, outcome);
  expect(status).toMatchObject({
    name: 'ssh.service',
    description: 'Secure = Shell',
    loadState: 'loaded',
    activeState: 'active',
    subState: 'running',
    mainPid: 812,
  });
  expect(timestampMs(status.since)).toBe(Date.UTC(2026, 0, 1));
  expect(parseStatus('x', 'LoadState=not-found\nStateChangeTimestamp=')).toMatchObject({
    name: 'x',
    loadState: 'not-found',
  });
});

test('service.status tells why systemctl failed', async () => {
  const path = await standIn('systemctl', 'echo "no bus" >&2; exit 1');
  const outcome = await execute(serviceStatusExecutor(path), ServiceStatusArgsSchema, { name: 'ssh' });
  expect(outcome.failure).toEqual({ code: 'exit_code', message: 'systemctl ended with exit code 1: no bus' });
});

const container = JSON.stringify({
  ID: 'abc',
  Names: 'web',
  Image: 'nginx:1',
  Command: '"/entry.sh nginx"',
  State: 'running',
  Status: 'Up 3 hours (healthy)',
  CreatedAt: '2026-01-01 01:00:00 +0100 CET',
  Ports: '80/tcp',
});

test('docker.ps lists what docker says, and hands its arguments over as they are', async () => {
  const dir = await newDir();
  const path = await standIn('docker', `printf '%s\\n' "$@" > ${dir}/argv; echo '${container}'`);
  const args = { all: true, name: 'web' };
  const outcome = await execute(dockerPsExecutor(path), DockerPsArgsSchema, args);
  const [found] = outputOf(DockerPsResultSchema, outcome).containers;
  expect(found).toMatchObject({
    id: 'abc',
    name: 'web',
    command: '/entry.sh nginx',
    status: 'Up 3 hours (healthy)',
  });
  expect(timestampMs(found?.createdAt)).toBe(Date.UTC(2026, 0, 1));
  const argv = outputOf(FileReadResultSchema, await read({ path: join(dir, 'argv') }));
  expect(textOf(argv).trim().split('\n')).toEqual([
    'ps',
    '--no-trunc',
    '--format={{json .}}',
    '--all',
    '--filter=name=web',
  ]);
});

test('the health of a container is read from its status', () => {
  expect(['Up (healthy)', 'Up 1s (health: starting)', 'Up (unhealthy)', 'Up'].map(healthOf)).toEqual([
    'healthy',
    'starting',
    'unhealthy',
    '',
  ]);
});

test('capabilities are those of the programs that answer', async () => {
  const none = await loadExecutors(await newDir());
  expect([none.capabilities, none.containerEngine]).toEqual([['exec', 'file', 'system'], '']);
  expect(none.get('docker.ps')).toBeUndefined();
  const docker = await loadExecutors(await standIn('docker', '[ "$1" = version ] && echo 28.2.2'));
  expect([docker.capabilities, docker.containerEngine]).toEqual([
    ['docker', 'exec', 'file', 'system'],
    'docker 28.2.2',
  ]);
  const compose = await loadExecutors(await standIn('docker', 'echo 28.2.2'));
  expect(compose.capabilities).toEqual(['compose', 'docker', 'exec', 'file', 'system']);
  const silent = await loadExecutors(await standIn('docker', 'exit 1'));
  expect(silent.capabilities).toEqual(['exec', 'file', 'system']);
  const service = await loadExecutors(await standIn('systemctl', 'echo systemd 252'));
  expect(service.capabilities).toEqual(['exec', 'file', 'service', 'system']);
});
