import { Code } from '@connectrpc/connect';
import type { TRPC_ERROR_CODE_KEY } from '@trpc/server';
import { type ErrorCode, type ErrorKind, type FieldProblem, ViworksError } from '../errors.ts';

/**
 * Where the one catalogue of errors meets the three surfaces of the API. Nothing else in `api` decides which
 * status an error has.
 */

export interface EdgeStatus {
  /** Status of HTTP; tRPC answers the same, because its codes stand for exactly these. */
  http: number;
  trpc: TRPC_ERROR_CODE_KEY;
  connect: Code;
}

export const statusOfKind: Record<ErrorKind, EdgeStatus> = {
  invalid_argument: { http: 400, trpc: 'BAD_REQUEST', connect: Code.InvalidArgument },
  unauthenticated: { http: 401, trpc: 'UNAUTHORIZED', connect: Code.Unauthenticated },
  permission_denied: { http: 403, trpc: 'FORBIDDEN', connect: Code.PermissionDenied },
  not_found: { http: 404, trpc: 'NOT_FOUND', connect: Code.NotFound },
  already_exists: { http: 409, trpc: 'CONFLICT', connect: Code.AlreadyExists },
  failed_precondition: { http: 412, trpc: 'PRECONDITION_FAILED', connect: Code.FailedPrecondition },
  resource_exhausted: { http: 429, trpc: 'TOO_MANY_REQUESTS', connect: Code.ResourceExhausted },
  cancelled: { http: 499, trpc: 'CLIENT_CLOSED_REQUEST', connect: Code.Canceled },
  internal: { http: 500, trpc: 'INTERNAL_SERVER_ERROR', connect: Code.Internal },
  unavailable: { http: 503, trpc: 'SERVICE_UNAVAILABLE', connect: Code.Unavailable },
  deadline_exceeded: { http: 504, trpc: 'GATEWAY_TIMEOUT', connect: Code.DeadlineExceeded },
};

/** HTTP says more precisely than the kind that the request, not the number of them, is too large. */
const tooLarge: Pick<EdgeStatus, 'http' | 'trpc'> = { http: 413, trpc: 'PAYLOAD_TOO_LARGE' };

export function statusOf(error: ViworksError): EdgeStatus {
  const status = statusOfKind[error.kind];
  return error.code === 'message_too_large' ? { ...status, ...tooLarge } : status;
}

/** What a program needs of an error, the same on every surface that speaks JSON. */
export interface ErrorData {
  code: ErrorCode;
  /** The same request may succeed later. */
  retryable: boolean;
  fields: readonly FieldProblem[];
  /** Milliseconds after which a retry makes sense. */
  retryAfterMs?: number;
}

export function errorData(error: ViworksError): ErrorData {
  return {
    code: error.code,
    retryable: error.retryable,
    fields: error.fields,
    ...(error.retryAfterMs === undefined ? {} : { retryAfterMs: error.retryAfterMs }),
  };
}

/** The body of an error over plain HTTP (RFC 9457), with the members of ErrorData beside the standard ones. */
export interface Problem extends ErrorData {
  type: string;
  title: string;
  status: number;
  detail: string;
}

export function problemOf(error: ViworksError, status = statusOf(error).http): Problem {
  return {
    type: `urn:viworks:error:${error.code}`,
    title: error.code.replaceAll('_', ' '),
    status,
    detail: error.message,
    ...errorData(error),
  };
}

/** The header Retry-After in whole seconds (RFC 9110, 10.2.3), or undefined where the error says nothing. */
export function retryAfterSeconds(error: ViworksError): string | undefined {
  return error.retryAfterMs === undefined ? undefined : String(Math.ceil(error.retryAfterMs / 1000));
}

export function endpointUnknown(what: string): ViworksError {
  return new ViworksError('endpoint_unknown', `There is no ${what}.`);
}
