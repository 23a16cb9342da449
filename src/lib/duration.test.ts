import { expect, test } from 'vitest';
import { formatDuration, parseDuration } from './duration.ts';

test.for([
  ['30s', 30_000],
  ['250ms', 250],
  ['1.5h', 5_400_000],
  ['2d', 172_800_000],
  ['5m', 300_000],
  ['10', 10_000],
  ['', undefined],
  ['-1s', undefined],
  ['1w', undefined],
  ['1h30m', undefined],
] as const)('%s is %s ms', ([text, ms]) => {
  expect(parseDuration(text)).toBe(ms);
});

test.for([
  [340, '340 ms'],
  [12_400, '12.4 s'],
  [15_000, '15 s'],
  [60_000, '1m'],
  [200_000, '3m 20s'],
  [7_500_000, '2h 5m'],
  [273_600_000, '3d 4h'],
] as const)('%s ms reads %s', ([ms, text]) => {
  expect(formatDuration(ms)).toBe(text);
});
