import { catalogue, type ErrorCode, type ErrorKind, ViworksError } from '../errors.ts';

/**
 * How an error of the catalogue looks on each transport, and back. All three forms carry the exact code
 * beside the status, so that our own agents lose nothing; other clients read the status alone.
 */

export interface WireStatus {
  /** A code of the Connect protocol. */
  connect: string;
  /** A status code of gRPC. */
  grpc: number;
}

export const wireStatus: Record<ErrorKind, WireStatus> = {
  cancelled: { connect: 'canceled', grpc: 1 },
  invalid_argument: { connect: 'invalid_argument', grpc: 3 },
  deadline_exceeded: { connect: 'deadline_exceeded', grpc: 4 },
  not_found: { connect: 'not_found', grpc: 5 },
  already_exists: { connect: 'already_exists', grpc: 6 },
  permission_denied: { connect: 'permission_denied', grpc: 7 },
  resource_exhausted: { connect: 'resource_exhausted', grpc: 8 },
  failed_precondition: { connect: 'failed_precondition', grpc: 9 },
  internal: { connect: 'internal', grpc: 13 },
  unavailable: { connect: 'unavailable', grpc: 14 },
  unauthenticated: { connect: 'unauthenticated', grpc: 16 },
};

/** For what no error of the catalogue stands: a compression that the server does not offer. */
export const unimplemented: WireStatus = { connect: 'unimplemented', grpc: 12 };

/** The header or trailer with the exact code of the catalogue. */
export const errorCodeHeader = 'viworks-error-code';
/** Whole seconds, as in HTTP. */
export const retryAfterHeader = 'retry-after';

/** What stands for a status that came without an exact code. */
const codeOfKind: Record<ErrorKind, ErrorCode> = {
  cancelled: 'cancelled',
  invalid_argument: 'invalid_request',
  deadline_exceeded: 'deadline_exceeded',
  not_found: 'agent_unknown',
  already_exists: 'agent_exists',
  permission_denied: 'permission_denied',
  resource_exhausted: 'rate_limited',
  failed_precondition: 'version_unsupported',
  internal: 'internal',
  unavailable: 'unavailable',
  unauthenticated: 'unauthenticated',
};

const codeOfConnect = new Map<string, ErrorCode>(
  (Object.keys(wireStatus) as ErrorKind[]).map((kind) => [wireStatus[kind].connect, codeOfKind[kind]]),
);

/** The headers that go with an error: its exact code, and when to try again. */
export function errorHeaders(error: ViworksError): Record<string, string> {
  const headers: Record<string, string> = { [errorCodeHeader]: error.code };
  if (error.retryAfterMs !== undefined) {
    headers[retryAfterHeader] = String(Math.ceil(error.retryAfterMs / 1000));
  }
  return headers;
}

export interface WireError {
  /** A code of the Connect protocol, where there is one. */
  connect?: string | undefined;
  /** Value of the header with the exact code. */
  code?: string | undefined;
  message: string;
  /** Value of the header with the seconds to wait. */
  retryAfter?: string | undefined;
}

/** What the peer said, as an error of the catalogue; what it does not name becomes `unavailable`. */
export function errorFromWire(wire: WireError): ViworksError {
  const code = isErrorCode(wire.code) ? wire.code : (codeOfConnect.get(wire.connect ?? '') ?? 'unavailable');
  const retryAfterMs = Number(wire.retryAfter) * 1000;
  return new ViworksError(code, wire.message, Number.isFinite(retryAfterMs) ? { retryAfterMs } : {});
}

const isErrorCode = (code: string | undefined): code is ErrorCode =>
  code !== undefined && Object.hasOwn(catalogue, code);

/** Close codes of the WebSocket (RFC 6455 section 7.4.1; 4000 to 4999 are an application's own). */
const closeCodes = {
  normal: 1000,
  protocolError: 1002,
  tooLarge: 1009,
  tryAgainLater: 1013,
  /** Every other end; the reason names the error's code. */
  refused: 4000,
} as const;

/** The close frame's reason is the error's code; its code is found by the first line that fits. */
export function closeCodeOf(error: ViworksError | undefined): number {
  if (error === undefined) return closeCodes.normal;
  if (error.code === 'protocol_violation') return closeCodes.protocolError;
  if (error.code === 'message_too_large') return closeCodes.tooLarge;
  if (error.retryable) return closeCodes.tryAgainLater;
  return closeCodes.refused;
}

/** What the peer's close frame says; undefined for an end in order. */
export function errorFromClose(code: number, reason: string): ViworksError | undefined {
  if (code === closeCodes.normal || code === 1001 || code === 1005) return undefined;
  if (isErrorCode(reason)) return new ViworksError(reason, `The peer closed the connection: ${reason}.`);
  switch (code) {
    case closeCodes.protocolError:
      return new ViworksError('protocol_violation', 'The peer closed the connection: protocol error.');
    case closeCodes.tooLarge:
      return new ViworksError('message_too_large', 'The peer closed the connection: message too large.');
    case closeCodes.tryAgainLater:
      return new ViworksError('unavailable', 'The peer closed the connection: try again later.');
    default:
      return new ViworksError('connection_lost', `The connection ended with close code ${code}.`);
  }
}
