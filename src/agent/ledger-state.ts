/**
 * What the lines of a ledger add up to. Pure: the same lines in any order, whole or repeated, give the same
 * picture, because an execution only ever moves forward: accepted, started, finished, settled.
 */

/** One line. Short names, because there is one for each step of each execution. */
export interface LedgerLine {
  /** The step. */
  k: 'accepted' | 'started' | 'finished' | 'settled';
  /** Execution id. */
  id: string;
  /** Attempt. */
  n: number;
  /** Milliseconds since 1970. */
  at: number;
  /** Epoch of the session that brought the order. */
  e?: string;
  /** Serialised RESULT, where finished; base64 in the file. */
  r?: Uint8Array;
  /** When the work began, where it is known and finished. */
  s?: number;
}

/** An execution whose RESULT is not acknowledged yet. */
export interface LedgerEntry {
  executionId: string;
  attempt: number;
  phase: 'accepted' | 'started' | 'finished';
  epoch: bigint;
  /** Milliseconds since 1970; undefined where it was never started. */
  startedAt: number | undefined;
  /** The serialised RESULT, once finished. */
  result: Uint8Array | undefined;
}

export interface LedgerBounds {
  /** How long the ids of settled executions are remembered, in milliseconds. */
  rememberMs: number;
  /** How many of them. */
  rememberCount: number;
}

/**
 * As long as a command may wait, and a day for clocks that are off: a row of one that ran, set back by whoever writes
 * into the database, comes again until it expires.
 */
export const ledgerBounds: LedgerBounds = { rememberMs: 31 * 24 * 3600 * 1000, rememberCount: 50_000 };

export interface LedgerState {
  apply(line: LedgerLine): void;
  /** Takes back what could not be written. */
  forget(executionId: string, attempt: number): void;
  find(executionId: string, attempt: number): LedgerEntry | 'settled' | undefined;
  /** Executions without an acknowledged RESULT, oldest first. */
  unsettled(): Iterable<LedgerEntry>;
  readonly unsettledCount: number;
  /** Bytes of the results that are kept. */
  readonly unsettledBytes: number;
  /** The shortest list of lines that gives this state. */
  lines(now: number): Iterable<LedgerLine>;
}

const order = { accepted: 0, started: 1, finished: 2 };
const keyOf = (executionId: string, attempt: number) => `${executionId}/${attempt}`;

export function createLedgerState(bounds: LedgerBounds = ledgerBounds): LedgerState {
  const entries = new Map<string, LedgerEntry>();
  const settled = new Map<string, LedgerLine>();
  let bytes = 0;

  function drop(key: string): void {
    bytes -= entries.get(key)?.result?.byteLength ?? 0;
    entries.delete(key);
  }
  function settle(key: string, line: LedgerLine): void {
    drop(key);
    settled.set(key, { k: 'settled', id: line.id, n: line.n, at: line.at });
    for (const [oldest, { at }] of settled) {
      if (settled.size <= bounds.rememberCount && at > line.at - bounds.rememberMs) break;
      settled.delete(oldest);
    }
  }
  return {
    apply(line) {
      const key = keyOf(line.id, line.n);
      if (line.k === 'settled') {
        settle(key, line);
        return;
      }
      if (settled.has(key)) return;
      const before = entries.get(key);
      if (before !== undefined && order[before.phase] >= order[line.k]) {
        if (line.k === 'started') before.startedAt ??= line.at;
        return;
      }
      bytes += line.r?.byteLength ?? 0;
      entries.set(key, {
        executionId: line.id,
        attempt: line.n,
        phase: line.k,
        epoch: line.e === undefined ? (before?.epoch ?? 0n) : BigInt(line.e),
        startedAt: line.s ?? before?.startedAt ?? (line.k === 'started' ? line.at : undefined),
        result: line.r,
      });
    },
    forget: (executionId, attempt) => drop(keyOf(executionId, attempt)),
    find(executionId, attempt) {
      const key = keyOf(executionId, attempt);
      return entries.get(key) ?? (settled.has(key) ? 'settled' : undefined);
    },
    unsettled: () => entries.values(),
    get unsettledCount() {
      return entries.size;
    },
    get unsettledBytes() {
      return bytes;
    },
    *lines(now) {
      for (const line of settled.values()) if (line.at > now - bounds.rememberMs) yield line;
      for (const entry of entries.values()) yield lineOf(entry, now);
    },
  };
}

function lineOf(entry: LedgerEntry, now: number): LedgerLine {
  const line: LedgerLine = {
    k: entry.phase,
    id: entry.executionId,
    n: entry.attempt,
    at: entry.phase === 'started' ? (entry.startedAt ?? now) : now,
    e: entry.epoch.toString(),
  };
  if (entry.result !== undefined) line.r = entry.result;
  if (entry.phase === 'finished' && entry.startedAt !== undefined) line.s = entry.startedAt;
  return line;
}

/** One line of JSON with its end. */
export function printLine(line: LedgerLine): string {
  const { r, ...rest } = line;
  return `${JSON.stringify(r === undefined ? rest : { ...rest, r: Buffer.from(r).toString('base64') })}\n`;
}

/**
 * Reads a ledger's text. A line that cannot be read was being written when the machine stopped: nothing was
 * done on its strength, because that waits for the line to be synced. So it is passed over and counted.
 */
export function readLines(text: string, state: LedgerState): { unreadable: number } {
  let unreadable = 0;
  const lines = text.split('\n');
  // What follows the last line end is empty, or the torn beginning of a line.
  const torn = lines.pop();
  if (torn !== undefined && torn !== '') unreadable += 1;
  for (const text of lines) {
    if (text === '') continue;
    const line = parseLine(text);
    if (line === undefined) unreadable += 1;
    else state.apply(line);
  }
  return { unreadable };
}

function parseLine(text: string): LedgerLine | undefined {
  try {
    const line: unknown = JSON.parse(text);
    if (!isLine(line)) return undefined;
    const { r, ...rest } = line;
    return r === undefined ? rest : { ...rest, r: new Uint8Array(Buffer.from(r, 'base64')) };
  } catch {
    return undefined;
  }
}

/** A line as JSON has it. */
type StoredLine = Omit<LedgerLine, 'r'> & { r?: string };

function isLine(value: unknown): value is StoredLine {
  if (typeof value !== 'object' || value === null) return false;
  const line: Partial<Record<keyof LedgerLine, unknown>> = value;
  return (
    (line.k === 'accepted' || line.k === 'started' || line.k === 'finished' || line.k === 'settled') &&
    typeof line.id === 'string' &&
    typeof line.n === 'number' &&
    typeof line.at === 'number' &&
    (line.e === undefined || (typeof line.e === 'string' && /^\d+$/.test(line.e))) &&
    (line.s === undefined || typeof line.s === 'number') &&
    (line.k === 'finished' ? typeof line.r === 'string' : true)
  );
}
