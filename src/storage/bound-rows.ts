/**
 * What was submitted is bound: each execution carries a code over all of it that must not change, made with a secret
 * that is not in the database. The dispatcher sends nothing whose code does not hold, so that a row which somebody
 * writes or alters in the database is no order.
 */
export interface ExecutionBinding {
  /** In hexadecimal, as it is written into statements. */
  bind(execution: BoundExecution): string;
  holds(execution: BoundExecution, binding: Uint8Array | null): boolean;
  /** For every attempt after the first: that it is to be made was decided here. */
  bindAttempt(executionId: string, attempt: number): string;
  holdsAttempt(executionId: string, attempt: number, binding: Uint8Array | null): boolean;
}

export interface BoundExecution {
  commandId: string;
  actor: string;
  verb: string;
  argsBytes: Uint8Array;
  timeoutMs: number;
  maxRetries: number;
  /** Of the command; an execution may expire sooner. */
  expiresAt: Date;
  executionId: string;
  agentId: string;
  incarnation: number;
  /** It waits for a second person, and whoever agrees binds it anew. */
  unapproved: boolean;
}

/** What makes commands later, at its time or when somebody asks, is bound in the same way and checked before it does. */
export interface RowBinding {
  /** @param values all that must not change, as JSON values that are read back as they are here */
  bind(table: BoundTable, values: Readonly<Record<string, unknown>>): Uint8Array;
  holds(table: BoundTable, values: Readonly<Record<string, unknown>>, binding: Uint8Array | null): boolean;
}

export type BoundTable = 'schedules' | 'templates';
