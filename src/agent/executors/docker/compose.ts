import { stat } from 'node:fs/promises';
import { create } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { z } from 'zod';
import {
  type ComposeContainer,
  ComposeContainerSchema,
  ComposeLogsArgsSchema,
  ComposeLogsResultSchema,
  ComposePsArgsSchema,
  ComposePsResultSchema,
} from '#gen/viworks/verbs/v1/compose_pb.js';
import {
  ComposeDownArgsSchema,
  ComposeDownResultSchema,
  ComposeUpArgsSchema,
  ComposeUpResultSchema,
} from '#gen/viworks/verbs/v1/compose_up_pb.js';
import { defineExecutor, type Executor, type ExecutorFailure } from '../executor.ts';
import { composeLogsArgv, composePsArgv, downArgv, type Project, upArgv } from './compose-argv.ts';
import {
  answer,
  ask,
  type DockerDeps,
  dockerFailed,
  readRows,
  stream,
  streamsOf,
  succeeded,
} from './program.ts';
import { stopwatch } from './run.ts';
import { timeOf } from './sizes.ts';

/** Verbs for projects of docker compose. */
export function composeExecutors(deps: DockerDeps): Executor[] {
  const up = defineExecutor(ComposeUpArgsSchema, ComposeUpResultSchema, async (args, context) => {
    const failure = await missingFolder(args);
    if (failure !== undefined) return { failure };
    const end = await stream(deps, upArgv(args), context, args.directory);
    if (!succeeded(end)) return dockerFailed(end, streamsOf(end));
    const listing = composePsArgv({ ...args, all: true });
    const listed = answer(await ask(deps, listing, context.signal, args.directory), context, parseComposePs);
    // It is up, whatever the listing says.
    const output = create(ComposeUpResultSchema, { containers: listed.output ?? [] });
    return { ...streamsOf(end), output };
  });

  const down = defineExecutor(ComposeDownArgsSchema, ComposeDownResultSchema, async (args, context) => {
    const failure = await missingFolder(args);
    if (failure !== undefined) return { failure };
    const watch = stopwatch();
    const end = await stream(deps, downArgv(args), context, args.directory);
    if (!succeeded(end)) return dockerFailed(end, streamsOf(end));
    return { ...streamsOf(end), output: create(ComposeDownResultSchema, { duration: watch() }) };
  });

  const ps = defineExecutor(ComposePsArgsSchema, ComposePsResultSchema, async (args, context) => {
    const failure = await missingFolder(args);
    if (failure !== undefined) return { failure };
    const end = await ask(deps, composePsArgv(args), context.signal, args.directory);
    return answer(end, context, (text) =>
      create(ComposePsResultSchema, { containers: parseComposePs(text) }),
    );
  });

  const logs = defineExecutor(ComposeLogsArgsSchema, ComposeLogsResultSchema, async (args, context) => {
    const failure = await missingFolder(args);
    if (failure !== undefined) return { failure };
    const watch = stopwatch();
    const end = await stream(deps, composeLogsArgv(args), context, args.directory);
    const outcome = succeeded(end) ? streamsOf(end) : dockerFailed(end, streamsOf(end));
    return { ...outcome, output: create(ComposeLogsResultSchema, { duration: watch() }) };
  });

  return [up, down, ps, logs];
}

/** Without this, compose would go on with the files of a folder above, and a missing one look like a missing docker. */
async function missingFolder({
  directory,
}: Pick<Project, 'directory'>): Promise<ExecutorFailure | undefined> {
  if (directory === '') return undefined;
  const found = await stat(directory).catch(() => undefined);
  if (found?.isDirectory()) return undefined;
  return { code: 'not_found', message: `${directory} is not a folder.` };
}

const row = z.object({
  ID: z.string(),
  Name: z.string().default(''),
  Service: z.string().default(''),
  Image: z.string().default(''),
  State: z.string().default(''),
  Status: z.string().default(''),
  Health: z.string().default(''),
  ExitCode: z.number().default(0),
  // Seconds since 1970 in older versions.
  CreatedAt: z.union([z.string(), z.number()]).optional(),
  Created: z.union([z.string(), z.number()]).optional(),
  Publishers: z
    .array(
      z.object({
        URL: z.string().default(''),
        PublishedPort: z.number().default(0),
        TargetPort: z.number().default(0),
        Protocol: z.string().default(''),
      }),
    )
    .nullish(),
});

/** @throws where a line is something else */
function parseComposePs(text: string): ComposeContainer[] {
  return readRows(text).map((line) => {
    const found = row.parse(line);
    const created = found.CreatedAt ?? found.Created ?? '';
    const createdAt = typeof created === 'number' ? created * 1000 : timeOf(created);
    return create(ComposeContainerSchema, {
      id: found.ID,
      name: found.Name,
      service: found.Service,
      image: found.Image,
      state: found.State,
      status: found.Status,
      health: found.Health,
      exitCode: found.ExitCode,
      ...(createdAt === undefined ? {} : { createdAt: timestampFromMs(createdAt) }),
      ports: (found.Publishers ?? []).map((port) => ({
        hostAddress: port.URL,
        hostPort: port.PublishedPort,
        containerPort: port.TargetPort,
        protocol: port.Protocol,
      })),
    });
  });
}
