import { type DescMessage, isMessage, type MessageShape, toBinary } from '@bufbuild/protobuf';
import { ViworksError } from '../../errors.ts';
import type { Logger } from '../../lib/logger.ts';
import type { VerbValue } from '../../protocol/verb-values.ts';
import { builtInVerbs, type VerbSpec } from '../../protocol/verbs.ts';
import type { CapturedOutput } from '../process.ts';

/**
 * An executor does the work of one verb on this machine. It gets args that are valid already, and it may throw
 * what it likes: the runner makes a RESULT of everything.
 */
export interface Executor {
  readonly verb: VerbSpec;
  /** @param args of the verb, valid */
  run(args: VerbValue, context: ExecutionContext): Promise<ExecutorOutcome>;
}

export interface ExecutionContext {
  /** Aborted at the time limit, on cancel and at the agent's stop. */
  signal: AbortSignal;
  timeoutMs: number;
  /** Bytes to keep of stdout, and of stderr. */
  outputLimit: number;
  /** Told of everything that a program writes, as it comes; the whole of it is part of the outcome all the same. */
  onOutput: (stream: 'stdout' | 'stderr', data: Uint8Array) => void;
  log: Logger;
}

/** How it went. Without a failure and not interrupted: it succeeded. */
export interface ExecutorOutcome {
  /** The result of the verb as it travels: a serialised message, or JSON where the verb is of a plug-in. */
  output?: Uint8Array;
  /** Where the output is JSON. */
  outputEncoding?: 'json';
  exitCode?: number | undefined;
  signal?: string | undefined;
  stdout?: CapturedOutput;
  stderr?: CapturedOutput;
  /** One word for programs, one sentence for people. */
  failure?: ExecutorFailure;
  /** The context's signal ended the work before it was done. */
  interrupted?: boolean;
}

export interface ExecutorFailure {
  code: string;
  message: string;
}

/** The same with the result as a message. */
export type TypedOutcome<Result> = Omit<ExecutorOutcome, 'output'> & { output?: Result };

/** Binds a function to the verb that its args message declares. */
export function defineExecutor<Args extends DescMessage, Result extends DescMessage>(
  args: Args,
  result: Result,
  run: (args: MessageShape<Args>, context: ExecutionContext) => Promise<TypedOutcome<MessageShape<Result>>>,
): Executor {
  const verb = builtInVerbs.find(
    (spec) =>
      spec.args.kind === 'message' &&
      spec.args.message.typeName === args.typeName &&
      spec.result.kind === 'message' &&
      spec.result.message.typeName === result.typeName,
  );
  if (verb === undefined)
    throw new ViworksError('internal', `${args.typeName} and ${result.typeName} are not a verb.`);
  return {
    verb,
    async run(message, context) {
      if (!isMessage(message, args))
        throw new ViworksError('internal', `The args of ${verb.name} are of another type.`);
      const { output, ...rest } = await run(message, context);
      return output === undefined ? rest : { ...rest, output: toBinary(result, output) };
    },
  };
}

/** The executors of an agent and what it announces because of them. */
export interface ExecutorSet {
  get(verb: string): Executor | undefined;
  readonly capabilities: readonly string[];
  /** For example "docker 28.2.2"; empty where there is none. */
  readonly containerEngine: string;
}

export function executorSet(executors: readonly Executor[], containerEngine = ''): ExecutorSet {
  const byVerb = new Map(executors.map((executor) => [executor.verb.name, executor]));
  const capabilities = [...new Set(executors.map((executor) => executor.verb.capability))].sort();
  return { get: (verb) => byVerb.get(verb), capabilities, containerEngine };
}
