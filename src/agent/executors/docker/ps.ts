import { create } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { z } from 'zod';
import {
  DockerPsArgsSchema,
  type DockerPsResult_Container,
  DockerPsResult_ContainerSchema,
  DockerPsResultSchema,
} from '#gen/viworks/verbs/v1/docker_pb.js';
import { minimalEnvironment, runProgram } from '../../process.ts';
import { defineExecutor, type Executor } from '../executor.ts';
import { answer } from './program.ts';
import { timeOf } from './sizes.ts';

/** Bytes of `docker ps` that are read; far beyond what one machine runs. */
const listBytes = 4 * 1024 * 1024;

const row = z.object({
  ID: z.string(),
  Names: z.string().default(''),
  Image: z.string().default(''),
  Command: z.string().default(''),
  State: z.string().default(''),
  Status: z.string().default(''),
  CreatedAt: z.string().default(''),
  Ports: z.string().default(''),
});

/** docker.ps: the containers of this machine, as the docker command tells them. */
export function dockerPsExecutor(path?: string): Executor {
  return defineExecutor(DockerPsArgsSchema, DockerPsResultSchema, async (args, context) => {
    const end = await listContainers(args, context.signal, path);
    return answer(end, context, (text) =>
      create(DockerPsResultSchema, { containers: parseContainers(text) }),
    );
  });
}

export function listContainers(
  wanted: { all: boolean; name: string },
  signal: AbortSignal,
  path: string | undefined,
) {
  return runProgram({
    argv: [
      'docker',
      'ps',
      '--no-trunc',
      '--format={{json .}}',
      ...(wanted.all ? ['--all'] : []),
      ...(wanted.name === '' ? [] : [`--filter=name=${wanted.name}`]),
    ],
    environment: minimalEnvironment(path),
    signal,
    outputLimit: listBytes,
  });
}

/** Reads one JSON object a line. @throws where a line is something else */
export function parseContainers(text: string): DockerPsResult_Container[] {
  return text
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => {
      const found = row.parse(JSON.parse(line));
      const createdAt = timeOf(found.CreatedAt);
      return create(DockerPsResult_ContainerSchema, {
        id: found.ID,
        name: found.Names,
        image: found.Image,
        // The command comes in quotation marks.
        command: found.Command.replace(/^"(.*)"$/, '$1'),
        state: found.State,
        status: found.Status,
        ports: found.Ports,
        ...(createdAt === undefined ? {} : { createdAt: timestampFromMs(createdAt) }),
      });
    });
}

/** "healthy", "unhealthy", "starting", or empty; docker tells it inside of the status. */
export function healthOf(status: string): string {
  const word = /\((healthy|unhealthy|health: starting)\)/.exec(status)?.[1] ?? '';
  return word === 'health: starting' ? 'starting' : word;
}
