import { catalogue, type ErrorCode } from '../errors.ts';
import { backoffDelay } from '../lib/backoff.ts';
import type { CliContext, ClientOptions } from './context.ts';
import { clientOf } from './context.ts';
import { failureOf } from './failure.ts';

/** Live streams as subcommands follow them: through breaks and restarts of the server, until Ctrl-C. */

interface Handlers<T> {
  onData(event: { id: string; data: T }): void;
  onError(error: unknown): void;
  onConnectionStateChange(change: { state: string }): void;
}

export interface LiveRun {
  client: ReturnType<typeof clientOf>;
  /** Follows one stream. @param start subscribes, behind an event where there was one */
  follow<T>(
    start: (resume: { lastEventId?: string }, handlers: Handlers<T>) => { unsubscribe(): void },
    take: (data: T) => void,
  ): void;
  end(): void;
  /** Fulfilled after Ctrl-C and `end`, rejected by what does not pass by itself. */
  over: Promise<void>;
}

const backoff = { baseMs: 1000, maximumMs: 10_000 };

/** @param onState is told when a stream breaks, and when it goes on */
export function startLive(
  context: CliContext,
  options: ClientOptions,
  onState: (connected: boolean) => void = (connected) =>
    context.terminal.note(connected ? 'connected again' : 'the connection broke; connecting again …'),
): LiveRun {
  const stop = new AbortController();
  const over = Promise.withResolvers<void>();
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  const end = () => {
    for (const signal of signals) process.removeListener(signal, end);
    stop.abort();
    over.resolve();
  };
  for (const signal of signals) process.once(signal, end);
  const fail = (error: unknown) => {
    over.reject(error);
    end();
  };
  /** Streams that are broken now. */
  const broken = new Set<object>();
  const isBroken = (stream: object, now: boolean) => {
    const before = broken.size > 0;
    if (now) broken.add(stream);
    else broken.delete(stream);
    if (before !== broken.size > 0 && !stop.signal.aborted) onState(!now);
  };

  return {
    client: clientOf(context, options),
    follow(start, take) {
      const stream = {};
      let lastEventId: string | undefined;
      let failures = 0;
      let subscription: { unsubscribe(): void } | undefined;
      let timer: NodeJS.Timeout | undefined;
      const begin = () => {
        subscription = start(lastEventId === undefined ? {} : { lastEventId }, {
          onData({ id, data }) {
            lastEventId = id;
            failures = 0;
            isBroken(stream, false);
            if (!stop.signal.aborted) take(data);
          },
          onError(error) {
            if (stop.signal.aborted) return;
            if (lastEventId === undefined || !passes(failureOf(error).code)) return fail(error);
            isBroken(stream, true);
            timer = setTimeout(begin, backoffDelay(backoff, failures++, 0.5 + Math.random() / 2));
          },
          onConnectionStateChange({ state }) {
            if (lastEventId !== undefined && state !== 'idle') isBroken(stream, state === 'connecting');
          },
        });
      };
      stop.signal.addEventListener('abort', () => {
        clearTimeout(timer);
        subscription?.unsubscribe();
      });
      begin();
    },
    end,
    over: over.promise,
  };
}

const passes = (code: ErrorCode | 'usage'): boolean => code !== 'usage' && catalogue[code].retryable;

/** An event of a live stream, whatever it is about. */
export interface LiveView<T> {
  snapshot?: { part: number; parts: number } | undefined;
  items: readonly T[];
  gone: readonly string[];
}

export interface Known<T> {
  readonly items: ReadonlyMap<string, T>;
  /** Everything there is was told at least once. */
  readonly complete: boolean;
  /** Answers with what is not as it was. */
  take(event: LiveView<T>): { changed: T[]; gone: T[] };
}

/** What is true by all that a stream told. */
export function createKnown<T>(keyOf: (item: T) => string, same: (one: T, other: T) => boolean): Known<T> {
  const items = new Map<string, T>();
  /** What the snapshot that is being told has. */
  let listed = new Set<string>();
  let complete = false;
  return {
    items,
    get complete() {
      return complete;
    },
    take({ snapshot, items: told, gone }) {
      if (snapshot?.part === 1) listed = new Set();
      const changed = told.filter((item) => {
        const before = items.get(keyOf(item));
        return before === undefined || !same(before, item);
      });
      for (const item of told) {
        listed.add(keyOf(item));
        items.set(keyOf(item), item);
      }
      const isLast = snapshot !== undefined && snapshot.part === snapshot.parts;
      const missing = isLast ? [...items.keys()].filter((key) => !listed.has(key)) : [];
      const left = [...gone, ...missing].flatMap((key) => items.get(key) ?? []);
      for (const item of left) items.delete(keyOf(item));
      complete ||= isLast;
      return { changed, gone: left };
    },
  };
}
