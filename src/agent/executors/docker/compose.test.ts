import { join } from 'node:path';
import { expect, test } from 'vitest';
import {
  ComposeDownArgsSchema,
  ComposeLogsArgsSchema,
  ComposePsArgsSchema,
  ComposePsResultSchema,
  ComposeUpArgsSchema,
  ComposeUpResultSchema,
} from '#gen/viworks/verbs/v1/compose_pb.js';
import { execute, outputOf, textOf } from '../../../../test/support/agent-execute.ts';
import { type DockerStandIn, dockerStandIn } from '../../../../test/support/docker-stand-in.ts';
import { timestampMs } from '../../../protocol/envelope.ts';
import { composeExecutors } from './compose.ts';

// The row has the form that docker compose 2.35 prints, with fewer fields.
const row = {
  Command: '"/docker-entrypoint.…"',
  CreatedAt: '2026-01-01 01:00:00 +0100 CET',
  ExitCode: 0,
  Health: 'healthy',
  ID: 'f1d2',
  Image: 'nginx:1',
  Name: 'shop-web-1',
  Names: 'shop-web-1',
  Project: 'shop',
  Publishers: [{ URL: '0.0.0.0', TargetPort: 80, PublishedPort: 8080, Protocol: 'tcp' }],
  Service: 'web',
  State: 'running',
  Status: 'Up 2 hours (healthy)',
};

async function compose(): Promise<
  DockerStandIn & { verb: (name: string) => ReturnType<typeof composeExecutors>[number] }
> {
  const docker = await dockerStandIn();
  const executors = composeExecutors(docker);
  return {
    ...docker,
    verb(name) {
      const found = executors.find((executor) => executor.verb.name === name);
      if (found === undefined) throw new Error(`no ${name}`);
      return found;
    },
  };
}

test.each([
  ['one object a line', `${JSON.stringify(row)}\n`],
  ['an array, as older versions print it', JSON.stringify([row])],
])('compose.ps reads %s', async (_form, stdout) => {
  const docker = await compose();
  await docker.answers('compose ps', { stdout });
  const args = { directory: docker.dir, all: true, services: ['web'] };
  const outcome = await execute(docker.verb('compose.ps'), ComposePsArgsSchema, args);
  const [web] = outputOf(ComposePsResultSchema, outcome).containers;
  expect(web).toMatchObject({ name: 'shop-web-1', service: 'web', state: 'running', health: 'healthy' });
  expect(web?.ports).toMatchObject([{ hostAddress: '0.0.0.0', hostPort: 8080, containerPort: 80 }]);
  expect(timestampMs(web?.createdAt)).toBe(Date.UTC(2026, 0, 1));
  expect(await docker.calls()).toEqual([
    [
      'compose',
      '--ansi=never',
      `--project-directory=${docker.dir}`,
      'ps',
      '--no-trunc',
      '--format=json',
      '--all',
      '--',
      'web',
    ],
  ]);
});

test('compose.up answers with what runs afterwards', async () => {
  const docker = await compose();
  await docker.answers('compose up', { stderr: ' Container shop-web-1  Started\n' });
  await docker.answers('compose ps', { stdout: JSON.stringify(row) });
  const args = { files: ['/srv/a.yaml', '/srv/b.yaml'], project: 'shop', profiles: ['full'], wait: true };
  const outcome = await execute(docker.verb('compose.up'), ComposeUpArgsSchema, args);
  expect(textOf(outcome.stderr)).toContain('Started');
  expect(outputOf(ComposeUpResultSchema, outcome).containers).toHaveLength(1);
  expect((await docker.calls())[0]).toEqual([
    'compose',
    '--ansi=never',
    '--file=/srv/a.yaml',
    '--file=/srv/b.yaml',
    '--project-name=shop',
    '--profile=full',
    'up',
    '--detach',
    '--wait',
  ]);
});

test('compose.down and compose.logs hand their options on', async () => {
  const docker = await compose();
  await docker.answers('compose down', {});
  await docker.answers('compose logs', { stdout: 'web-1  | hello\n' });
  const down = { project: 'shop', volumes: true, images: 'local', graceSeconds: 5 };
  expect((await execute(docker.verb('compose.down'), ComposeDownArgsSchema, down)).failure).toBeUndefined();
  const logs = await execute(docker.verb('compose.logs'), ComposeLogsArgsSchema, {
    project: 'shop',
    tail: 5,
  });
  expect(textOf(logs.stdout)).toBe('web-1  | hello\n');
  expect((await docker.calls()).map((argv) => argv.slice(3))).toEqual([
    ['down', '--volumes', '--rmi=local', '--timeout=5'],
    ['logs', '--no-color', '--tail=5'],
  ]);
});

test('a folder that is not there, and a project without a file, are told as such', async () => {
  const docker = await compose();
  const directory = join(docker.dir, 'none');
  const missing = await execute(docker.verb('compose.up'), ComposeUpArgsSchema, { directory });
  expect(missing.failure).toEqual({ code: 'not_found', message: `${directory} is not a folder.` });
  expect(await docker.calls()).toEqual([]);
  await docker.answers('compose up', { stderr: 'no configuration file provided: not found\n', exitCode: 14 });
  const empty = await execute(docker.verb('compose.up'), ComposeUpArgsSchema, { directory: docker.dir });
  expect(empty.failure?.code).toBe('not_found');
});
