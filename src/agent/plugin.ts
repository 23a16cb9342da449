import type { JsonObject } from '@bufbuild/protobuf';
import type { Logger } from '../lib/logger.ts';
import type { ProgramEnd } from './process.ts';

/**
 * What a module of a plug-in exports, for those who write one: import the types from `viworks/plugin`. Its file
 * of verbs says what the args and the result look like; the agent holds both to it.
 */
export interface Plugin {
  /** The file of verbs: a URL, or a path from the module’s own folder. */
  verbs: URL | string;
  /** For each verb of that file, what does the work. */
  executors: Record<string, PluginExecutor>;
  /** Whether the verbs can be run on this machine; they are announced only then. Without it they always are. */
  available?: () => boolean | Promise<boolean>;
  /**
   * Custom metrics by name, each asked for at every sample. A name is 1 to 64 of `a-z 0-9 _ .` and begins with a
   * letter; what throws, takes longer than 2 s or answers no finite number is left out.
   */
  metrics?: Record<string, () => number | Promise<number>>;
}

/**
 * Does the work of one verb. It may throw: the execution then fails with the code `internal`, and what was
 * thrown goes to the agent’s log alone.
 * @param args valid by the schema of the verb
 */
export type PluginExecutor<Args = JsonObject, Output = JsonObject> = (
  args: Args,
  context: PluginContext,
) => Promise<PluginOutcome<Output>>;

/** How it went: with a failure it failed, and otherwise it succeeded. */
export interface PluginOutcome<Output = JsonObject> {
  /** Valid by the schema of the verb’s result. */
  output?: Output;
  /** One word for programs, for example `already_exists`, and one sentence for people. */
  failure?: { code: string; message: string };
  /** The end of a program whose exit code and output are those of the execution. */
  program?: ProgramEnd;
}

export interface PluginContext {
  /** Aborted at the time limit, on cancel and at the agent’s stop. */
  signal: AbortSignal;
  timeoutMs: number;
  log: Logger;
  /**
   * Runs a program with an argument vector; no shell looks at it. The signal ends it and all that it started,
   * and what it writes is streamed.
   */
  runProgram(argv: readonly string[], options?: PluginProgram): Promise<ProgramEnd>;
}

export interface PluginProgram {
  /** Added to a minimal environment (PATH, HOME, LANG). */
  environment?: Record<string, string>;
  workingDirectory?: string;
}
