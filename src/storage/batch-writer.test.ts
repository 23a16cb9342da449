import { expect, test } from 'vitest';
import { ViworksError } from '../errors.ts';
import { type BatchWriterOptions, createBatchWriter } from './batch-writer.ts';

/** A writer whose batches end when the test says so. */
function rig(options: Partial<BatchWriterOptions<number, number>> = {}) {
  const batches: { items: number[]; end(): void; fail(error: unknown): void }[] = [];
  const started: ((value: undefined) => void)[] = [];
  const weights: number[] = [];
  const writer = createBatchWriter<number, number>({
    write(items) {
      const { promise, resolve, reject } = Promise.withResolvers<number[]>();
      batches.push({ items, end: () => resolve(items.map((item) => item * 10)), fail: reject });
      started.shift()?.(undefined);
      return promise;
    },
    maximumBatch: 100,
    maximumWaiting: 1000,
    retryForMs: 0,
    onBatch: (weight) => weights.push(weight),
    ...options,
  });
  let seen = 0;
  return {
    writer,
    weights,
    /** The next batch that is written. */
    async batch() {
      if (batches.length <= seen) await new Promise<undefined>((resolve) => started.push(resolve));
      const next = batches[seen];
      seen += 1;
      if (next === undefined) throw new Error('no batch');
      return next;
    },
    get count() {
      return batches.length;
    },
  };
}

const away = () => new ViworksError('database_unavailable', 'away');

test('what comes in one tick is one batch, and what comes while it is written is the next one', async () => {
  const { writer, batch } = rig();
  const first = [writer.add(1), writer.add(2)];
  const one = await batch();
  expect(one.items).toEqual([1, 2]);
  const second = [writer.add(3), writer.add(4)];
  expect(writer.size).toBe(4);
  one.end();
  expect(await Promise.all(first)).toEqual([10, 20]);
  const two = await batch();
  expect(two.items).toEqual([3, 4]);
  two.end();
  expect(await Promise.all(second)).toEqual([30, 40]);
  await writer.idle();
  expect(writer.size).toBe(0);
});

test('never more than one batch is under way, each within its weight, in the order of the calls', async () => {
  const { writer, batch, weights } = rig({ maximumBatch: 10, weight: (item) => item });
  const added = [4, 4, 4, 25, 1, 9, 1].map((item) => writer.add(item));
  const seen: number[][] = [];
  for (let n = 0; n < 5; n++) {
    const next = await batch();
    seen.push(next.items);
    next.end();
  }
  await Promise.all(added);
  // An item that is heavier than a batch goes alone.
  expect(seen).toEqual([[4, 4], [4], [25], [1, 9], [1]]);
  expect(weights).toEqual([8, 4, 25, 10, 1]);
});

test('over its bound it refuses at the door, and drops nothing that it took', async () => {
  const { writer, batch } = rig({ maximumWaiting: 5, maximumBatch: 1 });
  const taken = [1, 2, 3, 4, 5].map((item) => writer.add(item));
  await expect(writer.add(6)).rejects.toMatchObject({ code: 'queue_full', retryAfterMs: 1000 });
  (await batch()).end();
  const again = writer.add(7);
  for (let n = 0; n < 5; n++) (await batch()).end();
  expect(await Promise.all([...taken, again])).toEqual([10, 20, 30, 40, 50, 70]);
});

test('one item at fault fails alone, wherever it stands', async () => {
  for (const poison of [0, 3, 6]) {
    const writer = createBatchWriter<number, number>({
      write: (items) =>
        items.includes(poison) ? Promise.reject(new ViworksError('internal', 'bad')) : Promise.resolve(items),
      maximumBatch: 100,
      maximumWaiting: 100,
      retryForMs: 0,
    });
    const settled = await Promise.allSettled([0, 1, 2, 3, 4, 5, 6].map((item) => writer.add(item)));
    const failed = settled.flatMap(({ status }, index) => (status === 'rejected' ? [index] : []));
    expect(failed).toEqual([poison]);
    await writer.idle();
  }
});

test('a database that is away is tried again, with the same batch, before anything else is written', async () => {
  const { writer, batch } = rig({ retryForMs: 60_000 });
  const first = writer.add(1);
  const one = await batch();
  const second = writer.add(2);
  one.fail(away());
  const again = await batch();
  expect(again.items).toEqual([1]);
  again.end();
  expect(await first).toBe(10);
  (await batch()).end();
  expect(await second).toBe(20);
});

test('out of patience it tries nothing again, and all that waits fails with what is under way', async () => {
  const stopping = new AbortController();
  const { writer, batch } = rig({
    retryForMs: Number.POSITIVE_INFINITY,
    maximumBatch: 1,
    atOnce: 2,
    patience: stopping.signal,
  });
  const added = [1, 2, 3, 4].map((item) => writer.add(item));
  const settled = Promise.allSettled(added);
  const [one, two] = [await batch(), await batch()];
  one.fail(away());
  const again = await batch();
  stopping.abort();
  again.fail(away());
  // What is under way beside it still counts.
  two.end();
  expect((await settled).map(({ status }) => status)).toEqual([
    'rejected',
    'fulfilled',
    'rejected',
    'rejected',
  ]);
  await expect(writer.add(5)).rejects.toMatchObject({ code: 'database_unavailable' });
  await writer.idle();
  expect(writer.size).toBe(0);
});

test('out of patience it writes what it has while the database is there', async () => {
  const stopping = new AbortController();
  const { writer, batch } = rig({ maximumBatch: 1, patience: stopping.signal });
  const added = [1, 2].map((item) => writer.add(item));
  stopping.abort();
  for (let n = 0; n < 2; n++) (await batch()).end();
  expect(await Promise.all(added)).toEqual([10, 20]);
});

test('without retry the whole batch fails at once, not split, and the writer lives on', async () => {
  const { writer, batch } = rig();
  const added = [writer.add(1), writer.add(2)];
  const one = await batch();
  one.fail(away());
  for (const { status } of await Promise.allSettled(added)) expect(status).toBe('rejected');
  const next = writer.add(3);
  (await batch()).end();
  expect(await next).toBe(30);
});

test('idle waits for what is added while it waits, and is over at once when there is nothing', async () => {
  const { writer, batch } = rig();
  await writer.idle();
  void writer.add(1);
  let idle = false;
  const done = writer.idle().then(() => {
    idle = true;
  });
  const one = await batch();
  void writer.add(2);
  one.end();
  const two = await batch();
  expect(idle).toBe(false);
  two.end();
  await done;
  expect(writer.size).toBe(0);
});
