import { create } from '@bufbuild/protobuf';
import {
  DockerRmArgsSchema,
  DockerRmResultSchema,
  DockerStopArgsSchema,
  DockerStopResultSchema,
} from '#gen/viworks/verbs/v1/docker_run_pb.js';
import { defineExecutor, type Executor } from '../executor.ts';
import { rmArgv, stopArgv } from './argv.ts';
import { answer, ask, type DockerDeps, dockerFailed, textOf } from './program.ts';

/** Verbs that end containers: stop and rm. */

const lines = (text: string): string[] => text.split('\n').flatMap((line) => line.trim() || []);

/** docker.stop */
export function dockerStopExecutor(deps: DockerDeps): Executor {
  return defineExecutor(DockerStopArgsSchema, DockerStopResultSchema, async (args, context) => {
    const end = await ask(deps, stopArgv(args), context.signal);
    return answer(end, context, (text) => create(DockerStopResultSchema, { stopped: lines(text) }));
  });
}

/** docker.rm: what is not there any more is as it should be. */
export function dockerRmExecutor(deps: DockerDeps): Executor {
  return defineExecutor(DockerRmArgsSchema, DockerRmResultSchema, async (args, context) => {
    const end = await ask(deps, rmArgv(args), context.signal);
    const { missing, other } = complaints(textOf(end.stderr));
    const onlyMissing = end.exitCode === 1 && missing.length > 0 && other.length === 0;
    const removed = lines(textOf(end.stdout));
    const output = create(DockerRmResultSchema, { removed, missing });
    if (!end.interrupted && (end.exitCode === 0 || onlyMissing)) return { output };
    // Those that were removed before are told all the same.
    return { ...dockerFailed(end), output };
  });
}

/** Parts docker's words for containers that are not there from all else that it says. */
function complaints(said: string): { missing: string[]; other: string[] } {
  const missing: string[] = [];
  const other: string[] = [];
  for (const line of lines(said)) {
    const name = /No such container: (\S+)$/.exec(line)?.[1];
    if (name === undefined) other.push(line);
    else missing.push(name);
  }
  return { missing, other };
}
