import type { AgentView } from '../api/schemas/agents.ts';
import { type Style, type Terminal, table } from './terminal.ts';
import { type SortKey, sortRows, type TopRow, topCells, topHeader, topSummary } from './top-table.ts';

/** Milliseconds between two drawings. */
export const drawEveryMs = 500;
/** Milliseconds after which it is drawn although nothing is new, because times grow. */
const redrawMs = 5000;

const keys: Readonly<Record<string, SortKey>> = {
  c: 'cpu',
  m: 'memory',
  d: 'disk',
  l: 'load',
  i: 'received',
  o: 'sent',
  a: 'alerts',
  s: 'status',
  n: 'agent',
};

const statusStyle: Partial<Record<AgentView['status'], Style>> = {
  offline: 'red',
  degraded: 'yellow',
  held: 'red',
  maintenance: 'yellow',
  revoked: 'dim',
};

export interface Screen {
  /** @param end is called for the keys that end it */
  open(end: () => void): void;
  /** There is something new to draw. @param complete what there is was told once */
  changed(rows: () => TopRow[], complete: boolean): void;
  connected(now: boolean): void;
  close(): void;
}

/** The keyboard and the size of a terminal, as a process has them. */
export interface Keyboard {
  stdin: Pick<NodeJS.ReadStream, 'isTTY' | 'setRawMode' | 'resume' | 'pause'> & Listens<'data', Buffer>;
  stdout: Pick<NodeJS.WriteStream, 'rows' | 'writableNeedDrain'> & Listens<'resize', void>;
}

interface Listens<Name, Data> {
  on(event: Name, listener: (data: Data) => void): unknown;
  removeListener(event: Name, listener: (data: Data) => void): unknown;
}

/** The alternate screen of a terminal; what was there before comes back when it is closed. */
export function createScreen(
  terminal: Pick<Terminal, 'write' | 'style' | 'columns'>,
  { stdin, stdout }: Keyboard,
  sortBy: SortKey,
): Screen {
  let sort = sortBy;
  let rowsNow: () => TopRow[] = () => [];
  let complete = false;
  let dirty = true;
  let drawnAt = 0;
  let connected = true;
  let isOpen = false;
  let timer: NodeJS.Timeout | undefined;
  let onKey: (data: Buffer) => void = () => {};
  const redraw = () => {
    dirty = true;
  };

  function draw(): void {
    const now = Date.now();
    if (!dirty && now - drawnAt < redrawMs) return;
    // A terminal that is slow gets fewer drawings.
    if (stdout.writableNeedDrain) return;
    dirty = false;
    drawnAt = now;
    // A terminal that does not know its size says 0.
    const height = Math.max(4, stdout.rows || 24);
    const rows = sortRows(rowsNow(), sort);
    const shown = rows.slice(0, height - 3);
    const [header = '', ...lines] = table(
      topHeader,
      shown.map((row) => topCells(row, now)),
    );
    const hint = connected ? `by ${sort}; q ends` : 'the connection broke; connecting again …';
    const cut = (text: string) => text.slice(0, (terminal.columns || 100) - 1);
    const hidden = rows.length - shown.length;
    // Before all was told, none is not known to be none.
    const summary = complete || rows.length > 0 ? topSummary(rows) : 'asking the server …';
    const text = [
      terminal.style(connected ? 'bold' : 'yellow', cut(`${summary}; ${hint}`)),
      terminal.style('dim', cut(header)),
      ...lines.map((line, n) => {
        const row = shown[n];
        const style = row && (statusStyle[row.status] ?? (row.alerts > 0 ? 'red' : undefined));
        return style === undefined ? cut(line) : terminal.style(style, cut(line));
      }),
      ...(hidden > 0 ? [terminal.style('dim', cut(`… and ${hidden} more`))] : []),
    ];
    terminal.write(`\u001b[H${text.map((line) => `${line}\u001b[K`).join('\r\n')}\u001b[J`);
  }

  return {
    open(end) {
      isOpen = true;
      terminal.write('\u001b[?1049h\u001b[?25l');
      onKey = (data) => {
        const key = data.toString('utf8');
        if (key === 'q' || key === '\u0003') return end();
        sort = keys[key] ?? sort;
        dirty = true;
        draw();
      };
      if (stdin.isTTY) {
        stdin.setRawMode(true);
        stdin.on('data', onKey);
        stdin.resume();
      }
      stdout.on('resize', redraw);
      timer = setInterval(draw, drawEveryMs);
      draw();
    },
    changed(rows, all) {
      rowsNow = rows;
      complete = all;
      dirty = true;
    },
    connected(now) {
      connected = now;
      dirty = true;
    },
    close() {
      if (!isOpen) return;
      isOpen = false;
      clearInterval(timer);
      stdout.removeListener('resize', redraw);
      if (stdin.isTTY) {
        stdin.setRawMode(false);
        stdin.removeListener('data', onKey);
        stdin.pause();
      }
      terminal.write('\u001b[?25h\u001b[?1049l');
    },
  };
}
