import { AsyncLocalStorage } from 'node:async_hooks';
import { storableText } from '../lib/text.ts';
import { type AuditRow, insertAuditEntries } from '../storage/audit.ts';
import type { Copy, Database, Statement } from '../storage/database.ts';
import { detailsText } from './details.ts';
import type { AuditEntry, AuditedCall } from './types.ts';

/**
 * The call that is under way. Its entry goes into the first transaction that the call makes, so that what changes and
 * the entry of it are stored together or not at all, and no service has to know.
 */
export interface CallUnderWay {
  call: AuditedCall;
  /** Taken: the entry goes with what is being written. */
  state: 'open' | 'taken' | 'written';
}

export interface Calls {
  current(): CallUnderWay | undefined;
  run<T>(underWay: CallUnderWay, work: () => Promise<T>): Promise<T>;
  /** The database, for everything that is called from the outside. */
  database: Database;
}

/** A statement that changes something by itself; one that only locks does not. */
const changing = /\b(?:insert\s+into|delete\s+from|update\s+\w+(?:\s+\w+)?\s+set)\b/i;

export function createCalls(database: Database, now: () => number): Calls {
  const storage = new AsyncLocalStorage<CallUnderWay>();
  const changes = new Map<string, boolean>();

  function isChanging({ name, text }: Statement): boolean {
    let known = changes.get(name);
    if (known === undefined) {
      known = changing.test(text);
      changes.set(name, known);
    }
    return known;
  }

  function open(): CallUnderWay | undefined {
    const underWay = storage.getStore();
    return underWay?.state === 'open' ? underWay : undefined;
  }

  async function together<T>(
    underWay: CallUnderWay,
    work: (query: Database['query'], copy: Copy) => Promise<T>,
  ): Promise<T> {
    underWay.state = 'taken';
    try {
      const result = await database.transaction(async (query, copy) => {
        const done = await work(query, copy);
        await insertAuditEntries(query, [rowOf({ ...underWay.call, outcome: 'done' }, now())]);
        return done;
      });
      underWay.state = 'written';
      return result;
    } catch (error) {
      underWay.state = 'open';
      throw error;
    }
  }

  return {
    current: () => storage.getStore(),
    run: (underWay, work) => storage.run(underWay, work),
    database: {
      ...database,
      query(statement, values) {
        const underWay = open();
        if (underWay === undefined || !isChanging(statement)) return database.query(statement, values);
        return together(underWay, (query) => query(statement, values));
      },
      transaction(work) {
        const underWay = open();
        return underWay === undefined ? database.transaction(work) : together(underWay, work);
      },
    },
  };
}

const cut = (text: string | undefined, length: number): string | null =>
  text === undefined ? null : storableText(text.length > length ? copyOf(text.slice(0, length)) : text);

/** A text that was cut out of another one keeps all of that in memory; this does not. */
const copyOf = (text: string): string => Buffer.from(text, 'utf16le').toString('utf16le');

/** The row of an entry. @param details in place of those of the entry, as JSON */
export function rowOf(entry: AuditEntry, now: number, details?: string): AuditRow {
  return {
    at: new Date(now),
    actor: cut(entry.actor, 128) ?? '',
    role: cut(entry.role, 64),
    action: entry.action,
    resourceKind: cut(entry.resourceKind, 64),
    resourceId: cut(entry.resourceId, 255),
    outcome: entry.outcome,
    code: cut(entry.code, 64),
    count: entry.count ?? 1,
    address: cut(entry.address, 64),
    userAgent: cut(entry.userAgent, 255),
    requestId: cut(entry.requestId, 128),
    correlationId: cut(entry.correlationId, 255),
    details: details ?? detailsText(entry.details?.()),
  };
}
