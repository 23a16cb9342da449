import { TRPCClientError } from '@trpc/client';
import { CommanderError } from 'commander';
import { catalogue, type ErrorCode, ViworksError } from '../errors.ts';
import { formatDuration } from '../lib/duration.ts';

/** How a failure leaves the command line: one line, a hint from the catalogue, and an exit code. */

export const exitCodes = { success: 0, failure: 1, usage: 2 } as const;

/** Wrong usage, said in one line. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

export interface Failure {
  /** Of the catalogue where there is one. */
  code: ErrorCode | 'usage';
  message: string;
  hint: string | undefined;
  exitCode: number;
}

export function failureOf(thrown: unknown): Failure {
  if (thrown instanceof UsageError || thrown instanceof CommanderError) {
    const message = thrown.message.replace(/^error: /, '');
    return { code: 'usage', message, hint: undefined, exitCode: exitCodes.usage };
  }
  const error = thrown instanceof TRPCClientError ? fromServer(thrown) : ViworksError.from(thrown);
  const exitCode = refusals.has(error.kind) ? exitCodes.usage : exitCodes.failure;
  const hint = error.code === 'internal' ? 'set VIWORKS_DEBUG=1 to see the cause' : hintOf(error.code);
  const wait = error.retryAfterMs;
  const again = wait === undefined ? '' : ` Try again in ${formatDuration(wait)}.`;
  return { code: error.code, message: error.message + again, hint, exitCode };
}

/** Errors of the set-up name the setting themselves, so that they fit in one line. */
const selfExplaining: ReadonlySet<ErrorCode> = new Set([
  'config_invalid',
  'database_in_use',
  'invalid_request',
]);

function hintOf(code: ErrorCode): string | undefined {
  return selfExplaining.has(code) ? undefined : catalogue[code].hint;
}

/** What the caller has to change before it can work. */
const refusals: ReadonlySet<string> = new Set([
  'invalid_argument',
  'unauthenticated',
  'permission_denied',
  'not_found',
  'already_exists',
  'failed_precondition',
]);

function fromServer(error: TRPCClientError<never>): ViworksError {
  const name = property(error.data, 'code');
  if (typeof name === 'string' && name in catalogue) {
    const retryAfterMs = retryAfterOf(error);
    const options = { cause: error, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) };
    return new ViworksError(name as ErrorCode, error.message, options);
  }
  return unreachable(reasonOf(error), error);
}

export const unreachable = (reason: string, cause?: unknown): ViworksError =>
  new ViworksError('unavailable', `The server cannot be reached: ${reason}`, { cause });

function property(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
}

/** Milliseconds after which the server wants to be asked again, if it said so. */
export function retryAfterOf(error: { data?: unknown }): number | undefined {
  const wait = property(error.data, 'retryAfterMs');
  return typeof wait === 'number' ? wait : undefined;
}

/** fetch says only that it failed; the reason lies in its causes. That of a stream is an event. */
export function reasonOf(error: unknown): string {
  let reason = error;
  while (reason instanceof Error && reason.cause !== undefined) reason = reason.cause;
  if (reason instanceof AggregateError) reason = reason.errors[0];
  if (reason instanceof Error) return reason.message;
  const message = property(reason, 'message');
  return typeof message === 'string' ? message : String(reason);
}
