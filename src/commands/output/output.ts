import type { Bus } from '../../bus/bus.ts';
import { invalidField, ViworksError } from '../../errors.ts';
import type { Metrics } from '../../lib/metrics.ts';
import { wireLimits } from '../../protocol/limits.ts';
import { createBatchWriter } from '../../storage/batch-writer.ts';
import type { Database } from '../../storage/database.ts';
import { findAttempt } from '../../storage/executions.ts';
import { insertOutput, type OutputRow, outputFrom } from '../../storage/output.ts';
import type { OutputPiece, OutputRange, OutputStream } from '../types.ts';
import { coalesce, fitPiece, type StreamProgress } from './pieces.ts';

/**
 * The output of processes, on its way from agents into the database while they run. Each piece is stored before
 * it is acknowledged; how much is on its way is bounded by what each agent may send without acknowledgement.
 */
export interface OutputIntake {
  /** Resolves when the piece is stored, or is one that is not wanted. @throws database_unavailable */
  append(row: OutputRow, progress: StreamProgress): Promise<void>;
  idle(): Promise<void>;
}

export interface OutputDeps {
  database: Database;
  bus: Bus;
  metrics: Metrics;
}

/** Bytes that may wait to be written. Over it the session that brings more ends, and comes again later. */
const maximumWaiting = 128 * 1024 * 1024;

export function createOutputIntake({ database, bus, metrics }: OutputDeps): OutputIntake {
  const writer = createBatchWriter<OutputRow, undefined>({
    async write(rows) {
      await insertOutput(database.query, coalesce(rows));
      for (const commandId of new Set(rows.map((row) => row.commandId)))
        bus.publish('command.changed', commandId);
      return rows.map(() => undefined);
    },
    weight: (row) => row.data.byteLength,
    maximumBatch: 4 * 1024 * 1024,
    maximumWaiting,
    retryForMs: 600_000,
    onBatch: (weight) => metrics.batchRows.observe({ writer: 'output' }, weight),
  });
  return {
    async append(row, progress) {
      const piece = fitPiece(row, progress, wireLimits.outputBytes);
      if (piece !== undefined) await writer.add(piece);
    },
    idle: writer.idle,
  };
}

export const streamNumbers: Readonly<Record<OutputStream, number>> = { stdout: 1, stderr: 2 };
const streamName = (number: number): OutputStream => (number === 2 ? 'stderr' : 'stdout');

export const pieceOf = (row: OutputRow & { agentId: string }): OutputPiece => ({
  executionId: row.executionId,
  agentId: row.agentId,
  attempt: row.attempt,
  stream: streamName(row.stream),
  offset: row.position,
  data: row.data,
});

/** Rows that one answer is made of. */
const rowsAtOnce = 64;

/**
 * A range of one stream of an execution's last attempt, as far as it is known.
 * @throws execution_unknown, invalid_request
 */
export async function readOutput(
  { database }: Pick<OutputDeps, 'database'>,
  executionId: string,
  stream: OutputStream,
  offset: number,
  limit: number,
): Promise<OutputRange> {
  if (!Number.isSafeInteger(offset) || offset < 0) throw invalidField('offset', 'must be 0 or more');
  const execution = await findAttempt(database.query, executionId, streamNumbers[stream]);
  if (execution === undefined) {
    throw new ViworksError('execution_unknown', `There is no execution ${executionId}.`);
  }
  const { attempt, ended, whole, totalBytes } = execution;
  const rows =
    whole === null
      ? await outputFrom(database.query, executionId, attempt, streamNumbers[stream], offset, rowsAtOnce)
      : [{ position: 0, data: whole }];
  const parts: Uint8Array[] = [];
  let at = offset;
  for (const { position, data } of rows) {
    // What is missing between two pieces was lost; the range ends before it.
    if (position > at || at - offset >= limit) break;
    const part = data.subarray(at - position, at - position + limit - (at - offset));
    parts.push(part);
    at += part.byteLength;
  }
  const complete = ended && (rows.length < rowsAtOnce || whole !== null) && at - offset < limit;
  return {
    attempt,
    offset,
    data: new Uint8Array(Buffer.concat(parts)),
    complete,
    totalBytes: totalBytes ?? undefined,
  };
}
