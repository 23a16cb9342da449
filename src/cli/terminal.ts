import { styleText } from 'node:util';

/** What a subcommand writes to. stdout carries what was asked for, stderr what is said about it. */
export interface Terminal {
  /** One line on stdout. */
  line(text?: string): void;
  /** One line of JSON on stdout. */
  json(value: unknown): void;
  /** One line on stderr. */
  note(text: string): void;
  /** Text on stdout as it is. */
  write(text: string): void;
  /** Bytes on stdout as they are. */
  bytes(data: Uint8Array): void;
  style(format: Style, text: string): string;
  /** stdout is a terminal that a person looks at. */
  readonly interactive: boolean;
  readonly columns: number;
}

export type Style = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan';

export function createTerminal(color: boolean): Terminal {
  const { stdout, stderr } = process;
  const interactive = stdout.isTTY === true;
  // A reader that has seen enough, such as `head`, closes the pipe; that is no failure.
  stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    process.exit(0);
  });
  return {
    line: (text = '') => void stdout.write(`${text}\n`),
    json: (value) => void stdout.write(`${JSON.stringify(value)}\n`),
    note: (text) => void stderr.write(`${text}\n`),
    write: (text) => void stdout.write(text),
    bytes: (data) => void stdout.write(data),
    style: (format, text) =>
      color && interactive ? styleText(format, text, { validateStream: false }) : text,
    interactive,
    get columns() {
      return stdout.columns ?? 100;
    },
  };
}

/** Columns as wide as their widest cell; the last one is not padded. Cells may be text from elsewhere. */
export function table(header: readonly string[], cells: readonly (readonly string[])[]): string[] {
  const rows = cells.map((row) => row.map(inLine));
  const widths = header.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i]?.length ?? 0)));
  return [header, ...rows].map((row) =>
    row
      .map((cell, i) => (i === row.length - 1 ? cell : cell.padEnd(widths[i] ?? 0)))
      .join('  ')
      .trimEnd(),
  );
}

export function printTable(
  terminal: Pick<Terminal, 'line'>,
  header: readonly string[],
  rows: readonly (readonly string[])[],
): void {
  for (const line of table(header, rows)) terminal.line(line);
}

/** Text from elsewhere may carry control characters that would take over the terminal; they become visible. */
export function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are the characters to replace
  return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, (c) =>
    c === '\r' ? '' : `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`,
  );
}

/**
 * A name from elsewhere, as a part of a line: it makes none of its own that could be taken for another's, and does not
 * turn the direction of what follows.
 */
export const inLine = (text: string): string =>
  printable(text).replace(/[\t\n\u2028-\u202e\u2066-\u2069]/g, (c) => {
    const code = c.charCodeAt(0).toString(16);
    return code.length < 3 ? `\\x${code.padStart(2, '0')}` : `\\u${code}`;
  });

/** How long ago, for a table. */
export function since(iso: string | undefined, now: number): string {
  if (iso === undefined) return 'never';
  const seconds = Math.max(0, Math.round((now - Date.parse(iso)) / 1000));
  if (seconds < 60) return `${seconds}s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)}h ago`;
  return `${Math.floor(seconds / 86_400)}d ago`;
}
