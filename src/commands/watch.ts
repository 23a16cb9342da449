import type { Bus } from '../bus/bus.ts';
import { invalidField, ViworksError } from '../errors.ts';
import { findCommand } from '../storage/commands.ts';
import type { Database } from '../storage/database.ts';
import { type ChangedExecutions, executionsChangedSince } from '../storage/stored-executions.ts';
import { readExecutions } from './executions/read.ts';
import { newOutput, type StreamEnds } from './output/pages.ts';
import { commandOf, progressOf } from './rows.ts';
import type { WatchEvent } from './types.ts';

/**
 * Watching a command: subscribe first, then read the rows, then wait. A wake is only a hint, so the rows are
 * read again after a while without one. The cursor is the oldest transaction that was under way when the
 * rows were read; what commits late lies behind it and is read next time.
 */
export interface WatchDeps {
  database: Database;
  bus: Bus;
}

const rowsAtOnce = 64;
const lookAgainMs = 5000;

export async function* watchCommand(
  { database, bus }: WatchDeps,
  commandId: string,
  cursor: string | undefined,
  signal: AbortSignal,
): AsyncGenerator<WatchEvent> {
  const { query } = database;
  let since = parseCursor(cursor);
  const row = await findCommand(query, commandId);
  if (row === undefined) throw new ViworksError('command_unknown', `There is no command ${commandId}.`);
  let command = commandOf(row);
  const isRollout = command.rollout !== undefined;
  /** Revisions already told: rows at the cursor come again. Bounded by the executions of the command. */
  const told = new Map<string, number>();
  /** How far each stream was told. */
  const written: StreamEnds = new Map();
  let toldRollout: string | undefined;
  const hint = createHint(signal);
  const unsubscribe = bus.subscribe('command.changed', command.commandId, hint.raise);
  try {
    for (let round = 0; !signal.aborted; round++) {
      // A row that changes after this point raises the hint again; one that changed before is seen below.
      hint.lower();
      if (command.approval?.state === 'pending') {
        const again = await findCommand(query, commandId);
        if (again !== undefined) command = commandOf(again);
      }
      const before = since;
      let after = -1;
      let first: ChangedExecutions | undefined;
      let more = true;
      while (more && !signal.aborted) {
        const found = await executionsChangedSince(query, commandId, before, after, rowsAtOnce, isRollout);
        first ??= found;
        more = found.executions.length === rowsAtOnce;
        after = found.executions.at(-1)?.position ?? after;
        // All that an execution wrote was stored before its end, and so is told before it.
        for await (const pieces of found.streamed ? newOutput(query, commandId, before, written) : []) {
          const progress = { ...progressOf(found.counts, found.rollout), done: false };
          yield { cursor: before, command: { ...command, ...progress }, executions: [], output: pieces };
        }
        const fresh = found.executions.filter(
          (execution) => told.get(execution.executionId) !== execution.revision,
        );
        // Until the last part is out, a reader that breaks off begins this round again.
        since = more ? before : first.horizon;
        // Done when the first part was read: then the parts together hold the end of every execution.
        const done = progressOf(first.counts, first.rollout).done && !more;
        const course = courseOf(found.rollout);
        const turned = course !== toldRollout && !more;
        if (fresh.length > 0 || (!more && round === 0) || turned || done) {
          toldRollout = course;
          for (const execution of fresh) told.set(execution.executionId, execution.revision);
          const progress = { ...progressOf(found.counts, found.rollout), done };
          const executions = await readExecutions(query, fresh);
          yield { cursor: since, command: { ...command, ...progress }, executions, output: [] };
        }
        if (done) return;
      }
      if (!hint.raised) await hint.wait(lookAgainMs);
    }
  } finally {
    unsubscribe();
    hint.close();
  }
}

/** What of a rollout changes by itself; the rest follows from executions. */
const courseOf = (rollout: ChangedExecutions['rollout']) =>
  rollout === null ? undefined : `${rollout.state} ${rollout.released} ${rollout.reason ?? ''}`;

function parseCursor(cursor: string | undefined): string {
  if (cursor === undefined || cursor === '') return '0';
  // A transaction id has 64 bits.
  if (!/^\d{1,20}$/.test(cursor) || BigInt(cursor) >= 2n ** 64n)
    throw invalidField('cursor', 'must be the cursor of an earlier event');
  return cursor;
}

/** A flag that can be waited for, with a bound. */
function createHint(signal: AbortSignal) {
  let raised = false;
  let wakeUp: (() => void) | undefined;
  const raise = () => {
    raised = true;
    wakeUp?.();
  };
  signal.addEventListener('abort', raise);
  return {
    raise,
    lower() {
      raised = false;
    },
    get raised() {
      return raised;
    },
    async wait(ms: number): Promise<void> {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, ms);
        wakeUp = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      wakeUp = undefined;
    },
    close: () => signal.removeEventListener('abort', raise),
  };
}
