import { queryObjects } from 'node:v8';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { createWaits } from './waits.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** Whether a wait is over. */
function watch(wait: Promise<void>) {
  const watched = { over: false };
  wait.then(() => {
    watched.over = true;
  });
  return watched;
}

const settled = () => vi.advanceTimersByTimeAsync(0);

test('time ends a wait, and being woken only one that is for that', async () => {
  const waits = createWaits();
  const passing = watch(waits.pass(100));
  waits.wake();
  await settled();
  expect(passing.over).toBe(false);
  await vi.advanceTimersByTimeAsync(100);
  expect(passing.over).toBe(true);
  waits.lower();
  const listening = watch(waits.untilWoken(100));
  await vi.advanceTimersByTimeAsync(99);
  expect(listening.over).toBe(false);
  await vi.advanceTimersByTimeAsync(1);
  expect(listening.over).toBe(true);
  const woken = watch(waits.untilWoken());
  await vi.advanceTimersByTimeAsync(1_000_000);
  expect(woken.over).toBe(false);
  waits.wake();
  await settled();
  expect(woken.over).toBe(true);
  expect(vi.getTimerCount()).toBe(0);
});

test('who is woken before the wait does not wait, until that is forgotten', async () => {
  const waits = createWaits();
  waits.wake();
  await waits.untilWoken(100);
  await waits.untilWoken();
  waits.lower();
  const wait = watch(waits.untilWoken(100));
  await settled();
  expect(wait.over).toBe(false);
});

test('the end ends every wait, also those that come after it', async () => {
  const waits = createWaits();
  const wait = watch(waits.pass(100));
  waits.end();
  await settled();
  expect(wait.over).toBe(true);
  await waits.pass(100);
  await waits.untilWoken();
  expect(vi.getTimerCount()).toBe(0);
});

test('nothing is left of a wait that is over', async () => {
  const waits = createWaits();
  const before = queryObjects(Promise, { format: 'count' });
  for (let count = 0; count < 2000; count++) {
    const passing = waits.pass(1);
    vi.advanceTimersToNextTimer();
    await passing;
    waits.lower();
    const listening = waits.untilWoken(1000);
    waits.wake();
    await listening;
  }
  expect(queryObjects(Promise, { format: 'count' }) - before).toBeLessThan(100);
  expect(vi.getTimerCount()).toBe(0);
  waits.end();
});
