import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { create } from '@bufbuild/protobuf';
import {
  DockerBuildArgsSchema,
  DockerBuildResultSchema,
  DockerPullArgsSchema,
  type DockerPullResult,
  DockerPullResultSchema,
} from '#gen/viworks/verbs/v1/docker_image_pb.js';
import { defineExecutor, type Executor } from '../executor.ts';
import { buildArgv, pullArgv } from './argv.ts';
import { type DockerDeps, dockerFailed, stream, streamsOf, succeeded, textOf } from './program.ts';

/** Verbs that bring images to the machine: pull and build. */

/** docker.pull */
export function dockerPullExecutor(deps: DockerDeps): Executor {
  return defineExecutor(DockerPullArgsSchema, DockerPullResultSchema, async (args, context) => {
    const end = await stream(deps, pullArgv(args), context);
    if (!succeeded(end)) return dockerFailed(end, streamsOf(end));
    return { ...streamsOf(end), output: parsePull(args.image, textOf(end.stdout)) };
  });
}

/** docker.build */
export function dockerBuildExecutor(deps: DockerDeps): Executor {
  return defineExecutor(DockerBuildArgsSchema, DockerBuildResultSchema, async (args, context) => {
    const dir = await mkdtemp(join(tmpdir(), 'viworks-build-'));
    try {
      const idFile = join(dir, 'image-id');
      const end = await stream(deps, buildArgv(args, idFile), context);
      if (!succeeded(end)) return dockerFailed(end, streamsOf(end));
      const imageId = (await readFile(idFile, 'utf8').catch(() => '')).trim();
      return { ...streamsOf(end), output: create(DockerBuildResultSchema, { imageId }) };
    } finally {
      await rm(dir, { recursive: true, force: true });
    }
  });
}

/** Reads what docker prints at the end of a pull; its last line is the full name. */
function parsePull(asked: string, text: string): DockerPullResult {
  const last = text.trim().split('\n').at(-1)?.trim() ?? '';
  return create(DockerPullResultSchema, {
    image: /^[^\s:]+\S*$/.test(last) ? last : asked,
    digest: /^Digest: (\S+)$/m.exec(text)?.[1] ?? '',
    upToDate: /^Status: Image is up to date/m.test(text),
  });
}
