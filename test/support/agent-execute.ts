import {
  create,
  type DescMessage,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
} from '@bufbuild/protobuf';
import { onTestFinished } from 'vitest';
import type { Executor, ExecutorOutcome } from '../../src/agent/executors/executor.ts';
import { silentLogger } from '../../src/lib/logger.ts';

/** Runs an executor as the runner does; the controller's signal ends it. */
export function execute<Args extends DescMessage>(
  executor: Executor,
  schema: Args,
  args: MessageInitShape<Args>,
  options: { outputLimit?: number; controller?: AbortController } = {},
): Promise<ExecutorOutcome> {
  const { outputLimit = 65_536, controller = new AbortController() } = options;
  return executor.run(create(schema, args), {
    signal: controller.signal,
    timeoutMs: 10_000,
    outputLimit,
    onOutput: () => {},
    log: silentLogger,
  });
}

/** The verb's result message. */
export function outputOf<Result extends DescMessage>(
  schema: Result,
  outcome: ExecutorOutcome,
): MessageShape<Result> {
  if (outcome.output === undefined) throw new Error(`no output: ${JSON.stringify(outcome.failure)}`);
  return fromBinary(schema, outcome.output);
}

export const textOf = (captured: { data: Uint8Array } | undefined): string =>
  new TextDecoder().decode(captured?.data);

/** Whether a process is there; a zombie that nobody has fetched yet is not. */
export async function isAlive(pid: number): Promise<boolean> {
  const { readFile } = await import('node:fs/promises');
  try {
    const status = await readFile(`/proc/${pid}/stat`, 'utf8');
    return !/\) [ZX] /.test(status);
  } catch {
    return false;
  }
}

/** Ends a process that a test left running on purpose. */
export function endAfterTest(pid: number): void {
  onTestFinished(() => {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // It is gone already.
    }
  });
}
