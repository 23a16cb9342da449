import { expect } from 'vitest';
import type { Ear } from '../../src/live/hint.ts';
import { type Source, streamOf } from '../../src/live/stream.ts';
import type { LiveEvent } from '../../src/live/types.ts';

type Event<T> = LiveEvent<T> & { skipped: number };

/** Reads a stream now and then, as somebody does who keeps what is true by what it is told. */
export function readerOf<T, P>(source: Source<T, P>, most: number, keyOf: (item: T) => string) {
  const known = new Map<string, T>();
  const events: Event<T>[] = [];
  let cursor: string | undefined;
  let stream: AsyncGenerator<Event<T>> | undefined;

  function open(): AsyncGenerator<Event<T>> {
    const idle = new AbortController();
    // Who would have to wait has read all that there is.
    const ear: Ear = { lower: () => {}, heard: async () => idle.abort(), close: () => {} };
    return streamOf(
      source,
      cursor,
      { most, intervalMs: 0, turn: async () => {}, began: () => {} },
      ear,
      idle.signal,
    );
  }
  function take(event: Event<T>): void {
    events.push(event);
    cursor = event.cursor;
    if (event.snapshot?.part === 1) known.clear();
    const keys = [...event.gone, ...event.shown.map(keyOf)];
    expect(new Set(keys).size).toBe(keys.length);
    for (const key of event.gone) known.delete(key);
    for (const item of event.shown) known.set(keyOf(item), item);
  }
  return {
    known,
    events,
    /** Reads at most so many events. */
    async read(count: number) {
      for (let n = 0; n < count; n++) {
        stream ??= open();
        const { done, value } = await stream.next();
        if (done) {
          stream = undefined;
          return;
        }
        take(value);
      }
    },
    /** The connection breaks. */
    async cut() {
      await stream?.return(undefined);
      stream = undefined;
    },
  };
}
