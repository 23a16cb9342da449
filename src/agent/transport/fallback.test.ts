import { expect, test } from 'vitest';
import { ViworksError } from '../../errors.ts';
import type { Connection, Dialer, TransportName } from '../../protocol/connection.ts';
import { createFallbackDialer, dialOrder, remember } from './fallback.ts';

const handler = { onEnvelope: () => {}, onClose: () => {} };
const never = new AbortController().signal;

test('without memory the best comes first; with it, what worked', () => {
  expect(dialOrder(3, undefined, 0, 100)).toEqual([0, 1, 2]);
  expect(dialOrder(3, { worked: 1, since: 50 }, 149, 100)).toEqual([1, 0, 2]);
  expect(dialOrder(3, { worked: 1, since: 50 }, 150, 100)).toEqual([0, 1, 2]);
});

test('the time on a worse transport counts from the last failure of a better one', () => {
  const first = remember(undefined, 1, [0], 10);
  expect(first).toEqual({ worked: 1, since: 10 });
  expect(remember(first, 1, [], 60)).toEqual({ worked: 1, since: 10 });
  expect(remember(first, 1, [0], 120)).toEqual({ worked: 1, since: 120 });
  expect(remember(first, 0, [1], 70)).toEqual({ worked: 0, since: 70 });
});

/** Dialers that work or not as the test says, and what was tried of them. */
function stage(works: Partial<Record<TransportName, boolean | 'silent'>>) {
  const tried: TransportName[] = [];
  const clock = { time: 0, now: () => 0, monotonic: () => clock.time };
  const dialer = (transport: TransportName): Dialer => ({
    transport,
    dial(_handler, signal) {
      tried.push(transport);
      if (works[transport] === true) return Promise.resolve({ peer: { transport } } as Connection);
      if (works[transport] === 'silent') {
        return new Promise((_resolve, reject) => {
          signal.addEventListener('abort', () => reject(new ViworksError('unavailable', 'it said nothing')));
        });
      }
      return Promise.reject(new ViworksError('unavailable', `no ${transport}`, { retryAfterMs: 7 }));
    },
  });
  const fallback = createFallbackDialer([dialer('connect'), dialer('websocket')], {
    upgradeAfterMs: 100,
    attemptTimeoutMs: 5,
    clock,
  });
  const dial = async (): Promise<TransportName[]> => {
    tried.length = 0;
    await fallback.dial(handler, never);
    return [...tried];
  };
  return { works, tried, clock, fallback, dial };
}

test('falls back, stays, and gives the best its chance again', async () => {
  const { works, clock, fallback, dial } = stage({ connect: false, websocket: true });
  expect(fallback.transport).toBe('connect');
  expect(await dial()).toEqual(['connect', 'websocket']);
  expect(fallback.transport).toBe('websocket');
  expect(await dial()).toEqual(['websocket']);
  clock.time = 100;
  expect(await dial()).toEqual(['connect', 'websocket']);
  clock.time = 199;
  expect(await dial()).toEqual(['websocket']);
  works.connect = true;
  clock.time = 200;
  expect(await dial()).toEqual(['connect']);
  expect(fallback.transport).toBe('connect');
});

test('when the remembered one fails, it begins again with the best', async () => {
  const { works, dial } = stage({ connect: false, websocket: true });
  await dial();
  works.connect = true;
  works.websocket = false;
  expect(await dial()).toEqual(['websocket', 'connect']);
  expect(await dial()).toEqual(['connect']);
});

test('a silent transport leaves time for the next', async () => {
  const { dial } = stage({ connect: 'silent', websocket: true });
  expect(await dial()).toEqual(['connect', 'websocket']);
});

test('when all fail the error has every reason and when to try again', async () => {
  const { fallback } = stage({});
  await expect(fallback.dial(handler, never)).rejects.toMatchObject({
    code: 'unavailable',
    message: 'connect: no connect websocket: no websocket',
    retryAfterMs: 7,
  });
});

test('a caller that gave up is not made to wait for the other transports', async () => {
  const { fallback, tried } = stage({ connect: 'silent', websocket: true });
  await expect(fallback.dial(handler, AbortSignal.abort())).rejects.toMatchObject({ code: 'unavailable' });
  expect(tried).toEqual([]);
});
