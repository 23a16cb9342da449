import { create, toBinary } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { ArgsEncoding, type Result, Result_Outcome, ResultSchema } from '#gen/viworks/agent/v1/command_pb.js';
import { ViworksError } from '../errors.ts';
import { wireLimits } from '../protocol/limits.ts';
import type { ExecutorFailure, ExecutorOutcome } from './executors/executor.ts';
import type { CapturedOutput } from './process.ts';

/** How the end of an execution becomes a RESULT, in one place. */

/** Why the signal of an execution was aborted; the reason of its AbortSignal. */
export type StopReason = 'timeout' | 'cancelled' | 'stopped';

export interface ExecutionName {
  executionId: string;
  attempt: number;
}

interface Times {
  /** Milliseconds since 1970. */
  startedAt?: number | undefined;
  finishedAt: number;
}

/** Leaves room for the envelope, and for base64 in its JSON form. */
const largestResult = Math.floor(wireLimits.messageBytes * 0.7);

const { SUCCEEDED, FAILED, CANCELLED, TIMED_OUT, REJECTED, UNKNOWN } = Result_Outcome;

const interruptions: Record<StopReason, { outcome: Result_Outcome; failure: ExecutorFailure }> = {
  timeout: {
    outcome: TIMED_OUT,
    failure: { code: 'timeout', message: 'It ran longer than its time limit and was ended.' },
  },
  cancelled: {
    outcome: CANCELLED,
    failure: { code: 'cancelled', message: 'It was ended because it was cancelled.' },
  },
  // How it ended is known, so this is neither unknown nor a wish of the one who submitted it.
  stopped: {
    outcome: FAILED,
    failure: { code: 'agent_stopped', message: 'It was ended because the agent was stopped.' },
  },
};

const neverStarted: Record<StopReason, { outcome: Result_Outcome; failure: ExecutorFailure }> = {
  timeout: interruptions.timeout,
  cancelled: {
    outcome: CANCELLED,
    failure: { code: 'cancelled', message: 'It was cancelled before it began.' },
  },
  stopped: {
    outcome: REJECTED,
    failure: { code: 'agent_stopped', message: 'It was not started, because the agent was stopped.' },
  },
};

/** RESULT of something that ran. */
export function resultOf(
  name: ExecutionName,
  outcome: ExecutorOutcome,
  stop: StopReason | undefined,
  times: Times,
): Result {
  const ended = outcome.interrupted === true && stop !== undefined ? interruptions[stop] : undefined;
  const failure = ended?.failure ?? outcome.failure;
  const result = create(ResultSchema, {
    ...name,
    outcome: ended?.outcome ?? (failure === undefined ? SUCCEEDED : FAILED),
    signal: outcome.signal ?? '',
    ...timesOf(times),
    ...(outcome.exitCode === undefined ? {} : { exitCode: outcome.exitCode }),
    ...(outcome.stdout === undefined ? {} : { stdout: outputOf(outcome.stdout) }),
    ...(outcome.stderr === undefined ? {} : { stderr: outputOf(outcome.stderr) }),
    ...(outcome.output === undefined
      ? {}
      : {
          output: outcome.output,
          outputEncoding: outcome.outputEncoding === 'json' ? ArgsEncoding.JSON : ArgsEncoding.PROTOBUF,
        }),
    ...(failure === undefined ? {} : { failure: { ...failure, message: failure.message.slice(0, 4096) } }),
  });
  if (toBinary(ResultSchema, result).byteLength <= largestResult) return result;
  return withoutRun(
    name,
    FAILED,
    { code: 'result_too_large', message: 'The result does not fit into a message.' },
    times,
  );
}

/** RESULT of something that did not run, or of which nothing is known but this. */
export function withoutRun(
  name: ExecutionName,
  outcome: Result_Outcome,
  failure: ExecutorFailure,
  times: Times,
): Result {
  return create(ResultSchema, { ...name, outcome, failure, ...timesOf(times) });
}

export const rejected = (name: ExecutionName, failure: ExecutorFailure, now: number): Result =>
  withoutRun(name, REJECTED, failure, { finishedAt: now });

/** RESULT of an execution that was stopped while it waited for its turn. */
export function stoppedBeforeStart(name: ExecutionName, stop: StopReason, now: number): Result {
  const { outcome, failure } = neverStarted[stop];
  return withoutRun(name, outcome, failure, { finishedAt: now });
}

/** RESULT for a CANCEL that came before its COMMAND. */
export const cancelledUnseen = (name: ExecutionName, now: number): Result =>
  withoutRun(
    name,
    CANCELLED,
    { code: 'not_started', message: 'It was cancelled before it reached the agent.' },
    { finishedAt: now },
  );

/** RESULT of what the ledger says was begun, or waited, when the agent's process ended. */
export function lostInRestart(name: ExecutionName, startedAt: number | undefined, now: number): Result {
  if (startedAt === undefined)
    return rejected(name, { code: 'agent_restarted', message: 'The agent restarted before it began.' }, now);
  const failure = {
    code: 'agent_restarted',
    message: 'The agent restarted while it ran; how it ended is not known.',
  };
  return withoutRun(name, UNKNOWN, failure, { startedAt, finishedAt: now });
}

/** Answer to a late repetition of an execution whose RESULT was acknowledged and is no longer kept. */
export const alreadyReported = (name: ExecutionName, now: number): Result =>
  withoutRun(
    name,
    UNKNOWN,
    { code: 'already_reported', message: 'It ended, and its result was acknowledged and is no longer kept.' },
    { finishedAt: now },
  );

/** What an executor threw, in words that are safe to send. */
export function failureOf(error: unknown): ExecutorFailure {
  if (error instanceof ViworksError) return { code: error.code, message: error.message };
  if (error instanceof Error && 'code' in error && typeof error.code === 'string') {
    const code = systemCodes[error.code];
    if (code !== undefined) return { code, message: startProblem(error, code) ?? error.message };
  }
  return { code: 'internal', message: 'The agent could not run it; its log has the cause.' };
}

/** The system names the program also where it is the folder to run it in that is missing. */
function startProblem(error: Error, code: string): string | undefined {
  const call: unknown = Reflect.get(error, 'syscall');
  if (typeof call !== 'string' || !call.startsWith('spawn ')) return undefined;
  const program = call.slice('spawn '.length);
  if (code === 'not_found')
    return `${program} cannot be started: there is no such program, or no such working directory.`;
  if (code === 'permission_denied')
    return `${program} cannot be started: the agent may not execute it, or not enter the working directory.`;
  return undefined;
}

const systemCodes: Record<string, string> = {
  ENOENT: 'not_found',
  ENOTDIR: 'not_found',
  EACCES: 'permission_denied',
  EPERM: 'permission_denied',
  ELOOP: 'permission_denied',
  EISDIR: 'not_regular',
  ENXIO: 'not_regular',
  ENAMETOOLONG: 'invalid_args',
  E2BIG: 'invalid_args',
  ENOEXEC: 'not_executable',
  ERR_INVALID_ARG_VALUE: 'invalid_args',
  EAGAIN: 'resource_exhausted',
  EMFILE: 'resource_exhausted',
  ENFILE: 'resource_exhausted',
  ENOMEM: 'resource_exhausted',
};

function timesOf(times: Times) {
  return {
    finishedAt: timestampFromMs(Math.trunc(times.finishedAt)),
    ...(times.startedAt === undefined ? {} : { startedAt: timestampFromMs(Math.trunc(times.startedAt)) }),
  };
}

function outputOf({ data, offset = 0, totalBytes, truncated }: CapturedOutput) {
  return { data, offset: BigInt(offset), totalBytes: BigInt(totalBytes), truncated };
}

/** What of the output the server does not have yet. */
export function withoutAcknowledged(
  outcome: ExecutorOutcome,
  acknowledged: { stdout: number; stderr: number },
): ExecutorOutcome {
  const rest = (captured: CapturedOutput, offset: number) => ({
    ...captured,
    data: captured.data.subarray(offset),
    offset,
  });
  const { stdout, stderr } = outcome;
  return {
    ...outcome,
    ...(stdout && { stdout: rest(stdout, acknowledged.stdout) }),
    ...(stderr && { stderr: rest(stderr, acknowledged.stderr) }),
  };
}
