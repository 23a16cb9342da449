import { createLog, type Log } from './log.ts';

/** Things as they are now, by key, and how they came to be so. */
export interface Mirror<T> {
  get(key: string): T | undefined;
  values(): Iterable<T>;
  readonly size: number;
  readonly log: Log<Change<T>>;
  /** Undefined takes it away. What is as it was is no change. */
  put(key: string, item: T | undefined): void;
}

/** Undefined before it was there, and after it was taken away. */
export interface Change<T> {
  key: string;
  before: T | undefined;
  after: T | undefined;
}

export interface MirrorRules<T> {
  /** Changes that are remembered. */
  capacity: number;
  /** Whether nobody would want to be told of the difference. */
  same(one: T, other: T): boolean;
  /** What is over is told, and not kept. */
  isOver?(item: T): boolean;
}

export function createMirror<T>({ capacity, same, isOver = () => false }: MirrorRules<T>): Mirror<T> {
  const items = new Map<string, T>();
  const log = createLog<Change<T>>(capacity);
  return {
    get: (key) => items.get(key),
    values: () => items.values(),
    get size() {
      return items.size;
    },
    log,
    put(key, after) {
      const before = items.get(key);
      // What is over and was never seen is news of long ago.
      if (before === undefined && (after === undefined || isOver(after))) return;
      if (after === undefined || isOver(after)) items.delete(key);
      else items.set(key, after);
      if (before === undefined || after === undefined || !same(before, after))
        log.append({ key, before, after });
    },
  };
}

/** What a reader is told: each thing at most once, so that the order of `shown` and `gone` does not matter. */
export interface Batch<T> {
  shown: T[];
  /** Keys of what the reader sees no more. */
  gone: string[];
  /** Where to go on. */
  place: number;
}

/**
 * Reads what changed after a place that the log reaches.
 * @param sees whether the reader is to know of it
 * @param most things at once; the rest is read next
 * @param told keys of what the reader is told beside it, which count as well
 */
export function readChanges<T>(
  { log }: Pick<Mirror<T>, 'log'>,
  place: number,
  most: number,
  sees: (item: T) => boolean,
  told: readonly string[] = [],
): Batch<T> {
  const batch: Batch<T> = { shown: [], gone: [], place };
  const keys = new Set(told);
  for (; batch.place < log.head; batch.place += 1) {
    const change = log.at(batch.place + 1);
    if (change === undefined) continue;
    const { key, before, after } = change;
    const seen = after !== undefined && sees(after);
    if (!seen && !(before !== undefined && sees(before))) continue;
    // In the order in which it happened: what comes a second time waits for the next batch.
    if (keys.size >= most || keys.has(key)) break;
    keys.add(key);
    if (seen) batch.shown.push(after);
    else batch.gone.push(key);
  }
  return batch;
}

/** Compares field by field; of what lies deeper, the JSON. */
export function sameBut<T extends object>(...ignored: (keyof T)[]): (one: T, other: T) => boolean {
  const skipped = new Set<string>(ignored.map(String));
  return (one, other) => {
    const values = new Map<string, unknown>(Object.entries(other));
    return Object.entries(one).every(([name, value]) => {
      const there = values.get(name);
      if (Object.is(value, there) || skipped.has(name)) return true;
      const deep = typeof value === 'object' && typeof there === 'object';
      return deep && JSON.stringify(value) === JSON.stringify(there);
    });
  };
}
