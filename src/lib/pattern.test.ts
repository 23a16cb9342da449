import { expect, test } from 'vitest';
import { matchesWhole, patternProblem } from './pattern.ts';

test('the whole text has to match', () => {
  expect(matchesWhole('[a-z]+', 'abc')).toBe(true);
  expect(matchesWhole('[a-z]+', 'abc1')).toBe(false);
  expect(matchesWhole('[a-z]+', 'abc\n')).toBe(false);
  expect(matchesWhole('a|b', 'ab')).toBe(false);
});

test('what is no regular expression is told', () => {
  expect(patternProblem('[a-z]+')).toBeUndefined();
  expect(patternProblem('[a-z')).toBe('must be a regular expression');
  expect(patternProblem('a)|(b')).toBe('must be a regular expression');
});

test('a match that would never be done is given up, soon', () => {
  const before = process.threadCpuUsage();
  expect(matchesWhole('(a+)+', `${'a'.repeat(60)}!`)).toBeUndefined();
  const { user, system } = process.threadCpuUsage(before);
  expect((user + system) / 1000).toBeLessThan(5000);
});

test('a busy machine is no reason to give up', () => {
  for (let n = 0; n < 200; n++) expect(matchesWhole('/.+', '/var/log/syslog')).toBe(true);
});
