import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { environmentSettings } from '../../src/config/environment.ts';
import { configSchema } from '../../src/config/schema.ts';

/** Rows of the table of settings: key, environment names, default. */
function documented(): Map<string, { names: string[]; preset: string }> {
  const guide = readFileSync(new URL('../../docs/operation.md', import.meta.url), 'utf8');
  const rows = guide.matchAll(/^\| `([a-z_]+\.[a-z_]+)` \| ([^|]+) \| ([^|]+) \|/gm);
  return new Map(
    Array.from(rows, ([, key = '', names = '', preset = '']) => [
      key,
      { names: names.match(/[A-Z_]+/g) ?? [], preset: preset.replaceAll('`', '').trim() },
    ]),
  );
}

const sections = Object.entries(configSchema.shape).flatMap(([section, schema]) =>
  Object.keys(schema.unwrap().shape).map((key) => ({ section, key })),
);
const defaults: Record<string, Record<string, unknown>> = configSchema.parse({});

test('the guide for operators lists every setting, and none that does not exist', () => {
  const keys = sections.map(({ section, key }) => `${section}.${key}`);
  expect([...documented().keys()].toSorted()).toEqual(keys.toSorted());
});

test.each(sections)('$section.$key is documented with its default and its names', ({ section, key }) => {
  const value = defaults[section]?.[key];
  const absent = value === undefined || (typeof value === 'object' && Object.keys(value ?? {}).length === 0);
  const names = environmentSettings
    .filter((setting) => setting.key === `${section}.${key}`)
    .map(({ name }) => name);
  expect(documented().get(`${section}.${key}`)).toEqual({ names, preset: absent ? 'none' : String(value) });
});
