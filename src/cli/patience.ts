import type { TRPCLink } from '@trpc/client';
import { observable } from '@trpc/server/observable';
import type { AppRouter } from '../api/client.ts';
import { failureOf, retryAfterOf } from './failure.ts';

/** A script makes more calls than it may: it is waited for as long as the server says, and nothing was done meanwhile. */

const mostWaits = 5;
const longestWaitMs = 120_000;

/** @param onWait is told the milliseconds of each wait */
export function patienceLink(onWait: (ms: number) => void): TRPCLink<AppRouter> {
  return () =>
    ({ next, op }) =>
      observable((observer) => {
        let waits = 0;
        let timer: NodeJS.Timeout | undefined;
        let attempt = call();
        function call() {
          return next(op).subscribe({
            next: (value) => observer.next(value),
            complete: () => observer.complete(),
            error(error) {
              const waitMs = failureOf(error).code === 'rate_limited' ? retryAfterOf(error) : undefined;
              if (waitMs === undefined || waitMs > longestWaitMs || waits === mostWaits) {
                observer.error(error);
                return;
              }
              waits += 1;
              onWait(waitMs);
              timer = setTimeout(() => {
                attempt = call();
              }, waitMs);
            },
          });
        }
        return () => {
          clearTimeout(timer);
          attempt.unsubscribe();
        };
      });
}
