import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

/** No table without a word on what keeps it from growing for ever. */

const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');

test('the guide for operators says of every table what bounds it, and of none that does not exist', () => {
  const schema = 'src/storage/schema';
  const tables = readdirSync(new URL(`../../${schema}`, import.meta.url)).flatMap((file) =>
    Array.from(read(`${schema}/${file}`).matchAll(/pgTable\(\s*'(\w+)'/g), ([, name]) => name),
  );
  const [, section = ''] = /### What grows[^\n]*\n([\s\S]*?)\n## /.exec(read('docs/operation.md')) ?? [];
  const named = section.matchAll(/`([a-z_]+)`(?! days)/g);
  expect([...new Set(Array.from(named, ([, name]) => name))].toSorted()).toEqual(tables.toSorted());
});
