import type { ProgramEnd } from '../process.ts';
import type { ExecutorOutcome } from './executor.ts';

/** The outcome of a verb whose helper program did not do its work. */
export function programFailure(program: string, end: ProgramEnd): Omit<ExecutorOutcome, 'output'> {
  const { exitCode, signal, stdout, stderr, interrupted } = end;
  const said = new TextDecoder().decode(stderr.data).trim().slice(0, 1000);
  const ended = signal === undefined ? `exit code ${exitCode}` : signal;
  return {
    exitCode,
    signal,
    stdout,
    stderr,
    interrupted,
    failure: {
      code: 'exit_code',
      message: `${program} ended with ${ended}${said === '' ? '.' : `: ${said}`}`,
    },
  };
}
