import { durationFromMs } from '@bufbuild/protobuf/wkt';
import { ConnectError } from '@connectrpc/connect';
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from '#gen/google/rpc/error_details_pb.js';
import type { ViworksError } from '../../errors.ts';
import { statusOf } from '../errors.ts';

type Details = NonNullable<ConstructorParameters<typeof ConnectError>[3]>;

/** An error with the details that gRPC libraries know how to read (google.rpc). */
export function toConnectError(error: ViworksError): ConnectError {
  const details: Details = [
    {
      desc: ErrorInfoSchema,
      value: {
        reason: error.code.toUpperCase(),
        domain: 'viworks',
        metadata: { retryable: String(error.retryable) },
      },
    },
  ];
  if (error.fields.length > 0) {
    const fieldViolations = error.fields.map(({ field, problem }) => ({ field, description: problem }));
    details.push({ desc: BadRequestSchema, value: { fieldViolations } });
  }
  if (error.retryAfterMs !== undefined) {
    details.push({ desc: RetryInfoSchema, value: { retryDelay: durationFromMs(error.retryAfterMs) } });
  }
  return new ConnectError(error.message, statusOf(error).connect, undefined, details);
}
