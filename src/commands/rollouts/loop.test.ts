import { expect, onTestFinished, test } from 'vitest';
import { createMemoryBus } from '../../bus/bus.ts';
import { ViworksError } from '../../errors.ts';
import { silentLogger } from '../../lib/logger.ts';
import type { Database } from '../../storage/database.ts';
import { createRolloutLoop } from './loop.ts';

/** A loop that never starts to look for rollouts by itself, and so needs no database. */
function loopWith(look: (commandId: string) => Promise<boolean>) {
  const bus = createMemoryBus();
  const loop = createRolloutLoop({ database: {} as Database, bus, log: silentLogger, look });
  onTestFinished(() => loop.stop());
  return { bus, loop };
}

test.each([
  ['rollout_unknown', ['odd', 'other', 'last']],
  ['database_unavailable', ['odd', 'other', 'odd', 'last']],
] as const)('after %s these are looked at: %j', async (code, expected) => {
  const looked: string[] = [];
  const last = Promise.withResolvers<void>();
  const { bus, loop } = loopWith(async (commandId) => {
    looked.push(commandId);
    if (commandId === 'other') {
      loop.track('last');
      bus.publish('command.changed', 'odd');
    }
    if (commandId === 'last') last.resolve();
    if (commandId === 'odd' && looked.length === 1) throw new ViworksError(code, 'It cannot be looked at.');
    return true;
  });
  loop.track('odd');
  loop.track('other');
  await last.promise;
  expect(looked).toEqual(expected);
});
