import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { createTicker } from './ticker.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** Work that lasts until the test has it finish. */
function heldWork() {
  const held = {
    begun: 0,
    finish: () => {},
    work() {
      held.begun += 1;
      return new Promise<void>((resolve) => {
        held.finish = resolve;
      });
    },
  };
  return held;
}

test('a tick that comes while the work is under way is left out', async () => {
  const held = heldWork();
  const ticker = createTicker({ intervalMs: 10, work: held.work, failed: () => {} });
  ticker.start();
  ticker.start();
  await vi.advanceTimersByTimeAsync(35);
  expect(held.begun).toBe(1);
  held.finish();
  await vi.advanceTimersByTimeAsync(10);
  expect(held.begun).toBe(2);
  held.finish();
  await ticker.stop();
});

test('work that fails is told of and done again', async () => {
  const failures: unknown[] = [];
  const work = () => Promise.reject(new Error('away'));
  const ticker = createTicker({ intervalMs: 10, work, failed: (error) => failures.push(error) });
  ticker.start();
  await vi.advanceTimersByTimeAsync(20);
  expect(failures).toHaveLength(2);
  await ticker.stop();
});

test('stop waits for what is under way, and nothing begins after it', async () => {
  const held = heldWork();
  const ticker = createTicker({ intervalMs: 10, work: held.work, failed: () => {} });
  ticker.start();
  await vi.advanceTimersByTimeAsync(10);
  let stopped = false;
  const stop = ticker.stop().then(() => {
    stopped = true;
  });
  await vi.advanceTimersByTimeAsync(50);
  expect(stopped).toBe(false);
  held.finish();
  await stop;
  await vi.advanceTimersByTimeAsync(50);
  expect(held.begun).toBe(1);
});
