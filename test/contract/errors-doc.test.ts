import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { statusOf } from '../../src/api/errors.ts';
import { catalogue, type ErrorCode, ViworksError } from '../../src/errors.ts';
import { createMetrics } from '../../src/lib/metrics.ts';

const guide = (name: string) => readFileSync(new URL(`../../docs/${name}`, import.meta.url), 'utf8');

test('the list of errors has every code of the catalogue with its status, and no other', () => {
  const rows = guide('errors.md').match(/^\| `[a-z_]+` \| \d.*$/gm);
  expect(rows).toEqual(
    Object.entries(catalogue).map(([code, { kind, retryable, hint }]) => {
      const { http } = statusOf(new ViworksError(code as ErrorCode, ''));
      return `| \`${code}\` | ${http} | ${kind.toUpperCase()} | ${retryable ? 'yes' : 'no'} | ${hint} |`;
    }),
  );
});

test('the guide for operators names every metric, and none that does not exist', async () => {
  const rendered = (await createMetrics().render()).matchAll(/^# TYPE (viworks_\w+)/gm);
  const named = guide('operation.md').matchAll(/`(viworks_[a-z_]+)/g);
  const names = (found: Iterable<RegExpMatchArray>) =>
    [...new Set([...found].map(([, name]) => name))].toSorted();
  expect(names(named)).toEqual(names(rendered));
});
