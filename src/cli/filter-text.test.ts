import { expect, test } from 'vitest';
import { filterText } from './filter-text.ts';

test.each([
  [{}, ''],
  [{ minSeverity: 'warning' }, 'severity from warning'],
  [
    { sites: ['berlin', 'bonn'], labels: { role: 'web', rack: '3' } },
    'site berlin or bonn, label role=web and rack=3',
  ],
  [
    { agents: ['web-1'], capabilities: ['docker', 'exec'], os: ['debian'] },
    'agent web-1, capability docker and exec, os debian',
  ],
])('a filter reads as the options that set it: %j', (filter, text) => {
  expect(filterText(filter)).toBe(text);
});
