import type { TRPCLink } from '@trpc/client';
import { observable } from '@trpc/server/observable';
import type { AppRouter } from '../api/client.ts';
import { failureOf, retryAfterOf } from './failure.ts';

/** Somebody who sees nothing for so long wonders whether it works. */
const slowAfterMs = 5000;

/** @param onSlow is told of each call that the server did not answer for some seconds; it is waited for all the same */
export function slowLink(onSlow: (ms: number) => void): TRPCLink<AppRouter> {
  return () =>
    ({ next, op }) =>
      observable((observer) => {
        const timer = setTimeout(onSlow, slowAfterMs, slowAfterMs);
        const call = next(op).subscribe({
          next: (value) => observer.next(value),
          complete() {
            clearTimeout(timer);
            observer.complete();
          },
          error(error) {
            clearTimeout(timer);
            observer.error(error);
          },
        });
        return () => {
          clearTimeout(timer);
          call.unsubscribe();
        };
      });
}

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
