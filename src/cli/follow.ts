import type { ExecutionView } from '../api/schemas/executions.ts';
import type { OutputPieceView } from '../api/schemas/output.ts';
import type { AppOutputs } from '../api/trpc/router.ts';
import { finalStates } from '../commands/types.ts';
import type { Client } from './client.ts';
import { noteApproval } from './command-view.ts';
import { exitCodes } from './failure.ts';
import { createLiveOutput, piecesOf } from './live-output.ts';
import { createProgress, type Progress } from './progress.ts';
import { printResults, summaryLine } from './results.ts';
import { courseOf, isAtRest, noteOutcome } from './rollout-view.ts';
import type { Terminal } from './terminal.ts';

/** Follows a command to its end, as `run` and `commands watch` do. Ctrl-C leaves without cancelling it. */

/** The exit code of a shell for an end by SIGINT. */
const detached = 130;

export async function follow(
  client: Client,
  terminal: Terminal,
  commandId: string,
  options: { json: boolean },
): Promise<number> {
  const stop = new AbortController();
  const left = new AbortController();
  const onInterrupt = () => stop.abort();
  process.once('SIGINT', onInterrupt);
  const progress = options.json ? jsonProgress(terminal) : createProgress(terminal);
  const executions = new Map<string, ExecutionView>();
  const live = createLiveOutput();
  let agents = 0;
  let noted: string | undefined;
  let width = 0;
  const prefixOf = (agentId: string) => {
    width = Math.max(width, agentId.length);
    return agents === 1 ? '' : `${agentId.padEnd(width)} | `;
  };
  const show = (piece: OutputPieceView) => {
    if (options.json) return terminal.json({ event: 'output', ...piece });
    for (const line of live.take(piece)) {
      progress.print(prefixOf(piece.agentId) + line, piece.stream === 'stderr');
    }
  };
  const finish = (execution: ExecutionView) => {
    const { executionId, agentId } = execution;
    if (live.has(executionId)) for (const piece of piecesOf(execution)) show(piece);
    for (const { stream, line } of live.end(executionId)) {
      progress.print(prefixOf(agentId) + line, stream === 'stderr');
    }
  };
  let command: AppOutputs['commands']['submit']['command'] | undefined;
  try {
    const events = client.commands.watch.subscribe(
      { commandId },
      { signal: AbortSignal.any([stop.signal, left.signal]) },
    );
    // The stream ends by itself; an event that says done may still lack the last changes.
    for await (const { data } of events) {
      command = data.command;
      if (command.approval?.state !== noted && !options.json) noteApproval(terminal, command);
      noted = command.approval?.state;
      agents = Object.values(command.counts).reduce((sum, count) => sum + count, 0);
      // After a break a change may come twice; the revision tells.
      const fresh = data.executions.filter(
        (execution) => execution.revision > (executions.get(execution.executionId)?.revision ?? -1),
      );
      for (const execution of fresh) executions.set(execution.executionId, execution);
      for (const piece of data.output) show(piece);
      for (const execution of fresh) if (hasEnded(execution)) finish(execution);
      progress.update([...executions.values()], fresh, command);
      if (isAtRest(command)) break;
    }
  } catch (error) {
    if (!stop.signal.aborted) throw error;
  } finally {
    left.abort();
    process.removeListener('SIGINT', onInterrupt);
    progress.end();
  }
  if (stop.signal.aborted) {
    terminal.note(`The command goes on. Follow it: viworks commands watch ${commandId}`);
    terminal.note(`Cancel it: viworks commands cancel ${commandId}`);
    return detached;
  }
  const all = [...executions.values()];
  const succeeded = command?.done === true && all.every(({ state }) => state === 'succeeded');
  if (options.json) terminal.json({ event: 'done', succeeded, command });
  else {
    printResults(terminal, command?.verb, command?.done === true ? all : all.filter(hasEnded), live.has);
    terminal.note(summaryLine(terminal, commandId, all));
    if (command !== undefined) noteOutcome(terminal, command);
  }
  return succeeded ? exitCodes.success : exitCodes.failure;
}

const hasEnded = ({ state }: ExecutionView) => finalStates.has(state);

function jsonProgress(terminal: Terminal): Progress {
  let course: string | undefined;
  return {
    update(_all, fresh, { commandId, rollout }) {
      for (const execution of fresh) terminal.json({ event: 'execution', execution });
      if (rollout === undefined || courseOf(rollout) === course) return;
      course = courseOf(rollout);
      terminal.json({ event: 'rollout', commandId, rollout });
    },
    print: () => {},
    end: () => {},
  };
}
