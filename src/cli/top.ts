import { type Command, Option } from 'commander';
import type { AgentView } from '../api/schemas/agents.ts';
import type { AlertView } from '../api/schemas/alerts.ts';
import type { LiveSampleView } from '../api/schemas/live.ts';
import type { AppInputs } from '../api/trpc/router.ts';
import { type CliContext, type ClientOptions, withClientOptions } from './context.ts';
import { createKnown, type LiveRun, startLive } from './live.ts';
import { collect } from './options.ts';
import { selectorOf } from './target.ts';
import { printTable, type Style, type Terminal, table } from './terminal.ts';
import {
  type SortKey,
  sortKeys,
  sortRows,
  type TopRow,
  topCells,
  topHeader,
  topRows,
  topSummary,
} from './top-table.ts';

/** `viworks top`: what all agents do, as it happens. */

interface TopOptions extends ClientOptions {
  agent?: string[];
  site?: string;
  select?: string[];
  sort: SortKey;
  once?: boolean;
}

/** Milliseconds between two drawings. */
const drawEveryMs = 500;
/** Milliseconds after which it is drawn although nothing is new, because times grow. */
const redrawMs = 5000;

export function topCommand(program: Command, context: CliContext): void {
  withClientOptions(
    program
      .command('top')
      .summary('see what all agents do, as it happens')
      .description('Shows processor, memory, disk, load, network and alerts of all agents, as it happens.')
      .option('--agent <id>', 'only this agent; repeat for more', collect)
      .option('--site <site>', 'only agents of the site')
      .option(
        '--select <name=value>',
        'only agents where all of these hold: site=, capability=, os=, status= or label.NAME=',
        collect,
      )
      .addOption(new Option('--sort <key>', 'what is most first').choices(sortKeys).default('cpu'))
      .option('--once', 'print one table and end, as without a terminal')
      .addHelpText(
        'after',
        `
Keys: q ends; c, m, d, l, i, o, a, s and n sort by cpu, memory, disk, load, bytes in, bytes out, alerts, status, name.

Examples:
  viworks top
  viworks top --site berlin --sort disk
  viworks top --select status=offline --once
  viworks top --json | jq 'select(.event == "telemetry")'`,
      ),
  ).action((options: TopOptions) => top(context, options));
}

async function top(context: CliContext, options: TopOptions): Promise<void> {
  const { terminal } = context;
  const { agent, site, select } = options;
  const chosen = select === undefined ? {} : selectorOf(select);
  const selector = {
    ...chosen,
    ...(agent !== undefined && { agents: [...new Set(agent)] }),
    ...(site !== undefined && { sites: [site] }),
  };
  const once = options.once === true || (!terminal.interactive && options.json !== true);
  const screen = once || options.json ? undefined : createScreen(terminal, options.sort);
  let run: LiveRun | undefined;
  try {
    run = startLive(context, options, screen && ((connected) => screen.connected(connected)));
    const { end } = run;
    screen?.open(end);
    const state = followAll(run, selector, (event, data) => {
      if (options.json && !once) terminal.json({ event, ...data });
      screen?.changed(state);
      if (once && state.complete()) end();
    });
    await run.over;
    if (!once || !state.complete()) return;
    const rows = sortRows(state.rows(), options.sort);
    if (options.json) return terminal.json(rows);
    printTable(
      terminal,
      topHeader,
      rows.map((row) => topCells(row, Date.now())),
    );
    terminal.note(topSummary(rows));
  } finally {
    run?.end();
    screen?.close();
  }
}

interface State {
  rows(): TopRow[];
  /** Everything there is was told once. */
  complete(): boolean;
}

type Selector = Extract<AppInputs['live']['agents'], object>['selector'];

function followAll(
  { client, follow }: LiveRun,
  selector: Selector,
  told: (event: 'agents' | 'telemetry' | 'alerts', data: object) => void,
): State {
  const never = () => false;
  const agents = createKnown<AgentView>(({ agentId }) => agentId, never);
  const samples = createKnown<LiveSampleView>(({ agentId }) => agentId, never);
  const alerts = createKnown<AlertView>(({ alertId }) => alertId, never);
  const state: State = {
    rows: () => topRows(agents.items.values(), samples.items, alerts.items.values()),
    complete: () => agents.complete && samples.complete && alerts.complete,
  };
  type Agents = { agents: AgentView[]; gone: string[] };
  follow<Agents>(
    (resume, handlers) => client.live.agents.subscribe({ selector, ...resume }, handlers),
    (data) => {
      agents.take({ ...data, items: data.agents });
      told('agents', data);
    },
  );
  type Samples = { samples: LiveSampleView[]; gone: string[] };
  follow<Samples>(
    (resume, handlers) =>
      client.live.telemetry.subscribe({ selector, intervalMs: drawEveryMs, ...resume }, handlers),
    (data) => {
      samples.take({ ...data, items: data.samples });
      told('telemetry', data);
    },
  );
  type Alerts = { alerts: AlertView[]; gone: string[] };
  follow<Alerts>(
    (resume, handlers) => client.live.alerts.subscribe({ selector, ...resume }, handlers),
    (data) => {
      alerts.take({ ...data, items: data.alerts });
      // What is resolved is told and no more.
      alerts.take({
        items: [],
        gone: data.alerts.filter(({ state: now }) => now === 'resolved').map(({ alertId }) => alertId),
      });
      told('alerts', data);
    },
  );
  return state;
}

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

/** The alternate screen of a terminal; what was there before comes back when it is closed. */
function createScreen(terminal: Terminal, sortBy: SortKey) {
  const { stdin, stdout } = process;
  let sort = sortBy;
  let state: State | undefined;
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
    dirty = false;
    drawnAt = now;
    // A terminal that does not know its size says 0.
    const height = Math.max(4, stdout.rows || 24);
    const rows = sortRows(state?.rows() ?? [], sort);
    const shown = rows.slice(0, height - 3);
    const [header = '', ...lines] = table(
      topHeader,
      shown.map((row) => topCells(row, now)),
    );
    const hint = connected ? `by ${sort}; q ends` : 'the connection broke; connecting again …';
    const cut = (text: string) => text.slice(0, (terminal.columns || 100) - 1);
    const hidden = rows.length - shown.length;
    const text = [
      terminal.style(connected ? 'bold' : 'yellow', cut(`${topSummary(rows)}; ${hint}`)),
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
    open(end: () => void) {
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
        stdin.on('data', onKey).resume();
      }
      stdout.on('resize', redraw);
      timer = setInterval(draw, drawEveryMs);
      draw();
    },
    changed(now: State) {
      state = now;
      dirty = true;
    },
    connected(now: boolean) {
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
        stdin.removeListener('data', onKey).pause();
      }
      terminal.write('\u001b[?25h\u001b[?1049l');
    },
  };
}
