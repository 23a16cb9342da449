import { expect, test } from 'vitest';
import { createMemoryBus } from './bus.ts';

test('a wake reaches those who listen for its key, and those who listen for any, until they end', () => {
  const bus = createMemoryBus();
  const heard: string[] = [];
  const ends = [
    bus.subscribe('agent.changed', 'a', () => heard.push('for a')),
    bus.subscribeAny('agent.changed', (agentId) => heard.push(`any: ${agentId}`)),
  ];
  bus.publish('agent.changed', 'a');
  bus.publish('agent.changed', 'b');
  bus.publish('agent.enrolled', 'a');
  for (const end of ends) end();
  bus.publish('agent.changed', 'a');
  expect(heard).toEqual(['for a', 'any: a', 'any: b']);
});
