import { z } from 'zod';
import {
  type Execution,
  type ExecutionResult,
  executionStates,
  type StreamOutput,
} from '../../commands/types.ts';
import { countSchema, jsonObjectSchema, optionalTimeView, timeSchema, timeView } from './common.ts';

export const executionStateSchema = z.enum(executionStates);

/** What a program wrote: `text` when it is UTF-8, which it nearly always is, and `base64` otherwise. */
const streamSchema = z.strictObject({
  text: z.string().optional(),
  base64: z.string().optional(),
  /** Bytes that the program wrote; more than are here if `truncated`. */
  totalBytes: countSchema,
  truncated: z.boolean(),
});

const resultSchema = z.strictObject({
  exitCode: z.int().optional(),
  signal: z.string().optional(),
  stdout: streamSchema.optional(),
  stderr: streamSchema.optional(),
  /** The verb's result message in JSON. */
  output: jsonObjectSchema.optional(),
  /** Why it did not succeed. */
  failure: z.strictObject({ code: z.string(), message: z.string() }).optional(),
  startedAt: timeSchema.optional(),
  finishedAt: timeSchema.optional(),
});

export const executionSchema = z.strictObject({
  executionId: z.string(),
  commandId: z.string(),
  agentId: z.string(),
  state: executionStateSchema,
  attempt: countSchema,
  /** Every state it was in, oldest first. */
  transitions: z.array(z.strictObject({ state: executionStateSchema, cause: z.string(), at: timeSchema })),
  /** Grows with each change. */
  revision: countSchema,
  /** Only in final states. */
  result: resultSchema.optional(),
});
export type ExecutionView = z.output<typeof executionSchema>;

export function executionView(execution: Execution): ExecutionView {
  return {
    ...execution,
    transitions: execution.transitions.map(({ state, cause, at }) => ({ state, cause, at: timeView(at) })),
    result: execution.result && resultView(execution.result),
  };
}

function resultView(result: ExecutionResult): z.output<typeof resultSchema> {
  const { stdout, stderr, startedAt, finishedAt, ...rest } = result;
  return {
    ...rest,
    stdout: stdout && streamView(stdout),
    stderr: stderr && streamView(stderr),
    startedAt: optionalTimeView(startedAt),
    finishedAt: optionalTimeView(finishedAt),
  };
}

export function streamView({ data, totalBytes, truncated }: StreamOutput): z.output<typeof streamSchema> {
  try {
    // A truncation may cut a character in two: as a stream, the decoder leaves out the half that is there.
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(data, {
      stream: truncated,
    });
    return { text, totalBytes, truncated };
  } catch {
    return { base64: Buffer.from(data).toString('base64'), totalBytes, truncated };
  }
}
