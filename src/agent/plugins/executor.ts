import { isMessage, type JsonObject } from '@bufbuild/protobuf';
import { z } from 'zod';
import { ViworksError } from '../../errors.ts';
import { isDeeperThan } from '../../lib/text.ts';
import { wireLimits } from '../../protocol/limits.ts';
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
      const outcome: unknown = await run(args, contextOf(context, path));
      const { error } = outcomeSchema.safeParse(outcome);
      if (error === undefined) return outcomeOf(verb, outcome as PluginOutcome, context);
      const [issue] = error.issues;
      const field = z.core.toDotPath(issue?.path ?? []) || 'what it answers';
      context.log.error({ verb: verb.name, field }, 'an executor of a plug-in answers what is no outcome');
      return wrong(verb, `${field}: ${issue?.message}`);
    },
  };
}

const captured = z.object({
  data: z.instanceof(Uint8Array),
  offset: z.int().nonnegative().optional(),
  totalBytes: z.int().nonnegative(),
  truncated: z.boolean(),
});

/** What a module answers is whatever its author wrote. Other than this cannot travel. */
const outcomeSchema = z.object({
  output: z
    .custom((value) => value === null || (typeof value === 'object' && !Array.isArray(value)))
    .optional(),
  failure: z.object({ code: z.string(), message: z.string() }).nullish(),
  program: z
    .object({
      exitCode: z.int32().optional(),
      signal: z.string().max(16).optional(),
      stdout: captured,
      stderr: captured,
      interrupted: z.boolean(),
    })
    .nullish(),
});

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
  const deep = { field: '', problem: `has more than ${wireLimits.jsonLevels} levels` };
  const problems = verb.result.kind === 'json' ? verb.result.check(value) : [];
  const problem = isDeeperThan(wireLimits.jsonLevels, value) ? deep : problems[0];
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
