import type { Execution, WatchEvent } from '../../commands/types.ts';

/** Most gRPC clients refuse a message over 4 MiB; one execution alone stays far below it. */
const partBytes = 1024 * 1024;
/** What an execution takes beside its output, roughly. */
const baseBytes = 1024;

/**
 * Cuts an event with many executions into parts. Only the last has the event's own cursor: whoever breaks off
 * before it gets the whole event again.
 * @param before cursor of the event before, empty if there is none
 */
export function* partsOf(event: WatchEvent, before: string, limit = partBytes): Generator<WatchEvent> {
  let executions: Execution[] = [];
  // Output comes in events of its own, which are small enough.
  let bytes = 0;
  for (const execution of event.executions) {
    const size = sizeOf(execution);
    if (executions.length > 0 && bytes + size > limit) {
      yield { ...event, cursor: before, executions };
      executions = [];
      bytes = 0;
    }
    executions.push(execution);
    bytes += size;
  }
  yield { ...event, executions };
}

function sizeOf({ result, transitions }: Execution): number {
  const output = result?.output === undefined ? 0 : JSON.stringify(result.output).length;
  const streams = (result?.stdout?.data.length ?? 0) + (result?.stderr?.data.length ?? 0);
  return baseBytes + transitions.length * 64 + output + streams;
}
