import { type Command, Option } from 'commander';
import type { AgentView } from '../api/schemas/agents.ts';
import type { AlertView } from '../api/schemas/alerts.ts';
import type { LiveSampleView } from '../api/schemas/live.ts';
import type { AppInputs } from '../api/trpc/router.ts';
import { type CliContext, type ClientOptions, withClientOptions } from './context.ts';
import { createKnown, type LiveRun, startLive } from './live.ts';
import { collect } from './options.ts';
import { selectorOf } from './target.ts';
import { printTable } from './terminal.ts';
import { createScreen, drawEveryMs } from './top-screen.ts';
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
  const screen = once || options.json ? undefined : createScreen(terminal, process, options.sort);
  let run: LiveRun | undefined;
  try {
    run = startLive(context, options, screen && ((connected) => screen.connected(connected)));
    const { end } = run;
    screen?.open(end);
    const state = followAll(run, selector, (event, data) => {
      if (options.json && !once) terminal.json({ event, ...data });
      screen?.changed(state.rows, state.complete());
      if (once && state.complete()) end();
    });
    await run.over;
    if (!once || !state.complete()) return;
    const rows = sortRows(state.rows(), options.sort);
    if (options.json) return terminal.json(rows);
    if (rows.length === 0)
      return terminal.line(Object.keys(selector).length === 0 ? 'No agents.' : 'No agent matches.');
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
