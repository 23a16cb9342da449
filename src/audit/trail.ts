import { catalogue, ViworksError } from '../errors.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/logger.ts';
import type { Metrics } from '../lib/metrics.ts';
import { createTicker } from '../lib/ticker.ts';
import { type AuditRow, insertAuditEntries } from '../storage/audit.ts';
import { type BatchWriter, createBatchWriter } from '../storage/batch-writer.ts';
import type { Database } from '../storage/database.ts';
import { type CallUnderWay, createCalls, rowOf } from './calls.ts';
import { detailsText } from './details.ts';
import { createRefusals } from './refusals.ts';
import type { AuditCaller, AuditEntry, AuditedCall } from './types.ts';

/** How entries come into the audit log. */
export interface AuditTrail {
  /** For services: what they change in a call under way is stored together with the entry of the call. */
  database: Database;
  /**
   * Runs a call of somebody. It leaves one entry: with what it changes, or when it has ended where it changes
   * nothing in the database. @throws what the work throws, and database_unavailable where the entry cannot be stored
   */
  during<T>(call: AuditedCall, work: () => Promise<T>): Promise<T>;
  /** The call under way may say more of itself once it knows. */
  tell(more: Partial<Pick<AuditedCall, 'resourceKind' | 'resourceId' | 'details'>>): void;
  /**
   * Takes over the entry of the call under way, or makes one, for whoever writes it with something else. `stored` or
   * `left` says afterwards what came of it.
   * @param details a JSON object that is not empty
   */
  take(call: AuditedCall, details: string): TakenEntry;
  /** Stores an entry in a transaction of somebody else's. */
  append(query: Database['query'], entry: AuditEntry): Promise<void>;
  /** Stores an entry by itself. @throws database_unavailable, queue_full */
  record(entry: AuditEntry): Promise<void>;
  /** Somebody was refused, or could not be served; many of them are counted. Never throws, and nobody waits for it. */
  refused(entry: Omit<AuditEntry, 'outcome'> & { code: string }): void;
  /** Somebody came in. Told once an hour for each caller, role and address. */
  admitted(caller: AuditCaller, action: string): void;
  start(): void;
  /** Resolves when everything is written. */
  stop(): Promise<void>;
}

export interface TakenEntry {
  row: AuditRow;
  stored(): void;
  left(): void;
}

export interface AuditTrailDeps {
  database: Database;
  clock: Clock;
  log: Logger;
  metrics: Pick<Metrics, 'auditRefusalsCounted' | 'auditEntriesLost'>;
}

const flushMs = 5000;
const admittedAgainMs = 3_600_000;
const maximumAdmitted = 50_000;

/** What a caller did wrong is refused; what could have worked has failed. */
const failures: ReadonlySet<string> = new Set(['internal', 'unavailable', 'deadline_exceeded', 'cancelled']);

function outcomeOf(code: string): AuditEntry['outcome'] {
  const entry = Object.hasOwn(catalogue, code) ? catalogue[code as keyof typeof catalogue] : undefined;
  return entry !== undefined && failures.has(entry.kind) ? 'failed' : 'refused';
}

export function createAuditTrail({ database, clock, log, metrics }: AuditTrailDeps): AuditTrail {
  const calls = createCalls(database, clock.now);
  const writerOf = (retryForMs: number, maximumWaiting: number): BatchWriter<AuditRow, void> =>
    createBatchWriter({
      async write(rows) {
        await insertAuditEntries(database.query, rows);
        return rows.map(() => undefined);
      },
      maximumBatch: 1000,
      maximumWaiting,
      retryForMs,
    });
  /** Of what somebody waits for. */
  const writer = writerOf(0, 10_000);
  /** Of what nobody waits for; it waits for a database that is away. */
  const patient = writerOf(600_000, 5000);

  function writeLater(row: AuditRow): void {
    patient.addLazily(row).catch((error: unknown) => {
      metrics.auditEntriesLost.inc();
      const { actor, action, outcome, code, address } = row;
      const err = ViworksError.from(error);
      log.error(
        { err, actor, action, outcome, code, address },
        'an entry of the audit log could not be kept',
      );
    });
  }

  const refusals = createRefusals({
    write: (row) => writeLater({ ...row, at: new Date(clock.now()) }),
    rowOf: (entry) => rowOf(entry, clock.now()),
    now: clock.monotonic,
    counted: () => metrics.auditRefusalsCounted.inc(),
  });
  const ticker = createTicker({
    intervalMs: flushMs,
    work: async () => refusals.flush(),
    failed: (error) => log.warn({ err: error }, 'cannot write counted refusals now'),
  });
  /** When each was told last; the oldest one makes room. */
  const admitted = new Map<string, number>();

  const refused: AuditTrail['refused'] = (entry) =>
    refusals.add({ ...entry, outcome: outcomeOf(entry.code) });

  const record = (entry: AuditEntry) => writer.add(rowOf(entry, clock.now()));

  return {
    database: calls.database,
    refused,
    record,

    async during(call, work) {
      const underWay: CallUnderWay = { call: { ...call }, state: 'open' };
      let result: Awaited<ReturnType<typeof work>>;
      let unwritten = true;
      try {
        result = await calls.run(underWay, work);
        unwritten = underWay.state === 'open';
      } catch (thrown) {
        const { code } = ViworksError.from(thrown);
        refused({ ...underWay.call, code });
        throw thrown;
      } finally {
        // What goes on after the call has ended is not part of it.
        underWay.state = 'written';
      }
      if (unwritten) await record({ ...underWay.call, outcome: 'done' });
      return result;
    },

    tell(more) {
      const underWay = calls.current();
      if (underWay?.state === 'open') Object.assign(underWay.call, more);
    },

    take(call, details) {
      const current = calls.current();
      const underWay = current?.state === 'open' ? current : undefined;
      if (underWay === undefined) {
        return { row: rowOf({ ...call, outcome: 'done' }, clock.now(), details), stored() {}, left() {} };
      }
      underWay.state = 'taken';
      const { resourceKind, resourceId, correlationId } = call;
      const asked = underWay.call;
      Object.assign(asked, { resourceKind, resourceId });
      asked.correlationId = correlationId ?? asked.correlationId;
      // Of another call that came to this one, for example of a template, both are told.
      const whole =
        asked.action === call.action || asked.details === undefined
          ? details
          : `{"request":${detailsText(asked.details())},${details.slice(1)}`;
      return {
        row: rowOf({ ...asked, outcome: 'done' }, clock.now(), whole),
        stored() {
          underWay.state = 'written';
        },
        left() {
          underWay.state = 'open';
        },
      };
    },

    async append(query, entry) {
      await insertAuditEntries(query, [rowOf(entry, clock.now())]);
    },

    admitted(caller, action) {
      const key = [action, caller.actor, caller.role ?? '', caller.address ?? ''].join('\n');
      const now = clock.monotonic();
      const last = admitted.get(key);
      if (last !== undefined && now - last < admittedAgainMs) return;
      const [oldest] = admitted.keys();
      if (admitted.size >= maximumAdmitted && oldest !== undefined) admitted.delete(oldest);
      admitted.delete(key);
      admitted.set(key, now);
      writeLater(rowOf({ ...caller, action, outcome: 'done' }, clock.now()));
    },

    start: ticker.start,
    async stop() {
      await ticker.stop();
      refusals.flush(true);
      await Promise.all([writer.idle(), patient.idle()]);
    },
  };
}
