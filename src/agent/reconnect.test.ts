import { expect, test } from 'vitest';
import { ViworksError } from '../errors.ts';
import { planReconnect, type SessionEnd } from './reconnect.ts';

const policy = { baseMs: 1_000, maximumMs: 60_000 };
const end = (part: Partial<SessionEnd>): SessionEnd => ({
  error: undefined,
  drainMs: undefined,
  openForMs: 0,
  ...part,
});
const lost = new ViworksError('connection_lost', 'gone');

test('failures in a row wait longer, up to the maximum, and a good session forgets them', () => {
  expect(planReconnect(end({ error: lost }), 0, policy, 1)).toEqual({ delayMs: 1_000, attempt: 1 });
  expect(planReconnect(end({ error: lost }), 3, policy, 0.5)).toEqual({ delayMs: 4_000, attempt: 4 });
  expect(planReconnect(end({ error: lost }), 40, policy, 1)).toEqual({ delayMs: 60_000, attempt: 41 });
  expect(planReconnect(end({ error: lost, openForMs: 31_000 }), 9, policy, 1)).toEqual({
    delayMs: 1_000,
    attempt: 1,
  });
});

test.each(['authentication_failed', 'superseded', 'version_unsupported', 'protocol_violation'] as const)(
  '%s is tried again at the slowest pace',
  (code) => {
    const error = new ViworksError(code, 'no');
    expect(planReconnect(end({ error }), 0, policy, 0).delayMs).toBe(30_000);
    expect(planReconnect(end({ error, openForMs: 99_000 }), 0, policy, 1).delayMs).toBe(60_000);
  },
);

test('a retry-after of the server is honoured', () => {
  const error = new ViworksError('too_many_connections', 'full', { retryAfterMs: 20_000 });
  expect(planReconnect(end({ error }), 0, policy, 0.5).delayMs).toBe(20_000);
});

test('a drain names its own delay', () => {
  expect(planReconnect(end({ drainMs: 1234, error: lost }), 5, policy, 1)).toEqual({
    delayMs: 1234,
    attempt: 0,
  });
});
