import type { AuditRow } from '../storage/audit.ts';
import type { AuditEntry } from './types.ts';

/**
 * What is refused is written once when it happens first, and counted from then on for a minute: a flood of refusals
 * makes two entries a minute for each of those who are refused, and for all of them together where they are many.
 */
export interface Refusals {
  add(entry: AuditEntry): void;
  /** Writes what was counted for a minute. @param all also what was counted for less */
  flush(all?: boolean): void;
}

export interface RefusalsDeps {
  write(row: AuditRow): void;
  /** What is kept of an entry: it has a bound, and nothing of the request behind it. */
  rowOf(entry: AuditEntry): AuditRow;
  /** Milliseconds, monotonic. */
  now(): number;
  /** Called for each one that is not written by itself. */
  counted(): void;
}

const windowMs = 60_000;
const maximumKeys = 1000;
/** Callers are told apart by so much of their names. */
const actorCharacters = 128;

interface Counted {
  row: AuditRow;
  since: number;
  more: number;
}

export function createRefusals({ write, rowOf, now, counted }: RefusalsDeps): Refusals {
  const windows = new Map<string, Counted>();

  function end(key: string, { row, more }: Counted): void {
    windows.delete(key);
    if (more > 0) write({ ...row, count: more });
  }

  function keyOf({ address = '', actor, action, code = '' }: AuditEntry): string {
    return [address, actor.slice(0, actorCharacters), action, code].join('\n');
  }

  /** Without what tells those who are refused from each other. */
  function ofMany({ action, outcome, code }: AuditEntry): AuditEntry {
    return { actor: 'many', action, outcome, code, details: () => ({ note: 'too many to tell them apart' }) };
  }

  return {
    add(given) {
      let entry = given;
      let key = keyOf(entry);
      let known = windows.get(key);
      if (known === undefined && windows.size >= maximumKeys) {
        entry = ofMany(given);
        key = keyOf(entry);
        known = windows.get(key);
      }
      if (known !== undefined && now() - known.since >= windowMs) {
        end(key, known);
        known = undefined;
      }
      if (known === undefined) {
        const row = rowOf(entry);
        windows.set(key, { row, since: now(), more: 0 });
        write(row);
        return;
      }
      known.more += entry.count ?? 1;
      counted();
    },
    flush(all = false) {
      const before = now() - windowMs;
      for (const [key, known] of windows) if (all || known.since <= before) end(key, known);
    },
  };
}
