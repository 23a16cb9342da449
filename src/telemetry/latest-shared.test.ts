import { queryObjects } from 'node:v8';
import { expect, test } from 'vitest';
import { silentLogger } from '../lib/logger.ts';
import { createSharedLatest } from './latest-shared.ts';

test('while Redis is away nothing is left of what there was to do', async () => {
  const never = () => Promise.reject(new Error('nobody asks while it is away'));
  const latest = createSharedLatest({
    shared: { connected: false, onConnection() {}, read: never, write: never, remove: never },
    stored: { all: async function* () {}, agents: async function* () {}, of: async () => [] },
    log: silentLogger,
  });
  await latest.start();
  const before = queryObjects(Promise, { format: 'count' });
  for (let count = 0; count < 3000; count++) await latest.forget('one');
  expect(queryObjects(Promise, { format: 'count' }) - before).toBeLessThan(100);
  await latest.stop();
});
