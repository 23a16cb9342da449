import type { CommandView } from '../api/schemas/commands.ts';
import type { ExecutionView } from '../api/schemas/executions.ts';
import { finalStates } from '../commands/types.ts';
import { formatDuration } from '../lib/duration.ts';
import { courseOf, rolloutLine } from './rollout-view.ts';
import { printable, type Style, type Terminal } from './terminal.ts';

/** One line for each agent while a command runs: rewritten in place on a terminal, appended elsewhere. */
export interface Progress {
  update(
    all: readonly ExecutionView[],
    fresh: readonly ExecutionView[],
    command: Pick<CommandView, 'commandId' | 'rollout'>,
  ): void;
  /** A line of what a program writes: goes above the lines that are rewritten. */
  print(line: string, toStderr: boolean): void;
  end(): void;
}

/** Lines that are rewritten at once; the rest of a large fleet is counted. */
const maximumLines = 20;
/** Lines of output that wait for a drawing. */
const maximumAbove = 1000;
/** Milliseconds between two drawings; what comes between them is drawn with the next. */
const drawEveryMs = 100;

export function createProgress(terminal: Terminal): Progress {
  return terminal.interactive ? liveProgress(terminal) : plainProgress(terminal);
}

function plainProgress(terminal: Terminal): Progress {
  let course: string | undefined;
  return {
    update(all, fresh, { commandId, rollout }) {
      const width = widthOf(all);
      for (const execution of fresh) terminal.note(progressLine(execution, Date.now(), width).trimEnd());
      if (rollout === undefined || courseOf(rollout) === course) return;
      course = courseOf(rollout);
      terminal.note(`rollout ${rolloutLine(rollout)}`);
      if (rollout.state === 'paused') terminal.note(`Go on: viworks rollouts resume ${commandId}`);
    },
    print: (line, toStderr) => (toStderr ? terminal.note(line) : terminal.line(line)),
    end() {},
  };
}

function liveProgress(terminal: Terminal): Progress {
  let current: readonly ExecutionView[] = [];
  let command: Pick<CommandView, 'commandId' | 'rollout'> | undefined;
  let drawn = 0;
  const erase = () => (drawn === 0 ? '' : `\u001b[${drawn}A\u001b[0J`);
  /** Printed since the last drawing. */
  let above: string[] = [];
  const draw = () => {
    const now = Date.now();
    const width = widthOf(current);
    const lines = choose(current).map((execution) => {
      const line = progressLine(execution, now, width).slice(0, terminal.columns - 1);
      return terminal.style(styles[execution.state] ?? 'cyan', line);
    });
    const hidden = current.length - lines.length;
    if (hidden > 0) lines.push(terminal.style('dim', `… and ${hidden} more`));
    if (command?.rollout !== undefined) {
      const { commandId, rollout } = command;
      const help = rollout.state === 'paused' ? `; viworks rollouts resume ${commandId}` : '';
      lines.push(`rollout ${rolloutLine(rollout)}${help}`.slice(0, terminal.columns - 1));
    }
    terminal.write(`${erase()}${[...above, ...lines].map((line) => `${line}\n`).join('')}`);
    above = [];
    drawn = lines.length;
  };
  const timer = setInterval(draw, drawEveryMs);
  return {
    update(all, _fresh, about) {
      current = all;
      command = about;
    },
    print(line) {
      above.push(line);
      if (above.length >= maximumAbove) draw();
    },
    end() {
      clearInterval(timer);
      draw();
    },
  };
}

/** Of the column with the agents' names. */
export function widthOf(executions: readonly ExecutionView[]): number {
  return executions.reduce((width, { agentId }) => Math.max(width, agentId.length + 1), 8);
}

/** Those that still run come first, because the others do not change any more. */
function choose(all: readonly ExecutionView[]): readonly ExecutionView[] {
  if (all.length <= maximumLines) return all;
  const active = all.filter(({ state }) => !finalStates.has(state));
  const failed = all.filter(({ state }) => finalStates.has(state) && state !== 'succeeded');
  return [...active, ...failed].slice(0, maximumLines);
}

export const styles: Partial<Record<ExecutionView['state'], Style>> = {
  succeeded: 'green',
  failed: 'red',
  timed_out: 'red',
  outcome_unknown: 'red',
  expired: 'yellow',
  cancelled: 'yellow',
  queued: 'dim',
  held: 'yellow',
};

/** Characters of the first line of output; all of it follows at the end. */
const firstLineLength = 120;

/** State, duration, exit code, and the first line of output or the cause. */
export function progressLine(execution: ExecutionView, now: number, width: number): string {
  const { agentId, state, result, transitions } = execution;
  const first = transitions.at(0);
  const last = transitions.at(-1);
  const end = finalStates.has(state) && last !== undefined ? Date.parse(last.at) : now;
  const duration = first === undefined ? '' : formatDuration(Math.max(0, end - Date.parse(first.at)));
  const code = result?.exitCode === undefined ? '' : `exit ${result.exitCode}`;
  const columns = [agentId.padEnd(width), state.padEnd(15), duration.padEnd(8), code.padEnd(8)];
  return `${columns.join(' ')} ${firstLine(execution)}`;
}

function firstLine({ state, result, transitions }: ExecutionView): string {
  const failure = result?.failure?.message;
  if (failure !== undefined) return printable((failure.split('\n')[0] ?? '').slice(0, firstLineLength));
  const text = result?.stdout?.text || result?.stderr?.text;
  if (text) return printable((text.trimStart().split('\n')[0] ?? '').slice(0, firstLineLength));
  return state === 'succeeded' || state === 'running' ? '' : printable(transitions.at(-1)?.cause ?? '');
}
