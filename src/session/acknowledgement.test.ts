import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { createAcknowledgement, patienceMs } from './acknowledgement.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

function acknowledgementOf(openWork: number) {
  const inbound = { handled: 0n };
  const sent: bigint[] = [];
  const acknowledgement = createAcknowledgement(
    inbound,
    () => openWork,
    (handled) => sent.push(handled),
  );
  return {
    sent,
    take: acknowledgement.take,
    commit(patient: boolean) {
      inbound.handled += 1n;
      acknowledgement.due(patient);
    },
  };
}

test('one acknowledgement covers all that was committed in a tick', () => {
  const { sent, commit } = acknowledgementOf(0);
  commit(true);
  commit(false);
  expect(sent).toEqual([]);
  vi.advanceTimersByTime(0);
  expect(sent).toEqual([2n]);
  vi.advanceTimersByTime(10 * patienceMs);
  expect(sent).toEqual([2n]);
});

test('while the agent has more to do, it waits for an envelope to go with', () => {
  const { sent, take, commit } = acknowledgementOf(4);
  commit(true);
  vi.advanceTimersByTime(patienceMs - 1);
  commit(true);
  expect(take()).toBe(2n);
  vi.advanceTimersByTime(10 * patienceMs);
  expect(sent).toEqual([]);
});

test('and not for ever', () => {
  const { sent, commit } = acknowledgementOf(4);
  commit(true);
  vi.advanceTimersByTime(patienceMs - 1);
  commit(true);
  expect(sent).toEqual([]);
  vi.advanceTimersByTime(1);
  expect(sent).toEqual([2n]);
  commit(true);
  vi.advanceTimersByTime(patienceMs);
  expect(sent).toEqual([2n, 3n]);
});

test('what may not wait takes with it what waits', () => {
  const { sent, commit } = acknowledgementOf(4);
  commit(true);
  commit(false);
  vi.advanceTimersByTime(0);
  expect(sent).toEqual([2n]);
});

test('an agent with little to do gets it at once', () => {
  const { sent, commit } = acknowledgementOf(3);
  commit(true);
  vi.advanceTimersByTime(0);
  expect(sent).toEqual([1n]);
});
