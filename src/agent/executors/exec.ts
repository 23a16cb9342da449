import { stat } from 'node:fs/promises';
import { create } from '@bufbuild/protobuf';
import { durationFromMs } from '@bufbuild/protobuf/wkt';
import { ExecArgsSchema, ExecResultSchema } from '#gen/viworks/verbs/v1/system_pb.js';
import { minimalEnvironment, runProgram } from '../process.ts';
import { defineExecutor, type Executor } from './executor.ts';

/**
 * exec: runs a program with an argument vector, in a process group of its own.
 * @param path where programs are looked for
 */
export function execExecutor(path?: string): Executor {
  return defineExecutor(ExecArgsSchema, ExecResultSchema, async (args, context) => {
    // A missing folder and a missing program give the same error at the start of a process.
    if (args.workingDirectory !== '' && !(await isDirectory(args.workingDirectory)))
      return {
        failure: { code: 'working_directory', message: `${args.workingDirectory} is not a folder.` },
      };
    const begun = performance.now();
    const end = await runProgram({
      argv: args.argv,
      environment: { ...minimalEnvironment(path), ...args.environment },
      ...(args.workingDirectory === '' ? {} : { workingDirectory: args.workingDirectory }),
      signal: context.signal,
      outputLimit: context.outputLimit,
      onOutput: context.onOutput,
    });
    const { exitCode, signal, stdout, stderr, interrupted } = end;
    const output = create(ExecResultSchema, {
      duration: durationFromMs(Math.round(performance.now() - begun)),
    });
    const outcome = { output, exitCode, signal, stdout, stderr, interrupted };
    if (interrupted || exitCode === 0) return outcome;
    const failure =
      signal === undefined
        ? { code: 'exit_code', message: `The program ended with exit code ${exitCode}.` }
        : { code: 'signal', message: `The program was ended by ${signal}.` };
    return { ...outcome, failure };
  });
}

async function isDirectory(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch {
    return false;
  }
}
