import type { ExecutionView } from '../api/schemas/executions.ts';
import { fieldsOf } from '../protocol/verb-fields.ts';
import { builtInCatalogue } from '../protocol/verbs.ts';
import { styles } from './progress.ts';
import { printable, type Terminal } from './terminal.ts';

/** What the agents answered: as it is from one agent, each line with the agent's name from several. */
export function printResults(
  terminal: Pick<Terminal, 'interactive' | 'line' | 'note'>,
  verb: string | undefined,
  executions: readonly ExecutionView[],
  shown: (executionId: string) => boolean = () => false,
): void {
  const width = Math.max(0, ...executions.map(({ agentId }) => agentId.length));
  for (const execution of executions) {
    const prefix = executions.length === 1 ? '' : `${execution.agentId.padEnd(width)} | `;
    for (const { text, toStderr } of outputsOf(verb, execution, shown(execution.executionId))) {
      const lines = text.replace(/\n$/, '').split('\n');
      for (const line of lines) {
        // A file or another program gets what was written; a person's terminal is not taken over by it.
        const shownLine = prefix + (terminal.interactive ? printable(line) : line);
        if (toStderr) terminal.note(shownLine);
        else terminal.line(shownLine);
      }
    }
  }
}

interface Output {
  text: string;
  toStderr: boolean;
}

type Stream = NonNullable<NonNullable<ExecutionView['result']>['stdout']>;

/** @param shown its streams were shown while it ran */
export function outputsOf(
  verb: string | undefined,
  { result, state, transitions }: ExecutionView,
  shown = false,
): Output[] {
  const outputs: Output[] = [];
  const add = (text: string | undefined, toStderr: boolean) => {
    if (text !== undefined && text !== '') outputs.push({ text, toStderr });
  };
  add(result?.stdout && (shown ? cutOff(result.stdout) : streamText(result.stdout)), shown);
  add(result?.stderr && (shown ? cutOff(result.stderr) : streamText(result.stderr)), true);
  // The output of a program is its streams; what else its result tells is in --json.
  if (result?.output !== undefined && result.stdout === undefined) {
    add(contentOf(verb, result.output) ?? JSON.stringify(result.output, null, 2), false);
  }
  if (state !== 'succeeded') {
    const reason = result?.failure?.message ?? transitions.at(-1)?.cause ?? '';
    add(`${state.replaceAll('_', ' ')}: ${reason}`, true);
  }
  return outputs;
}

function streamText(stream: Stream): string {
  const text = stream.text ?? Buffer.from(stream.base64 ?? '', 'base64').toString('latin1');
  return stream.truncated ? `${text}\n${cutOff(stream)}` : text;
}

const cutOff = ({ truncated, totalBytes }: Stream): string =>
  truncated ? `… cut off, ${totalBytes} bytes in all` : '';

/** Of a result that carries a file, a person wants to see the file. */
function contentOf(verb: string | undefined, output: Record<string, unknown>): string | undefined {
  const spec = builtInCatalogue.get(verb ?? '');
  const field = spec && fieldsOf(spec.result).find(({ name, type }) => name === 'data' && type === 'base64');
  if (field === undefined) return undefined;
  const data = output[field.jsonName];
  return typeof data === 'string' ? Buffer.from(data, 'base64').toString('utf8') : undefined;
}

export function summaryLine(
  terminal: Terminal,
  commandId: string,
  executions: readonly ExecutionView[],
): string {
  const counts = new Map<ExecutionView['state'], number>();
  for (const { state } of executions) counts.set(state, (counts.get(state) ?? 0) + 1);
  const parts = [...counts].map(([state, count]) =>
    terminal.style(styles[state] ?? 'cyan', `${count} ${state.replaceAll('_', ' ')}`),
  );
  return `${parts.join(', ') || 'no executions'} (command ${commandId})`;
}
