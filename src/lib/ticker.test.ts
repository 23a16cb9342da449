import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { createTicker } from './ticker.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

test('a tick that comes while the work is under way is left out', async () => {
  let begun = 0;
  let finish = () => {};
  const work = () => {
    begun += 1;
    return new Promise<void>((resolve) => {
      finish = resolve;
    });
  };
  const ticker = createTicker({ intervalMs: 10, work, failed: () => {} });
  ticker.start();
  ticker.start();
  await vi.advanceTimersByTimeAsync(35);
  expect(begun).toBe(1);
  finish();
  await vi.advanceTimersByTimeAsync(10);
  expect(begun).toBe(2);
  finish();
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
  let begun = 0;
  let finish = () => {};
  const work = () => {
    begun += 1;
    return new Promise<void>((resolve) => {
      finish = resolve;
    });
  };
  const ticker = createTicker({ intervalMs: 10, work, failed: () => {} });
  ticker.start();
  await vi.advanceTimersByTimeAsync(10);
  let stopped = false;
  const stop = ticker.stop().then(() => {
    stopped = true;
  });
  await vi.advanceTimersByTimeAsync(50);
  expect(stopped).toBe(false);
  finish();
  await stop;
  await vi.advanceTimersByTimeAsync(50);
  expect(begun).toBe(1);
});
