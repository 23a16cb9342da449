import { isMessage, type JsonObject } from '@bufbuild/protobuf';
import { ViworksError } from '../../errors.ts';
import { bytesOfJson } from '../../protocol/verb-values.ts';
import type { VerbSpec } from '../../protocol/verbs.ts';
import type { ExecutionContext, Executor, ExecutorOutcome } from '../executors/executor.ts';
import type { PluginContext, PluginExecutor, PluginOutcome } from '../plugin.ts';
import { minimalEnvironment, runProgram } from '../process.ts';

/** A plug-in’s executor as the agent runs it. @param path where programs are looked for */
export function pluginExecutor(verb: VerbSpec, run: PluginExecutor, path: string | undefined): Executor {
  return {
    verb,
    async run(args, context) {
      if (isMessage(args)) throw new ViworksError('internal', `The args of ${verb.name} are a message.`);
      return outcomeOf(verb, await run(args, contextOf(context, path)), context);
    },
  };
}

function contextOf(context: ExecutionContext, path: string | undefined): PluginContext {
  const { signal, timeoutMs, outputLimit, onOutput, log } = context;
  return {
    signal,
    timeoutMs,
    log,
    runProgram: (argv, { environment = {}, workingDirectory } = {}) =>
      runProgram({
        argv,
        environment: { ...minimalEnvironment(path), ...environment },
        ...(workingDirectory === undefined ? {} : { workingDirectory }),
        signal,
        outputLimit,
        onOutput,
      }),
  };
}

/** Nothing that breaks the schema of the result leaves the agent. */
function outcomeOf(
  verb: VerbSpec,
  { output, failure, program }: PluginOutcome,
  { signal }: ExecutionContext,
): ExecutorOutcome {
  const interrupted = program?.interrupted ?? (failure !== undefined && signal.aborted);
  const ended: ExecutorOutcome = {
    ...(program && {
      exitCode: program.exitCode,
      signal: program.signal,
      stdout: program.stdout,
      stderr: program.stderr,
    }),
    interrupted,
    ...(failure && { failure: { code: failure.code.slice(0, 64), message: failure.message } }),
  };
  if (interrupted) return ended;
  const value: JsonObject = structuredClone(output ?? {});
  const [problem] = verb.result.kind === 'json' ? verb.result.check(value) : [];
  if (problem === undefined)
    return output === undefined ? ended : { ...ended, output: bytesOfJson(value), outputEncoding: 'json' };
  return failure ? ended : { ...ended, ...wrong(verb, `${problem.field || 'it'} ${problem.problem}`) };
}

const wrong = (verb: VerbSpec, words: string): Pick<ExecutorOutcome, 'failure'> => ({
  failure: {
    code: 'result_invalid',
    message: `The result of ${verb.name} is not what its plug-in says: ${words}.`,
  },
});
