import fc from 'fast-check';
import { expect, onTestFinished, test, vi } from 'vitest';
import type { ViworksError } from '../errors.ts';
import { burstMs, newBucket, take } from '../lib/bucket.ts';
import { silentLogger } from '../lib/logger.ts';
import { createMetrics } from '../lib/metrics.ts';
import { type BudgetLimits, createBudget } from './budget.ts';
import { createReading } from './reading.ts';

test('whoever waits as told never takes more than the burst and what was earned', () => {
  const step = fc.record({
    idleMs: fc.nat({ max: 500 }),
    costMs: fc.double({ min: 0, max: 50, noNaN: true }),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const bucket = newBucket();
      const [start, last] = [1000, Math.max(0, ...steps.map(({ costMs }) => costMs))];
      let now = start;
      let taken = 0;
      for (const { idleMs, costMs } of steps) {
        now += idleMs;
        const wait = take(bucket, now, costMs);
        taken += costMs;
        expect(taken).toBeLessThanOrEqual(burstMs + (now - start) + last + 1e-6);
        if (wait > 0) now += wait;
      }
    }),
  );
});

test('whoever stays below the rate is never in debt', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: burstMs }), { maxLength: 100 }), (pauses) => {
      const bucket = newBucket();
      let now = 0;
      for (const pause of pauses) {
        now += pause;
        expect(take(bucket, now, pause)).toBeLessThanOrEqual(0);
      }
    }),
  );
});

function rig(limits: BudgetLimits) {
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  const line = { reads: true, errors: [] as ViworksError[] };
  const reading = createReading({
    pause() {
      line.reads = false;
    },
    resume() {
      line.reads = true;
    },
  });
  const metrics = createMetrics();
  const budget = createBudget(limits, {
    reading,
    metrics,
    log: silentLogger,
    agentId: 'flooder',
    fail: (error) => line.errors.push(error),
  });
  let bytes = 0;
  return {
    line,
    reading,
    metrics,
    /** One envelope. */
    say(size = 100) {
      bytes += size;
      budget.spend(performance.now(), bytes);
    },
    stray: budget.stray,
  };
}

test('over the messages of a second the connection is not read until they are earned', async () => {
  const { line, say, metrics } = rig({ messagesPerSecond: 1000, bytesPerSecond: 0 });
  for (let n = 0; n < 500; n++) say();
  expect(line.reads).toBe(true);
  for (let n = 0; n < 500; n++) say();
  expect(line.reads).toBe(false);
  expect((await metrics.agentsSlowedNow.get()).values[0]?.value).toBe(1);
  vi.advanceTimersByTime(500);
  expect(line.reads).toBe(true);
  expect((await metrics.agentsSlowedNow.get()).values[0]?.value).toBe(0);
  expect(line.errors).toEqual([]);
});

test('bytes count by themselves', () => {
  const { line, say } = rig({ messagesPerSecond: 0, bytesPerSecond: 1_000_000 });
  for (let n = 0; n < 5; n++) say(100_000);
  expect(line.reads).toBe(true);
  say(500_000);
  expect(line.reads).toBe(false);
  vi.advanceTimersByTime(500);
  expect(line.reads).toBe(true);
});

test('what names nothing that the agent has counts more', () => {
  const { line, say, stray } = rig({ messagesPerSecond: 1000, bytesPerSecond: 0 });
  for (let n = 0; n < 50; n++) {
    say();
    stray();
  }
  expect(line.reads).toBe(true);
  say();
  expect(line.reads).toBe(false);
});

test('somebody else who holds the connection is not overruled', () => {
  const { line, say, reading } = rig({ messagesPerSecond: 1000, bytesPerSecond: 0 });
  for (let n = 0; n < 1000; n++) say();
  reading.hold();
  vi.advanceTimersByTime(1000);
  expect(line.reads).toBe(false);
  reading.release();
  expect(line.reads).toBe(true);
});

test('an agent that never rests is sent away, one that rests now and then is not', () => {
  const never = rig({ messagesPerSecond: 100, bytesPerSecond: 0 });
  for (let tenth = 0; tenth < 700 && never.line.errors.length === 0; tenth++) {
    for (let n = 0; n < 300 && never.line.reads; n++) never.say();
    vi.advanceTimersByTime(100);
  }
  expect(never.line.errors).toMatchObject([{ code: 'rate_limited', retryable: true, retryAfterMs: 30_000 }]);

  const rests = rig({ messagesPerSecond: 100, bytesPerSecond: 0 });
  for (let burst = 0; burst < 100; burst++) {
    for (let n = 0; n < 300 && rests.line.reads; n++) rests.say();
    expect(rests.line.reads).toBe(false);
    vi.advanceTimersByTime(3000);
  }
  expect(rests.line.errors).toEqual([]);
});
