import type { FastifyReply } from 'fastify';
import { ViworksError } from '../errors.ts';
import { problemOf, retryAfterSeconds, statusOf } from './errors.ts';

/** An error as plain HTTP answers it. */
export interface Refusal {
  error: ViworksError;
  status: number;
}

/** Makes what the HTTP framework threw, or a handler, into an error of the catalogue and a status. */
export function refusalOf(thrown: unknown): Refusal {
  const status = clientErrorStatus(thrown);
  const error =
    status === undefined
      ? ViworksError.from(thrown)
      : status === 413
        ? new ViworksError('message_too_large', 'The request is too large.', { cause: thrown })
        : new ViworksError('invalid_request', 'The request is not well formed.', { cause: thrown });
  return { error, status: status ?? statusOf(error).http };
}

/** The framework's own refusals carry a status; of these only the ones that blame the caller are shown. */
function clientErrorStatus(thrown: unknown): number | undefined {
  if (!(thrown instanceof Error) || !('statusCode' in thrown)) return undefined;
  const { statusCode } = thrown;
  return typeof statusCode === 'number' && statusCode >= 400 && statusCode < 500 ? statusCode : undefined;
}

export function sendProblem(reply: FastifyReply, { error, status }: Refusal): FastifyReply {
  const seconds = retryAfterSeconds(error);
  if (seconds !== undefined) reply.header('retry-after', seconds);
  return reply.code(status).type('application/problem+json').send(problemOf(error, status));
}
