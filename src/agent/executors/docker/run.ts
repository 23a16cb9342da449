import { create } from '@bufbuild/protobuf';
import { type Duration, durationFromMs } from '@bufbuild/protobuf/wkt';
import { DockerLogsArgsSchema, DockerLogsResultSchema } from '#gen/viworks/verbs/v1/docker_pb.js';
import {
  DockerExecArgsSchema,
  DockerExecResultSchema,
  DockerRunArgsSchema,
  DockerRunResultSchema,
} from '#gen/viworks/verbs/v1/docker_run_pb.js';
import { newId } from '../../../lib/ids.ts';
import type { ProgramEnd } from '../../process.ts';
import { defineExecutor, type Executor, type ExecutorOutcome } from '../executor.ts';
import { execArgv, killArgv, logsArgv, runArgv } from './argv.ts';
import { isDockersOwn } from './failure.ts';
import { withIdFile } from './id-file.ts';
import { ask, type DockerDeps, dockerFailed, stream, streamsOf, succeeded, textOf } from './program.ts';

/** Verbs whose output is that of a container: run, exec and logs. */

/** Milliseconds that docker is given to kill a container. */
const killMs = 5_000;

/** docker.run: a container from an image, in the foreground unless it is detached. */
export function dockerRunExecutor(deps: DockerDeps): Executor {
  return defineExecutor(DockerRunArgsSchema, DockerRunResultSchema, async (args, context) => {
    // Named in any case, so that whoever looks for it finds it.
    const name = args.name === '' ? `viworks-${newId()}` : args.name;
    const watch = stopwatch();
    const end = await withIdFile(async (idFile) => {
      const argv = runArgv(args, name, idFile.path);
      const ran = args.detach ? await ask(deps, argv, context.signal) : await stream(deps, argv, context);
      // The end of the docker command does not end the container. By its name another one might be meant, which was
      // there before.
      if (ran.interrupted) await kill(deps, await idFile.read());
      return ran;
    });
    const outcome = args.detach ? detached(end) : ended(end);
    const containerId = args.detach && succeeded(end) ? textOf(end.stdout).trim() : '';
    return {
      ...outcome,
      output: create(DockerRunResultSchema, { name, containerId, duration: watch() }),
    };
  });

  async function kill(deps: DockerDeps, containerId: string): Promise<void> {
    if (containerId === '') return;
    // It may have ended by itself; then there is nothing to kill, and docker says so.
    await ask(deps, killArgv(containerId), AbortSignal.timeout(killMs)).catch(() => {});
  }
}

/** docker.exec: a program in a container that runs. */
export function dockerExecExecutor(deps: DockerDeps): Executor {
  return defineExecutor(DockerExecArgsSchema, DockerExecResultSchema, async (args, context) => {
    const watch = stopwatch();
    const end = await stream(deps, execArgv(args), context);
    return { ...ended(end), output: create(DockerExecResultSchema, { duration: watch() }) };
  });
}

/** docker.logs: what a container wrote, each of its streams as that stream. */
export function dockerLogsExecutor(deps: DockerDeps): Executor {
  return defineExecutor(DockerLogsArgsSchema, DockerLogsResultSchema, async (args, context) => {
    const watch = stopwatch();
    const end = await stream(deps, logsArgv(args), context);
    const outcome = succeeded(end) ? streamsOf(end) : dockerFailed(end, streamsOf(end));
    return { ...outcome, output: create(DockerLogsResultSchema, { duration: watch() }) };
  });
}

/** Measures from here to the call of what it returns. */
export function stopwatch(): () => Duration {
  const begun = performance.now();
  return () => durationFromMs(Math.round(performance.now() - begun));
}

const detached = (end: ProgramEnd): Omit<ExecutorOutcome, 'output'> =>
  succeeded(end) ? {} : dockerFailed(end);

/** The exit code is that of the program in the container, or docker's own. */
function ended(end: ProgramEnd): Omit<ExecutorOutcome, 'output'> {
  const streams = streamsOf(end);
  if (end.interrupted || end.exitCode === 0) return streams;
  if (isDockersOwn(end.exitCode, textOf(end.stderr))) return dockerFailed(end, streams);
  const failure =
    end.signal === undefined
      ? { code: 'exit_code', message: `The program ended with exit code ${end.exitCode}.` }
      : { code: 'signal', message: `docker was ended by ${end.signal}.` };
  return { ...streams, failure };
}
