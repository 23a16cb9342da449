import { ViworksError } from '../errors.ts';
import { backoffDelay } from '../lib/backoff.ts';

/**
 * Natural group commit. One batch is under way; what arrives meanwhile goes with the next, at once when the
 * first returns. A lone item waits for nothing but its own commit. While whole batches wait, more may be under way.
 */
export interface BatchWriter<Item, Result> {
  /**
   * Resolves after the commit. @throws queue_full when too much waits already, what the write threw for this
   * item otherwise
   */
  add(item: Item): Promise<Result>;
  /**
   * As add, for what nobody waits for: it goes with the next batch, or after some milliseconds alone. What is
   * said soon after it then shares its write.
   */
  addLazily(item: Item): Promise<Result>;
  /** Resolves when nothing is under way any more. */
  idle(): Promise<void>;
  /** Items that wait or are under way. */
  readonly size: number;
}

export interface BatchWriterOptions<Item, Result> {
  /** Writes a batch in one transaction; answers in the order of the items. */
  write(items: Item[]): Promise<Result[]>;
  /** How much of the bounds an item takes, for example its rows. 1 by default. */
  weight?: (item: Item) => number;
  /** Weight of one batch. */
  maximumBatch: number;
  /** Batches under way at once; one by default. More are for items that do not need each other's order. */
  atOnce?: number;
  /** Weight that may wait; over it add() refuses. */
  maximumWaiting: number;
  /**
   * With `retry`, a batch that failed because the database is away is written again until this many
   * milliseconds are over; the bound on what waits is the back-pressure. 0 fails at once.
   */
  retryForMs: number;
  /** Once it is aborted, a database that is away is waited for no more: what cannot be written fails, and all behind it. */
  patience?: AbortSignal;
  onBatch?: (weight: number) => void;
}

/** Milliseconds that a lazy item may wait for company. A person does not see them. */
const lazyMs = 10;

interface Waiting<Item, Result> {
  item: Item;
  weight: number;
  urgent: boolean;
  resolve(result: Result): void;
  reject(error: unknown): void;
}

export function createBatchWriter<Item, Result>(
  options: BatchWriterOptions<Item, Result>,
): BatchWriter<Item, Result> {
  let waiting: Waiting<Item, Result>[] = [];
  let waitingWeight = 0;
  let underWay = 0;
  let running: Promise<void> | undefined;
  /** Those that are under way beside it. */
  const beside = new Set<Promise<void>>();
  /** Entries that somebody waits for. */
  let urgent = 0;
  let timer: NodeJS.Timeout | undefined;
  /** Why nothing is written any more. */
  let givenUp: { error: unknown } | undefined;

  function takeBatch(): Waiting<Item, Result>[] {
    let weight = 0;
    let count = 0;
    for (const entry of waiting) {
      if (count > 0 && weight + entry.weight > options.maximumBatch) break;
      weight += entry.weight;
      count++;
      if (entry.urgent) urgent--;
    }
    const batch = waiting.slice(0, count);
    waiting = waiting.slice(count);
    waitingWeight -= weight;
    underWay += count;
    options.onBatch?.(weight);
    return batch;
  }

  async function run(): Promise<void> {
    // The items of one tick share the first batch.
    await undefined;
    do await writeNext();
    while (urgent > 0);
    running = undefined;
    if (waiting.length > 0) startSoon();
  }

  async function writeNext(): Promise<void> {
    const batch = takeBatch();
    await writeBatch(batch);
    underWay -= batch.length;
  }

  async function runBeside(): Promise<void> {
    while (waitingWeight >= options.maximumBatch) await writeNext();
  }

  function startBeside(): void {
    if (waitingWeight < options.maximumBatch || beside.size + 1 >= (options.atOnce ?? 1)) return;
    const started = runBeside().finally(() => beside.delete(started));
    beside.add(started);
  }

  function start(): void {
    clearTimeout(timer);
    timer = undefined;
    if (waiting.length > 0) running ??= run();
    startBeside();
  }

  function startSoon(): void {
    if (running === undefined) timer ??= setTimeout(start, lazyMs);
  }

  async function writeBatch(batch: Waiting<Item, Result>[]): Promise<void> {
    try {
      const results = await writeWithRetry(batch.map((entry) => entry.item));
      batch.forEach((entry, index) => {
        entry.resolve(results[index] as Result);
      });
    } catch (error) {
      const transient = error instanceof ViworksError && error.retryable;
      if (batch.length === 1 || transient) {
        for (const entry of batch) entry.reject(error);
        if (transient && options.patience?.aborted) giveUp(error);
        return;
      }
      // One item is at fault and must not take the others with it: halves find it.
      const middle = batch.length >> 1;
      await writeBatch(batch.slice(0, middle));
      await writeBatch(batch.slice(middle));
    }
  }

  function giveUp(error: unknown): void {
    givenUp = { error };
    for (const entry of waiting) entry.reject(error);
    waiting = [];
    waitingWeight = 0;
    urgent = 0;
  }

  async function writeWithRetry(items: Item[]): Promise<Result[]> {
    const until = performance.now() + options.retryForMs;
    for (let attempt = 0; ; attempt++) {
      try {
        return await options.write(items);
      } catch (error) {
        const again = error instanceof ViworksError && error.retryable && performance.now() < until;
        if (!again || options.patience?.aborted) throw error;
        const delay = backoffDelay({ baseMs: 50, maximumMs: 1000 }, attempt);
        await new Promise((resolve) => setTimeout(resolve, delay));
      }
    }
  }

  function enqueue(item: Item, isUrgent: boolean): Promise<Result> {
    if (givenUp !== undefined) return Promise.reject(givenUp.error);
    const weight = options.weight?.(item) ?? 1;
    if (waitingWeight > 0 && waitingWeight + weight > options.maximumWaiting) {
      return Promise.reject(
        new ViworksError('queue_full', 'Too much waits to be written. Nothing of this request was stored.', {
          retryAfterMs: 1000,
        }),
      );
    }
    waitingWeight += weight;
    const promise = new Promise<Result>((resolve, reject) => {
      waiting.push({ item, weight, urgent: isUrgent, resolve, reject });
    });
    if (isUrgent) {
      urgent++;
      start();
    } else startSoon();
    return promise;
  }

  return {
    add: (item) => enqueue(item, true),
    addLazily: (item) => enqueue(item, false),
    async idle() {
      for (start(); running !== undefined || beside.size > 0; start())
        await Promise.all([running, ...beside]);
    },
    get size() {
      return waiting.length + underWay;
    },
  };
}
