import { timingSafeEqual } from 'node:crypto';
import { canonicalJson } from '../lib/text.ts';
import type { RowBinding } from '../storage/bound-rows.ts';
import { commandSecretBox } from './secret-box.ts';

/** HMAC-SHA-256 over the values as JSON with its keys in order, with a key for each table. @param secret the command secret */
export function createRowBinding(secret: Uint8Array): RowBinding {
  const box = commandSecretBox(secret);
  const macs = { schedules: box.macFor('schedules'), templates: box.macFor('templates') };
  const bind: RowBinding['bind'] = (table, values) => macs[table](canonicalJson(values));
  return {
    bind,
    holds(table, values, binding) {
      const expected = bind(table, values);
      return binding?.byteLength === expected.byteLength && timingSafeEqual(expected, binding);
    },
  };
}
