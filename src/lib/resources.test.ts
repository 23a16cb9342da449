import { expect, test } from 'vitest';
import { silentLogger } from './logger.ts';
import { createResources } from './resources.ts';

test('what was started is stopped in reverse, one after the other, even if one fails', async () => {
  const resources = createResources(silentLogger);
  const events: string[] = [];
  resources.add('first', () => events.push('first'));
  resources.add('second', async () => {
    events.push('second begins');
    await new Promise(setImmediate);
    events.push('second ends');
  });
  resources.add('broken', () => {
    throw new Error('broken');
  });
  resources.add('rejects', () => Promise.reject(new Error('rejects')));
  resources.add('last', () => events.push('last'));
  await Promise.all([resources.stop(), resources.stop()]);
  expect(events).toEqual(['last', 'second begins', 'second ends', 'first']);
  await resources.stop();
  expect(events).toHaveLength(4);
});

test('what is added while it stops is stopped too', async () => {
  const resources = createResources(silentLogger);
  const events: string[] = [];
  resources.add('outer', async () => {
    await new Promise(setImmediate);
    resources.add('late', () => events.push('late'));
  });
  await resources.stop();
  expect(events).toEqual(['late']);
});
