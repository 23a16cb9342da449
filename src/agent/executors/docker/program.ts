import { minimalEnvironment, type ProgramEnd, runProgram } from '../../process.ts';
import type { ExecutionContext, ExecutorOutcome } from '../executor.ts';
import { failureCodeOf } from './failure.ts';

/** Running the docker command, and what its end means. */

/** Bytes of a list or a document that are read; far beyond what one machine runs. */
const documentBytes = 4 * 1024 * 1024;

export interface DockerDeps {
  /** Where programs are looked for. */
  path: string | undefined;
}

/** Runs it for its answer: nothing is streamed, and the answer is read as a whole. */
export function ask(
  { path }: DockerDeps,
  argv: readonly string[],
  signal: AbortSignal,
  workingDirectory = '',
): Promise<ProgramEnd> {
  return runProgram({
    argv: ['docker', ...argv],
    environment: minimalEnvironment(path),
    signal,
    outputLimit: documentBytes,
    ...(workingDirectory === '' ? {} : { workingDirectory }),
  });
}

/** Runs it for what it does; its output is streamed and kept as that of the execution. */
export function stream(
  { path }: DockerDeps,
  argv: readonly string[],
  context: ExecutionContext,
  workingDirectory = '',
): Promise<ProgramEnd> {
  return runProgram({
    argv: ['docker', ...argv],
    environment: minimalEnvironment(path),
    signal: context.signal,
    outputLimit: context.outputLimit,
    onOutput: context.onOutput,
    ...(workingDirectory === '' ? {} : { workingDirectory }),
  });
}

export const succeeded = (end: ProgramEnd): boolean => !end.interrupted && end.exitCode === 0;

export const textOf = (captured: { data: Uint8Array }): string => new TextDecoder().decode(captured.data);

/** What a program wrote and how it ended, without a verdict. */
export function streamsOf(end: ProgramEnd): Omit<ExecutorOutcome, 'output' | 'failure'> {
  const { exitCode, signal, stdout, stderr, interrupted } = end;
  return { exitCode, signal, stdout, stderr, interrupted };
}

/** The outcome where docker itself did not do its work: what it said, and a word for programs. */
export function dockerFailed(
  end: ProgramEnd,
  kept: Omit<ExecutorOutcome, 'output' | 'failure'> = {
    exitCode: end.exitCode,
    signal: end.signal,
    interrupted: end.interrupted,
  },
): Omit<ExecutorOutcome, 'output'> {
  // What went wrong comes last, after the progress of a build for example.
  const said = textOf(end.stderr).trim();
  const detail = said.length > 1000 ? `…${said.slice(-1000)}` : said;
  const ended = end.signal === undefined ? `exit code ${end.exitCode}` : end.signal;
  const message = `docker ended with ${ended}${detail === '' ? '.' : `: ${detail}`}`;
  return { ...kept, failure: { code: failureCodeOf(said), message } };
}

/** The outcome of an answer, read by the function given; that may throw where it is not of the form it knows. */
export function answer<Output>(
  end: ProgramEnd,
  context: Pick<ExecutionContext, 'log'>,
  read: (text: string) => Output,
): Omit<ExecutorOutcome, 'output'> & { output?: Output } {
  if (!succeeded(end)) return dockerFailed(end);
  if (end.stdout.truncated)
    return { failure: { code: 'result_too_large', message: 'docker answers with more than can be read.' } };
  try {
    return { output: read(textOf(end.stdout)) };
  } catch (err) {
    context.log.warn({ err }, 'docker answers in a form that is not known');
    return {
      failure: { code: 'output_unreadable', message: 'docker answered in a form that is not known here.' },
    };
  }
}

/** One JSON document a line, or an array of them: versions of docker differ. @throws where it is neither */
export function readRows(text: string): unknown[] {
  const trimmed = text.trim();
  if (trimmed.startsWith('[')) {
    const rows: unknown = JSON.parse(trimmed);
    return Array.isArray(rows) ? rows : [];
  }
  return trimmed
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line): unknown => JSON.parse(line));
}
