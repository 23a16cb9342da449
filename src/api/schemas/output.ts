import { z } from 'zod';
import { type OutputPiece, type OutputRange, outputStreams } from '../../commands/types.ts';
import { countSchema } from './common.ts';

const streamSchema = z.enum(outputStreams);

/** A piece of what a process wrote while it ran; its edges may cut a character in two. */
export const outputPieceSchema = z.strictObject({
  executionId: z.string(),
  agentId: z.string(),
  attempt: countSchema,
  stream: streamSchema,
  /** Position of the first byte in the whole stream. What a reader has already is told by it. */
  offset: countSchema,
  base64: z.string(),
});
export type OutputPieceView = z.output<typeof outputPieceSchema>;

const base64 = (data: Uint8Array): string =>
  Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('base64');

export function outputPieceView({ data, ...piece }: OutputPiece): OutputPieceView {
  return { ...piece, base64: base64(data) };
}

const maximumRange = 1024 * 1024;

export const outputInput = z.strictObject({
  executionId: z.uuid({ error: 'must be the id of an execution, a UUID' }),
  stream: streamSchema.default('stdout'),
  offset: countSchema.default(0),
  /** Bytes in one answer. */
  limit: z
    .int()
    .min(1)
    .max(maximumRange)
    .default(256 * 1024),
});

export const outputOutput = z.strictObject({
  attempt: countSchema,
  offset: countSchema,
  base64: z.string(),
  /** The execution has ended, and nothing of the stream follows. */
  complete: z.boolean(),
  /** All that the process wrote, kept or not; absent while it is not known. */
  totalBytes: countSchema.optional(),
});

export function outputView({ data, ...range }: OutputRange): z.output<typeof outputOutput> {
  return { ...range, base64: base64(data) };
}
