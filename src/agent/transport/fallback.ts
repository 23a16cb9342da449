import { ViworksError } from '../../errors.ts';
import { type Clock, systemClock } from '../../lib/clock.ts';
import type { Connection, Dialer } from '../../protocol/connection.ts';

/**
 * Several dialers behind one, best first. What worked is tried first the next time; after a while on a worse
 * one, the best gets its chance again.
 */

export interface FallbackOptions {
  /** On a worse transport for longer than this, the next dial begins with the best again. */
  upgradeAfterMs?: number;
  /** Each transport has this long, so that a silent one leaves time for the next. */
  attemptTimeoutMs?: number;
  clock?: Clock;
}

/** What is remembered between dials. */
export interface FallbackMemory {
  /** Index of the dialer that worked last. */
  worked: number;
  /** When a better one was last found not to work; monotonic milliseconds. */
  since: number;
}

/** The indices to try, in order. */
export function dialOrder(
  count: number,
  memory: FallbackMemory | undefined,
  now: number,
  upgradeAfterMs: number,
): number[] {
  const all = Array.from({ length: count }, (_, index) => index);
  if (memory === undefined || now - memory.since >= upgradeAfterMs) return all;
  return [memory.worked, ...all.filter((index) => index !== memory.worked)];
}

/** What to remember after `index` worked and all of `failed` did not. */
export function remember(
  memory: FallbackMemory | undefined,
  index: number,
  failed: readonly number[],
  now: number,
): FallbackMemory {
  const stays = memory?.worked === index && !failed.some((other) => other < index);
  return stays ? memory : { worked: index, since: now };
}

/** @param dialers best first, at least one */
export function createFallbackDialer(dialers: readonly Dialer[], options: FallbackOptions = {}): Dialer {
  const { upgradeAfterMs = 10 * 60_000, attemptTimeoutMs = 5_000, clock = systemClock } = options;
  const [best] = dialers;
  if (best === undefined) throw new ViworksError('config_invalid', 'At least one transport is needed.');
  let memory: FallbackMemory | undefined;

  return {
    get transport() {
      return (dialers[memory?.worked ?? 0] ?? best).transport;
    },
    async dial(handler, signal): Promise<Connection> {
      if (signal.aborted) {
        throw new ViworksError('unavailable', 'The caller went away.', { cause: signal.reason });
      }
      const failed: number[] = [];
      const reasons: string[] = [];
      let retryAfterMs: number | undefined;
      for (const index of dialOrder(dialers.length, memory, clock.monotonic(), upgradeAfterMs)) {
        const dialer = dialers[index];
        if (dialer === undefined) continue;
        const attempt = withTimeout(signal, attemptTimeoutMs);
        try {
          const connection = await dialer.dial(handler, attempt.signal);
          memory = remember(memory, index, failed, clock.monotonic());
          return connection;
        } catch (thrown) {
          const error = ViworksError.from(thrown);
          // What is not believed on one transport is not believed on another.
          if (signal.aborted || error.code === 'server_untrusted') throw error;
          failed.push(index);
          reasons.push(`${dialer.transport}: ${error.message}`);
          retryAfterMs ??= error.retryAfterMs;
        } finally {
          attempt.done();
        }
      }
      throw new ViworksError(
        'unavailable',
        reasons.join(' '),
        retryAfterMs === undefined ? {} : { retryAfterMs },
      );
    },
  };
}

/** AbortSignal.timeout keeps its timer when the work is done; this one is given back. */
function withTimeout(signal: AbortSignal, milliseconds: number): { signal: AbortSignal; done(): void } {
  const own = new AbortController();
  const timer = setTimeout(() => own.abort(), milliseconds);
  return { signal: AbortSignal.any([signal, own.signal]), done: () => clearTimeout(timer) };
}
