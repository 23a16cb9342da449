import { expect, test } from 'vitest';
import { createQuiet } from './quiet.ts';

test('each key is said once in a while, and not remembered for ever', () => {
  const quiet = createQuiet(1000);
  expect([0, 1, 999, 1000, 1001].map((now) => quiet.says('a', now))).toEqual([
    true,
    false,
    false,
    true,
    false,
  ]);
  expect(quiet.says('b', 1001)).toBe(true);
  for (let n = 0; n < 1000; n++) quiet.says(`key ${n}`, 1002);
  expect(quiet.says('a', 1003)).toBe(true);
  expect(quiet.says('a', 5)).toBe(true);
});
