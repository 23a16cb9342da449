import { queryObjects } from 'node:v8';
import { expect, onTestFinished, test, vi } from 'vitest';
import { alertsOn, becomes, watched } from '../../test/support/alerts.ts';
import { startFileCore } from '../../test/support/app-core-file.ts';
import { ViworksError } from '../errors.ts';
import { silentLogger } from '../lib/logger.ts';
import type { Turns } from '../lib/turns.ts';
import { createEvaluator } from './evaluator.ts';

/** The loop that looks at what came. */

const { core } = await startFileCore();

test('nothing is left of the pauses between looks, however many there are', async () => {
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  let away = true;
  let looks = 0;
  const turns: Turns = async (work) => {
    looks += 1;
    if (away) throw new ViworksError('unavailable', 'Not now.');
    return work();
  };
  const { database, clock, metrics } = core;
  const evaluator = createEvaluator({ database, clock, log: silentLogger, metrics, turns, onNotice() {} });
  evaluator.start();
  const before = queryObjects(Promise, { format: 'count' });
  while (looks < 500) await vi.advanceTimersToNextTimerAsync();
  expect(queryObjects(Promise, { format: 'count' }) - before).toBeLessThan(100);
  away = false;
  await evaluator.stop();
});

test('an agent that changes while a person changes something is looked at all the same', async () => {
  await watched(core, 'passed-by');
  const alerts = alertsOn(core, { tickMs: 3_600_000, agentsMs: 3_600_000 });
  const selector = { agents: ['passed-by'] };
  const rule = { name: 'away', severity: 'info', metric: 'agent.offline', threshold: 0, selector } as const;
  await alerts.saveRule('ada', rule, undefined);
  await alerts.start();
  await alerts.look();
  const fires = new Promise<string | undefined>((resolve) => {
    alerts.onChanged(([alert]) => resolve(alert?.agentId));
  });
  await becomes(core, 'passed-by', { presence: 'offline' });
  const taken = alerts.acknowledge('ada', crypto.randomUUID(), '');
  alerts.onAgent('passed-by');
  await expect(taken).rejects.toMatchObject({ code: 'alert_unknown' });
  expect(await fires).toBe('passed-by');
});
