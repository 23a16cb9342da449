import { expect, test } from 'vitest';
import { batchSize, rolloutOf, threshold } from './rollout-options.ts';
import { submitInputOf } from './run.ts';

test.each([
  ['10', { agents: 10 }],
  ['10%', { percent: 10 }],
  ['12.5%', { percent: 12.5 }],
])('a batch of %s', (text, size) => {
  expect(batchSize(text)).toEqual(size);
});

test.each(['0', '0%', '101%', '-1', '1.5', 'ten', '%', '', '10 %'])('a batch of "%s" is refused', (text) => {
  expect(() => batchSize(text)).toThrow(/number of agents such as 10/);
});

test.each([
  ['20%/10', { percent: 20, minimumSample: 10 }],
  ['20%', { percent: 20, minimumSample: 5 }],
  ['0%/1', { percent: 0, minimumSample: 1 }],
])('a threshold of %s', (text, expected) => {
  expect(threshold(text)).toEqual(expected);
});

test.each(['20', '20/10', '101%', '20%/0', '20%/', '%', '', '20%/1.5'])(
  'a threshold of "%s" is refused',
  (text) => {
    expect(() => threshold(text)).toThrow(/share such as 20%/);
  },
);

test('any of the options makes a rollout, and none of them makes none', () => {
  expect(rolloutOf({})).toBeUndefined();
  expect(rolloutOf({ rollout: true })).toEqual({});
  expect(rolloutOf({ canary: 0 })).toEqual({ canary: 0 });
  expect(rolloutOf({ pauseAfterCanary: true })).toEqual({ pauseAfterCanary: true });
  const input = submitInputOf('exec', ['true'], { all: true, batch: { agents: 3 }, maxInFlight: 2 });
  expect(input.rollout).toEqual({ batch: { agents: 3 }, maxInFlight: 2 });
  expect(submitInputOf('exec', ['true'], { all: true })).not.toHaveProperty('rollout');
});
