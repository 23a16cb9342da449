import { catalogue, ViworksError } from '../errors.ts';
import type { ApiDeps } from './deps.ts';

/** What happens to every call, whichever surface it came through: a deadline, a count, a line in the log. */

export type Surface = 'trpc' | 'grpc' | 'http';

/** Milliseconds in which a call that is not a stream must be answered. */
const callTimeoutMs = 30_000;

/** The work goes on when the deadline passes; its caller no longer waits for it. @throws deadline_exceeded */
export async function withinDeadline<T>(work: Promise<T>, timeoutMs = callTimeoutMs): Promise<T> {
  const expired = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    expired.reject(new ViworksError('deadline_exceeded', `No answer within ${timeoutMs} ms.`));
  }, timeoutMs);
  try {
    return await Promise.race([work, expired.promise]);
  } finally {
    clearTimeout(timer);
  }
}

export function countSuccess({ metrics }: Pick<ApiDeps, 'metrics'>, surface: Surface, operation: string) {
  metrics.apiRequests.inc({ surface, operation, code: 'ok' });
}

export function recordFailure(
  { metrics, log }: Pick<ApiDeps, 'metrics' | 'log'>,
  surface: Surface,
  operation: string,
  error: ViworksError,
): void {
  const { code } = error;
  metrics.apiRequests.inc({ surface, operation, code });
  const { log: level, hint } = catalogue[code];
  // A defect is logged with its stack, everything else by the line that its caller saw.
  const details = code === 'internal' ? { err: error.cause ?? error } : {};
  log[level]({ surface, operation, code, hint, ...details }, error.message);
}
