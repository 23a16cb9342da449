import { expect, onTestFinished, test, vi } from 'vitest';
import type { ViworksError } from '../errors.ts';
import { wireLimits } from '../protocol/limits.ts';
import { createOutflow } from './outflow.ts';

function rig() {
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  const line = { bufferedBytes: 0 };
  const errors: ViworksError[] = [];
  const outflow = createOutflow(line, (error) => errors.push(error));
  const sent: number[] = [];
  return {
    line,
    errors,
    sent,
    outflow,
    /** As a session does. */
    send(id: number, bytes: number) {
      const go = () => {
        sent.push(id);
        line.bufferedBytes += bytes;
      };
      if (outflow.takes(bytes)) go();
      else outflow.wait(go);
    },
  };
}

const mebibyte = 1024 * 1024;

test('what there is room for goes at once, the rest in order as the agent takes it, never over the limit', () => {
  const { line, errors, sent, outflow, send } = rig();
  for (let id = 0; id < 30; id++) send(id, mebibyte);
  expect(sent).toEqual([0, 1, 2, 3]);
  while (sent.length < 30) {
    line.bufferedBytes -= mebibyte / 2;
    vi.advanceTimersByTime(5);
    expect(line.bufferedBytes).toBeLessThan(wireLimits.outboundBufferBytes);
  }
  expect(sent).toEqual(Array.from({ length: 30 }, (_each, id) => id));
  expect(errors).toEqual([]);
  line.bufferedBytes = 0;
  expect(outflow.takes(mebibyte)).toBe(true);
  expect(vi.getTimerCount()).toBe(0);
});

test('what is small does not overtake what waits', () => {
  const { line, sent, send } = rig();
  for (let id = 0; id < 5; id++) send(id, mebibyte);
  line.bufferedBytes = 0;
  send(5, 1);
  expect(sent).toEqual([0, 1, 2, 3]);
  vi.advanceTimersByTime(5);
  expect(sent).toEqual([0, 1, 2, 3, 4, 5]);
});

test('an agent that takes nothing for ten seconds is too slow, and nothing is held for it any more', () => {
  const { errors, sent, send } = rig();
  for (let id = 0; id < 30; id++) send(id, mebibyte);
  vi.advanceTimersByTime(9_900);
  expect(errors).toEqual([]);
  vi.advanceTimersByTime(200);
  expect(errors).toMatchObject([{ code: 'peer_too_slow', retryable: true }]);
  expect(sent).toHaveLength(4);
  expect(vi.getTimerCount()).toBe(0);
});

test('a send that fails ends the session, not the process', () => {
  const { line, errors, outflow, send } = rig();
  for (let id = 0; id < 4; id++) send(id, mebibyte);
  outflow.wait(() => {
    throw new Error('too large');
  });
  line.bufferedBytes = 0;
  vi.advanceTimersByTime(5);
  expect(errors).toMatchObject([{ code: 'internal' }]);
});
