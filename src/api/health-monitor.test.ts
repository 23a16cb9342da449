import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { systemClock } from '../lib/clock.ts';
import { createHealthMonitor } from './health-monitor.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function monitorOf() {
  const asked = { database: 0, agents: 0, executions: 0 };
  const state = { away: false };
  const monitor = createHealthMonitor({
    async pingDatabase() {
      asked.database += 1;
      if (state.away) throw new Error('away');
    },
    async countAgents() {
      asked.agents += 1;
      return [{ status: 'online', count: 3 }];
    },
    async countExecutions() {
      asked.executions += 1;
      return [{ state: 'queued', count: 7 }];
    },
    clock: systemClock,
    intervalMs: 1_000_000,
  });
  return { asked, state, monitor };
}

test('however many probes there are, the database is asked twice a second', async () => {
  const { asked, monitor } = monitorOf();
  for (let round = 1; round <= 3; round++) {
    const reports = await Promise.all(Array.from({ length: 500 }, () => monitor.report()));
    expect(reports[499]).toMatchObject({ status: 'ok', agents: { online: 3 }, executions: { queued: 7 } });
    await monitor.report();
    expect(asked).toEqual({ database: round, agents: round, executions: round });
    await vi.advanceTimersByTimeAsync(500);
  }
});

test('half a second later it is known that the database is away, and at once that the server stops', async () => {
  const { state, monitor } = monitorOf();
  monitor.start();
  expect((await monitor.report()).status).toBe('ok');
  state.away = true;
  await vi.advanceTimersByTimeAsync(500);
  // How many there are is not known now, which is not none.
  expect(await monitor.report()).toMatchObject({ status: 'degraded', agents: {}, executions: {} });
  expect((await monitor.report()).agents).toEqual({});
  state.away = false;
  await vi.advanceTimersByTimeAsync(500);
  expect((await monitor.report()).status).toBe('ok');
  monitor.stop();
  expect((await monitor.report()).components).toMatchObject([{ name: 'database' }, { name: 'server' }]);
});
