import { type Command, Option } from 'commander';
import type { AgentView } from '../api/schemas/agents.ts';
import { defined } from '../lib/defined.ts';
import { agentStatuses } from '../registry/types.ts';
import { watchAgents } from './agents-watch.ts';
import type { Client } from './client.ts';
import { type CliContext, type ClientOptions, clientOf, withClientOptions } from './context.ts';
import { UsageError } from './failure.ts';
import { collect } from './options.ts';
import { everyPage } from './pages.ts';
import { valueText } from './telemetry-units.ts';
import { printable, printTable, since } from './terminal.ts';

/** `viworks agents`: who there is, and taking an agent out of service. */

interface ListOptions extends ClientOptions {
  site?: string;
  status?: (typeof agentStatuses)[number];
  capability?: string;
  label?: string[];
  watch?: boolean;
}

export function agentsCommand(program: Command, context: CliContext): void {
  const agents = program
    .command('agents')
    .summary('list agents, look at one, take one out of service')
    .description('Lists agents, looks at one, or takes one out of service.')
    .addHelpText(
      'after',
      `
Examples:
  viworks agents
  viworks agents list --site berlin --status offline
  viworks agents --watch
  viworks agents get web-1
  viworks agents maintenance web-1 --reason "new disk"
  viworks agents resume web-1
  viworks agents revoke web-1 --reason "the machine was stolen"
  viworks agents release web-1`,
    );
  withClientOptions(
    agents
      .command('list', { isDefault: true })
      .description('List agents.')
      .option('--site <site>', 'only of this site')
      .addOption(new Option('--status <status>', 'only with this status').choices(agentStatuses))
      .option('--capability <name>', 'only those that can do this')
      .option('--label <name=value>', 'only with this label; repeat for more', collect)
      .option('--watch', 'a line for each, and for each change, until Ctrl-C'),
  ).action((options: ListOptions) => list(context, options));

  withClientOptions(
    agents.command('get <agent-id>').description('Show one agent and its latest telemetry.'),
  ).action(async (agentId: string, options: ClientOptions) => {
    const client = clientOf(context, options);
    const { agent, telemetry } = await client.agents.get.query({ agentId });
    if (options.json) return context.terminal.json({ agent, telemetry });
    for (const line of describe(agent)) context.terminal.line(line);
    const { agents } = await client.telemetry.latest.query({ agentId });
    const sample = agents[0]?.sample;
    if (sample === undefined) return;
    const { cpu, memory, disk, load } = sample.values;
    const figures = `cpu ${valueText('%', cpu)}, memory ${valueText('%', memory)}, disk ${valueText('%', disk)}`;
    const age = since(sample.at, Date.now());
    context.terminal.line(`telemetry     ${age}: ${figures}, load ${valueText('load', load)}`);
  });

  withClientOptions(
    agents
      .command('maintenance <agent-id>')
      .description('Take an agent out of service: it stays connected, and commands wait.')
      .option('--reason <text>', 'why, for the others'),
  ).action((agentId: string, options: ClientOptions & { reason?: string }) =>
    setMaintenance(context, options, agentId, true, options.reason ?? ''),
  );

  withClientOptions(
    agents
      .command('revoke <agent-id>')
      .description('Refuse its keys for good, end its session and cancel what waits for it.')
      .option('--reason <text>', 'why, for the others'),
  ).action((agentId: string, options: ClientOptions & { reason?: string }) =>
    change(context, options, (client) =>
      client.agents.revoke.mutate({ agentId, reason: options.reason ?? '' }),
    ),
  );

  withClientOptions(
    agents
      .command('release [agent-ids...]')
      .description('Let agents connect again that are held because of a copy. Remove the copy first.')
      .option('--all', 'all that are held, for example after the database was restored from a backup'),
  ).action((agentIds: string[], options: ClientOptions & { all?: boolean }) =>
    release(context, options, agentIds),
  );

  withClientOptions(
    agents
      .command('rotate-key <agent-id>')
      .description('Have the agent make itself a new key; at once where it is connected.'),
  ).action((agentId: string, options: ClientOptions) =>
    change(context, options, (client) => client.agents.rotateKey.mutate({ agentId })),
  );

  withClientOptions(
    agents.command('remove <agent-id>').description('Take a revoked agent out of the registry.'),
  ).action(async (agentId: string, options: ClientOptions) => {
    await clientOf(context, options).agents.remove.mutate({ agentId });
    if (options.json) context.terminal.json({});
    else context.terminal.line(`${agentId} is removed.`);
  });

  withClientOptions(
    agents.command('resume <agent-id>').description('Put an agent back into service.'),
  ).action((agentId: string, options: ClientOptions) => setMaintenance(context, options, agentId, false, ''));
}

async function list(context: CliContext, options: ListOptions): Promise<void> {
  const { terminal } = context;
  const { site, status, capability } = options;
  const labels = options.label && parseLabels(options.label);
  if (options.watch) {
    const selector = {
      ...(site !== undefined && { sites: [site] }),
      ...(status !== undefined && { statuses: [status] }),
      ...(capability !== undefined && { capabilities: [capability] }),
      ...(labels !== undefined && { labels }),
    };
    return watchAgents(context, options, selector);
  }
  const client = clientOf(context, options);
  const filter = defined({ site, status, capability, labels });
  const { pages } = await everyPage((page) => client.agents.list.query({ filter, ...page }));
  const agents = pages.flatMap((page) => page.agents);
  if (options.json) return terminal.json(agents);
  if (agents.length === 0) return terminal.line('No agents. Enrol one: viworks token enroll --site SITE');
  const rows = agents.map((agent) => [
    agent.agentId,
    agent.status,
    agent.site,
    agent.os,
    agent.connection?.transport ?? '-',
    lastSeen(agent, Date.now()),
  ]);
  printTable(terminal, ['AGENT', 'STATUS', 'SITE', 'SYSTEM', 'TRANSPORT', 'LAST SEEN'], rows);
}

/** The recorded time is of the last change of status; an agent that is online is heard of within its heartbeats. */
export function lastSeen(
  { status, lastSeenAt }: Pick<AgentView, 'status' | 'lastSeenAt'>,
  now: number,
): string {
  return status === 'online' ? 'now' : since(lastSeenAt, now);
}

/** @throws UsageError */
export function parseLabels(items: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    items.map((item) => {
      const equals = item.indexOf('=');
      if (equals < 1) throw new UsageError(`--label ${item}: write NAME=VALUE`);
      return [item.slice(0, equals), item.slice(equals + 1)];
    }),
  );
}

async function release(
  context: CliContext,
  options: ClientOptions & { all?: boolean },
  named: readonly string[],
): Promise<void> {
  const { terminal } = context;
  const client = clientOf(context, options);
  if (named.length > 0 === (options.all === true))
    throw new UsageError('release: name agents, or give --all');
  const ids = options.all ? await heldAgents(client) : named;
  const released: AgentView[] = [];
  for (const agentId of ids) {
    const { agent } = await client.agents.release.mutate({ agentId });
    released.push(agent);
    if (!options.json) terminal.line(`${agent.agentId} is now ${agent.status}.`);
  }
  if (options.json) terminal.json(released);
  else if (ids.length === 0) terminal.line('No agent is held.');
}

async function heldAgents(client: Client): Promise<string[]> {
  const filter = { status: 'held' } as const;
  const { pages } = await everyPage((page) => client.agents.list.query({ filter, ...page }));
  return pages.flatMap((page) => page.agents.map(({ agentId }) => agentId));
}

async function change(
  context: CliContext,
  options: ClientOptions,
  call: (client: Client) => Promise<{ agent: AgentView }>,
): Promise<void> {
  const { agent } = await call(clientOf(context, options));
  if (options.json) context.terminal.json(agent);
  else context.terminal.line(`${agent.agentId} is ${agent.status}.`);
}

async function setMaintenance(
  context: CliContext,
  options: ClientOptions,
  agentId: string,
  maintenance: boolean,
  reason: string,
): Promise<void> {
  const client = clientOf(context, options);
  const { agent } = await client.agents.setStatus.mutate({ agentId, maintenance, reason });
  if (options.json) context.terminal.json(agent);
  else context.terminal.line(`${agent.agentId} is now ${agent.status}.`);
}

function describe(agent: AgentView): string[] {
  const { connection } = agent;
  const labels = Object.entries(agent.labels).map(([name, value]) => `${name}=${value}`);
  const rows: [string, string][] = [
    ['agent', agent.agentId],
    ['status', agent.statusReason === undefined ? agent.status : `${agent.status} (${agent.statusReason})`],
    ['site', agent.site],
    ['labels', labels.join(', ') || '-'],
    ['capabilities', agent.capabilities.join(', ') || '-'],
    ['software', agent.software],
    ['host', agent.hostname],
    ['system', `${agent.os}, kernel ${agent.kernel}, ${agent.architecture}`],
    ['containers', agent.containerEngine || '-'],
    ['last seen', agent.status === 'online' ? 'now' : (agent.lastSeenAt ?? 'never')],
    [
      'connection',
      connection === undefined
        ? 'none'
        : `${connection.transport} from ${connection.remoteAddress}${connection.tls ? ' with TLS' : ''} since ${connection.connectedAt}`,
    ],
    ['key', agent.keyId?.replace(/(.{4})(?=.)/g, '$1-') ?? 'none'],
    ['enrolled', `${agent.createdAt} (incarnation ${agent.incarnation}, epoch ${agent.epoch})`],
  ];
  return rows.map(([name, value]) => `${name.padEnd(13)} ${printable(value)}`);
}
