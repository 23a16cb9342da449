import { type FileHandle, open, readFile, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { ViworksError } from '../errors.ts';
import { type Clock, systemClock } from '../lib/clock.ts';
import type { Logger } from '../lib/logger.ts';
import {
  createLedgerState,
  type LedgerEntry,
  type LedgerLine,
  type LedgerState,
  ledgerBounds,
  printLine,
  readLines,
} from './ledger-state.ts';

export type { LedgerEntry } from './ledger-state.ts';

/**
 * The ledger is the agent's own memory of executions: what it took on, what it began and how it ended. It
 * makes "at most once" true across crashes, because nothing is begun before the line that says so is synced.
 * The file holds lines of JSON: a torn one shows by itself, and a person is able to read what an agent did.
 */
export interface Ledger {
  find(executionId: string, attempt: number): LedgerEntry | 'settled' | undefined;
  /** The promise of each step is fulfilled when its line is synced. @throws unavailable */
  accepted(executionId: string, attempt: number, epoch: bigint): Promise<void>;
  started(executionId: string, attempt: number, epoch: bigint): Promise<void>;
  /** @param result the serialised RESULT */
  finished(executionId: string, attempt: number, result: Uint8Array): Promise<void>;
  /** The RESULT was acknowledged. Written with the next line that is synced: losing it costs a repetition. */
  settled(executionId: string, attempt: number): void;
  /** Takes back a step that could not be written. */
  forget(executionId: string, attempt: number): void;
  /** Executions without an acknowledged RESULT, oldest first. */
  unsettled(): Iterable<LedgerEntry>;
  readonly unsettledCount: number;
  readonly unsettledBytes: number;
  /** Writes what waits and closes the file. */
  close(): Promise<void>;
}

export interface LedgerOptions {
  log: Logger;
  clock?: Clock;
  /** The file is rewritten when it is larger than this and than twice what it held after the last time. */
  compactBytes?: number;
}

/** A ledger for agents that need not outlive their process, such as simulated ones. */
export function createMemoryLedger(clock: Clock = systemClock): Ledger {
  // Many of them live in one process, so each remembers less than a file does.
  const state = createLedgerState({ ...ledgerBounds, rememberCount: 1_000 });
  const done = Promise.resolve();
  return ledgerOver(state, clock, (line) => {
    state.apply(line);
    return done;
  });
}

/** Opens or creates the ledger in the file, and brings it to its shortest form. */
export async function openLedger(file: string, options: LedgerOptions): Promise<Ledger> {
  const { log, clock = systemClock, compactBytes = 8 * 1024 * 1024 } = options;
  const state = createLedgerState();
  const { unreadable } = readLines(await textOf(file), state);
  if (unreadable > 0) log.warn({ file, lines: unreadable }, 'the ledger has lines that were never completed');

  let { handle, size } = await rewrite(file, state, clock.now());
  await syncFolder(dirname(file));
  let bound = Math.max(compactBytes, 2 * size);
  /** Set when a write failed half-way: the next one begins on a new line. */
  let torn = false;
  let closed = false;
  let batch = newBatch();
  let writer: Promise<void> | undefined;

  async function writeAll(): Promise<void> {
    while (batch.lines.length > 0) {
      const current = batch;
      batch = newBatch();
      try {
        await write(current.lines.join(''));
        current.resolve();
      } catch (cause) {
        torn = true;
        log.error({ err: cause, file }, 'the ledger cannot be written');
        current.reject(new ViworksError('unavailable', 'The ledger cannot be written.', { cause }));
      }
    }
    writer = undefined;
  }
  async function write(text: string): Promise<void> {
    if (size > bound) {
      // The state holds everything, also what this text says: rewriting the file writes it too.
      const replaced = handle;
      ({ handle, size } = await rewrite(file, state, clock.now()));
      bound = Math.max(compactBytes, 2 * size);
      torn = false;
      await replaced.close();
      // After the change of handles, so that a failure here leaves the new file in use.
      await syncFolder(dirname(file));
      return;
    }
    const { bytesWritten } = await handle.write(torn ? `\n${text}` : text);
    if (bytesWritten < Buffer.byteLength(text)) throw new Error('the line was written in part only');
    await handle.datasync();
    torn = false;
    size += bytesWritten;
  }
  /** Lines of one tick share one sync, and so do all that come while another sync is under way. */
  function schedule(): void {
    writer ??= new Promise<void>((resolve) => setImmediate(resolve)).then(writeAll);
  }
  const ledger = ledgerOver(state, clock, (line, lazy) => {
    if (closed) return Promise.reject(new ViworksError('unavailable', 'The ledger is closed.'));
    state.apply(line);
    batch.lines.push(printLine(line));
    const { synced } = batch;
    if (!lazy) schedule();
    return synced;
  });
  return {
    ...ledger,
    get unsettledCount() {
      return state.unsettledCount;
    },
    get unsettledBytes() {
      return state.unsettledBytes;
    },
    async close() {
      if (closed) return;
      closed = true;
      schedule();
      await writer;
      await handle.close();
    },
  };
}

type Append = (line: LedgerLine, lazy: boolean) => Promise<void>;

function ledgerOver(state: LedgerState, clock: Clock, append: Append): Ledger {
  const base = (id: string, n: number) => ({ id, n, at: clock.now() });
  return {
    find: state.find,
    accepted: (id, n, epoch) => append({ k: 'accepted', ...base(id, n), e: epoch.toString() }, false),
    started: (id, n, epoch) => append({ k: 'started', ...base(id, n), e: epoch.toString() }, false),
    finished: (id, n, result) => append({ k: 'finished', ...base(id, n), r: result }, false),
    settled(id, n) {
      append({ k: 'settled', ...base(id, n) }, true).catch(() => {
        // The line is lost with its batch, which logged it; the RESULT is then repeated once.
      });
    },
    forget: state.forget,
    unsettled: state.unsettled,
    get unsettledCount() {
      return state.unsettledCount;
    },
    get unsettledBytes() {
      return state.unsettledBytes;
    },
    close: () => Promise.resolve(),
  };
}

function newBatch() {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  // A batch that only holds lines nobody waits for must not end the process when it fails.
  promise.catch(() => {});
  return { lines: [] as string[], synced: promise, resolve, reject };
}

async function textOf(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return '';
    throw error;
  }
}

/** Puts the state's shortest form in the place of the file, whole or not at all; leaves it open to append. */
async function rewrite(
  file: string,
  state: LedgerState,
  now: number,
): Promise<{ handle: FileHandle; size: number }> {
  const temporary = `${file}.new`;
  const text = Array.from(state.lines(now), printLine).join('');
  const handle = await open(temporary, 'w', 0o600);
  try {
    await handle.writeFile(text);
    await handle.sync();
    await rename(temporary, file);
  } catch (error) {
    await handle.close();
    throw error;
  }
  return { handle, size: Buffer.byteLength(text) };
}

/** Makes a rename in the folder survive a crash. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
