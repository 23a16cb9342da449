import { createTRPCClient, type TRPCLink } from '@trpc/client';
import { observable } from '@trpc/server/observable';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { AppRouter } from '../api/client.ts';
import { slowLink } from './patience.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test('a call that is not answered for some seconds is told of once, and goes on', async () => {
  let answer: () => void = () => {};
  const server: TRPCLink<AppRouter> = () => () =>
    observable((observer) => {
      answer = () => {
        observer.next({ result: { type: 'data', data: { status: 'ok' } } });
        observer.complete();
      };
    });
  const slow: number[] = [];
  const client = createTRPCClient<AppRouter>({ links: [slowLink((ms) => slow.push(ms)), server] });

  const quick = client.system.health.query();
  await vi.advanceTimersByTimeAsync(1000);
  answer();
  await quick;
  await vi.advanceTimersByTimeAsync(60_000);
  expect(slow).toEqual([]);

  const late = client.system.health.query();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(slow).toEqual([5000]);
  answer();
  expect(await late).toMatchObject({ status: 'ok' });
});
