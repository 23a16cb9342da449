import { create } from '@bufbuild/protobuf';
import { durationFromMs, durationMs } from '@bufbuild/protobuf/wkt';
import type { Error as ErrorBody } from '#gen/viworks/agent/v1/flow_pb.js';
import { ErrorSchema } from '#gen/viworks/agent/v1/flow_pb.js';
import { catalogue, type ErrorCode, ViworksError } from '../errors.ts';

/** ERROR envelopes and the errors of the catalogue, in both directions. */

/** Milliseconds; those of `otherwise` where there are none. */
export function positiveMs(
  duration: Parameters<typeof durationMs>[0] | undefined,
  otherwise: number,
): number {
  const ms = duration === undefined ? 0 : durationMs(duration);
  return ms > 0 ? ms : otherwise;
}

/** @param sequence of the envelope that is refused; 0 where the session is meant */
export function errorBody(error: ViworksError, fatal: boolean, sequence: bigint): ErrorBody {
  return create(ErrorSchema, {
    code: error.code,
    message: error.message.slice(0, 1024),
    retryable: error.retryable,
    fatal,
    sequence,
    ...(error.retryAfterMs === undefined
      ? {}
      : { retryAfter: durationFromMs(Math.round(error.retryAfterMs)) }),
  });
}

/** The peer may know codes that this end does not; whether it may try again counts then. */
export function errorOf(error: ErrorBody): ViworksError {
  const retryAfterMs = positiveMs(error.retryAfter, 0);
  const options = retryAfterMs === 0 ? {} : { retryAfterMs };
  if (isErrorCode(error.code) && catalogue[error.code].retryable === error.retryable)
    return new ViworksError(error.code, error.message, options);
  const code = error.retryable ? 'unavailable' : 'internal';
  return new ViworksError(code, `${error.code}: ${error.message}`, options);
}

const isErrorCode = (code: string): code is ErrorCode => Object.hasOwn(catalogue, code);
