import type { Bus } from '../bus/bus.ts';
import { invalidField, ViworksError } from '../errors.ts';
import { executionsChangedSince, findCommand } from '../storage/commands.ts';
import type { Database } from '../storage/database.ts';
import { commandOf, executionOf } from './rows.ts';
import type { Command, WatchEvent } from './types.ts';

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
  let toldDone = false;
  let doneSince = false;
  /** Revisions already told: rows at the cursor come again. Bounded by the executions of the command. */
  const told = new Map<string, number>();
  const hint = createHint(signal);
  const unsubscribe = bus.subscribe('command.changed', commandId, hint.raise);
  try {
    for (let round = 0; !signal.aborted; round++) {
      // A row that changes after this point raises the hint again; one that changed before is seen below.
      hint.lower();
      // Done before the rows are read: then this round reads the end of every execution.
      const last = (await commandAt(query, commandId)).done;
      const before = since;
      let after = -1;
      let horizon: string | undefined;
      for (let more = true; more && !signal.aborted; ) {
        const found = await executionsChangedSince(query, commandId, before, after, rowsAtOnce);
        horizon ??= found.horizon;
        more = found.executions.length === rowsAtOnce;
        after = found.executions.at(-1)?.position ?? after;
        const fresh = found.executions.filter((row) => told.get(row.executionId) !== row.revision);
        // Until the last chunk is out, a reader that breaks off begins this round again.
        since = more ? before : horizon;
        const somethingToTell = fresh.length > 0 || (!more && (round === 0 || (last && !toldDone)));
        if (!somethingToTell) continue;
        const command = await commandAt(query, commandId);
        for (const row of fresh) told.set(row.executionId, row.revision);
        doneSince = command.done;
        toldDone = last && !more;
        // An event that says done comes with, or after, the end of every execution.
        yield { cursor: since, command: { ...command, done: toldDone }, executions: fresh.map(executionOf) };
      }
      if (last) return;
      if (!hint.raised && !doneSince) await hint.wait(lookAgainMs);
    }
  } finally {
    unsubscribe();
    hint.close();
  }
}

async function commandAt(query: Database['query'], commandId: string): Promise<Command> {
  const row = await findCommand(query, commandId);
  if (row === undefined) throw new ViworksError('command_unknown', `There is no command ${commandId}.`);
  return commandOf(row);
}

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
