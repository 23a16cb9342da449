import type { Database } from '../../storage/database.ts';
import { type OutputRow, outputOf } from '../../storage/output.ts';
import type { StoredExecution } from '../../storage/stored-executions.ts';
import { streamNumbers } from '../output/output.ts';
import { assemble } from '../output/pieces.ts';
import { executionOf } from '../rows.ts';
import {
  type Execution,
  type ExecutionResult,
  finalStates,
  type OutputStream,
  type StreamOutput,
} from '../types.ts';

/** Executions with all of their output, wherever it is kept. */
export async function readExecutions(
  query: Database['query'],
  rows: readonly StoredExecution[],
): Promise<Execution[]> {
  const streamed = rows.filter(wasStreamed);
  if (streamed.length === 0) return rows.map(executionOf);
  const pieces = new Map<string, OutputRow[]>();
  for (const piece of await outputOf(
    query,
    streamed.map((row) => row.executionId),
  )) {
    const key = `${piece.executionId}/${piece.attempt}`;
    const list = pieces.get(key);
    if (list === undefined) pieces.set(key, [piece]);
    else list.push(piece);
  }
  return rows.map((row) => withOutput(row, pieces.get(`${row.executionId}/${row.attempt}`) ?? []));
}

/** A result that a crash hides may have left output behind; any other says that it was streamed. */
function wasStreamed(row: StoredExecution): boolean {
  const missing = (data: Uint8Array | null, total: number | null) => data === null && total !== null;
  return (
    missing(row.stdout, row.stdoutTotal) ||
    missing(row.stderr, row.stderrTotal) ||
    (row.state === 'outcome_unknown' && row.stdoutTotal === null)
  );
}

function withOutput(row: StoredExecution, pieces: readonly OutputRow[]): Execution {
  const execution = executionOf(row);
  if (pieces.length === 0 || !finalStates.has(execution.state)) return execution;
  const stdout = streamOf(row, 'stdout', pieces);
  const stderr = streamOf(row, 'stderr', pieces);
  const result: ExecutionResult = {
    ...(execution.result ?? nothingKnown),
    ...(stdout && { stdout }),
    ...(stderr && { stderr }),
  };
  return { ...execution, result };
}

const nothingKnown: ExecutionResult = {
  exitCode: undefined,
  signal: undefined,
  stdout: undefined,
  stderr: undefined,
  output: undefined,
  failure: undefined,
  startedAt: undefined,
  finishedAt: undefined,
};

function streamOf(
  row: StoredExecution,
  stream: OutputStream,
  pieces: readonly OutputRow[],
): StreamOutput | undefined {
  if (row[stream] !== null) return undefined;
  const total = row[`${stream}Total`];
  const own = pieces.filter((piece) => piece.stream === streamNumbers[stream]);
  if (own.length === 0 && total === null) return undefined;
  const { data, gap } = assemble(own);
  // Without a word of how much there was, what followed the last piece is lost.
  const truncated = gap || total === null || (row[`${stream}Truncated`] ?? data.byteLength < total);
  return { data, totalBytes: Math.max(total ?? 0, data.byteLength), truncated };
}
