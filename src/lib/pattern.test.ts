import { expect, test } from 'vitest';
import { createMatcher, matchesWhole, patternProblem } from './pattern.ts';

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

test('simple patterns and others find the same', () => {
  for (const pattern of ['^[a-z][a-z0-9]*$', '^(?:[a-z])[a-z0-9]*$']) {
    const matches = createMatcher(pattern);
    expect(['a1', '1a', 'a', 'A', ''].map(matches)).toEqual([true, false, true, false, false]);
  }
  expect(createMatcher('b+c')('abbc')).toBe(true);
  expect(() => createMatcher('(')).toThrow(SyntaxError);
});

test.each(['(a+)+$', '^(a+)+$', '^a*a*a*a*a*b', '^[a-z]*[a-z]*[a-z]*[a-z]*!', 'a*a*a*a*b', '^(?:a|a)*$'])(
  'a search for %s that would never be done is given up',
  (pattern) => {
    expect(createMatcher(pattern)(`${'a'.repeat(5000)}?`)).toBeUndefined();
  },
);
