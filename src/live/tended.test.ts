import { expect, onTestFinished, test } from 'vitest';
import { ViworksError } from '../errors.ts';
import { silentLogger } from '../lib/logger.ts';
import { createMirror, sameBut } from './mirror.ts';
import { createTended } from './tended.ts';

interface Thing {
  key: string;
  value: number;
}

/** A mirror of things, whose readings a test lets through one after the other. */
function rig(everyMs = 3_600_000) {
  const things = new Map<string, number>();
  const mirror = createMirror<Thing>({ capacity: 100, same: sameBut() });
  const reads: (readonly string[] | undefined)[] = [];
  let gate: Promise<void> | undefined;
  let failure: Error | undefined;
  let changed = Promise.withResolvers<void>();
  const tended = createTended<Thing>({
    mirror,
    keyOf: ({ key }) => key,
    async read(keys) {
      reads.push(keys);
      const found = [...things].map(([key, value]) => ({ key, value }));
      await gate;
      if (failure !== undefined) throw failure;
      return keys === undefined ? found : found.filter(({ key }) => keys.includes(key));
    },
    changed() {
      changed.resolve();
      changed = Promise.withResolvers();
    },
    log: silentLogger,
    what: 'things',
    everyMs,
  });
  onTestFinished(() => tended.stop());
  return {
    things,
    mirror,
    reads,
    tended,
    shown: () => Object.fromEntries(Array.from(mirror.values(), ({ key, value }) => [key, value])),
    hold() {
      const { promise, resolve } = Promise.withResolvers<void>();
      gate = promise;
      return () => {
        gate = undefined;
        resolve();
      };
    },
    fail(error: Error | undefined) {
      failure = error;
    },
    async until(wanted: () => boolean) {
      while (!wanted()) await changed.promise;
    },
  };
}

test('it is read when the first one looks, and what changes is read again alone', async () => {
  const { things, tended, shown, reads, until } = rig();
  things.set('a', 1).set('b', 1);
  tended.heard('a');
  expect(reads).toEqual([]);
  await tended.open();
  expect(shown()).toEqual({ a: 1, b: 1 });
  await tended.open();
  things.set('a', 2);
  things.delete('b');
  tended.heard('a');
  tended.heard('b');
  await until(() => shown().a === 2 && shown().b === undefined);
  // What is heard before somebody looks costs nothing, and two who look cost one reading.
  expect(reads.filter((keys) => keys === undefined)).toHaveLength(1);
});

test('those who come while it is read wait for it', async () => {
  const { things, tended, shown, hold } = rig();
  things.set('a', 1);
  const release = hold();
  const opened = Promise.all([tended.open(), tended.open()]);
  expect(shown()).toEqual({});
  release();
  await opened;
  expect(shown()).toEqual({ a: 1 });
});

test('while nobody looks nothing is read, and then all of it', async () => {
  const { things, tended, shown, reads } = rig();
  const close = await tended.open();
  close();
  close();
  things.set('a', 1);
  tended.heard('a');
  expect(reads).toHaveLength(1);
  await tended.open();
  expect(shown()).toEqual({ a: 1 });
});

test('who looks again while an older reading is under way sees what happened between', async () => {
  const { things, tended, shown, reads, hold } = rig(10);
  things.set('a', 1);
  const close = await tended.open();
  const release = hold();
  await expect.poll(() => reads.length).toBe(2);
  close();
  // Nobody looks, and what changes now is not heard of.
  things.set('a', 2);
  tended.heard('a');
  const opened = tended.open();
  release();
  await opened;
  expect(shown()).toEqual({ a: 2 });
});

test('what is told while all is read is newer than what is read', async () => {
  const { things, tended, mirror, shown, hold } = rig();
  things.set('a', 1).set('b', 1);
  const release = hold();
  const opened = tended.open();
  mirror.put('a', { key: 'a', value: 7 });
  tended.told('a');
  mirror.put('b', undefined);
  tended.told('b');
  release();
  await opened;
  expect(shown()).toEqual({ a: 7 });
});

test('what is told while nobody reads is not remembered', async () => {
  const { things, tended, mirror, shown, hold } = rig();
  for (let n = 0; n < 100; n++) tended.told(`before ${n}`);
  expect(tended.size).toBe(0);
  things.set('a', 1);
  const release = hold();
  const opened = tended.open();
  tended.told('b');
  expect(tended.size).toBe(1);
  release();
  const close = await opened;
  expect(tended.size).toBe(0);
  close();
  mirror.put('a', { key: 'a', value: 7 });
  tended.told('a');
  expect(tended.size).toBe(0);
  // It counts for nothing that is read later.
  await tended.open();
  expect(shown()).toEqual({ a: 1 });
});

test('what cannot be read is said to who begins to look, and tried again for who looks already', async () => {
  const { things, tended, shown, reads, fail, until } = rig();
  fail(new ViworksError('database_unavailable', 'away'));
  await expect(tended.open()).rejects.toMatchObject({ code: 'database_unavailable' });
  fail(undefined);
  await tended.open();
  things.set('a', 1);
  fail(new ViworksError('database_unavailable', 'away'));
  const count = reads.length;
  tended.heard('a');
  await until(() => reads.length > count);
  fail(undefined);
  await until(() => shown().a === 1);
});

test('what nobody told is found after a while', async () => {
  const { things, tended, shown, until } = rig(10);
  await tended.open();
  things.set('a', 1);
  await until(() => shown().a === 1);
});
