import { type Command, InvalidArgumentError } from 'commander';
import type { AppOutputs } from '../api/trpc/router.ts';
import { longestTrendDays } from '../health/types.ts';
import { formatDuration } from '../lib/duration.ts';
import { accessOf, type CliContext, type ClientOptions, clientOf, withClientOptions } from './context.ts';
import { exitCodes, reasonOf, UsageError, unreachable } from './failure.ts';
import { printable, type Style, type Terminal } from './terminal.ts';

/** `viworks health`: how the control plane is, and how the agents are. */

interface HealthOptions extends ClientOptions {
  site?: string;
  all?: boolean;
  trends?: boolean;
  days?: number;
}

export function healthCommand(program: Command, context: CliContext, exit: (code: number) => void): void {
  const command = program
    .command('health [agent]')
    .summary('ask how the control plane, an agent, a site or all agents are')
    .description(
      'Asks how the control plane is, or with an agent, --site or --all how those are. Exits 0 only if what is ' +
        'asked for is healthy; without any of them, only if all of the control plane works.',
    )
    .option('--site <site>', 'the agents of this site')
    .option('--all', 'all agents')
    .option('--trends', 'where the disks and the load of the agent go')
    .option(
      '--days <number>',
      `days of the past that trends look at, up to ${longestTrendDays} (default: 7)`,
      days,
    )
    .addHelpText(
      'after',
      `
Examples:
  viworks health                       the control plane, and all agents in a line
  viworks health web-1 --trends        an agent, and when its disks will be full
  viworks health --site berlin         a site, and its worst agents
  viworks health --all --json | jq .fleet.agents`,
    );
  withClientOptions(command).action(async (agentId: string | undefined, options: HealthOptions) => {
    const { site, all = false, trends = false } = options;
    if ([agentId, site, all || undefined].filter((each) => each !== undefined).length > 1)
      throw new UsageError('give one of an agent, --site and --all');
    if (trends && agentId === undefined) throw new UsageError('--trends needs an agent');
    if (options.days !== undefined && !trends) throw new UsageError('--days is for --trends');
    if (agentId !== undefined) return agentHealth(context, options, agentId, exit);
    if (site !== undefined || all) return fleetHealth(context, options, exit);
    return ownHealth(context, options, exit);
  });
}

async function agentHealth(
  context: CliContext,
  options: HealthOptions,
  agentId: string,
  exit: (code: number) => void,
): Promise<void> {
  const { terminal } = context;
  const client = clientOf(context, options);
  const report = await client.health.report.query({ agentId });
  const trends = options.trends
    ? await client.health.trends.query({ agentId, days: options.days ?? 7 })
    : undefined;
  exit(report.agent?.verdict === 'healthy' ? exitCodes.success : exitCodes.failure);
  if (options.json) return terminal.json(trends === undefined ? report : { ...report, trends });
  print(terminal, report.text, report.agent?.verdict);
  if (trends !== undefined) print(terminal, `trends     ${trends.text}`);
}

async function fleetHealth(
  context: CliContext,
  options: HealthOptions,
  exit: (code: number) => void,
): Promise<void> {
  const { site } = options;
  const of = site === undefined ? { all: true as const } : { site };
  const report = await clientOf(context, options).health.report.query(of);
  exit(report.fleet?.verdict === 'healthy' ? exitCodes.success : exitCodes.failure);
  if (options.json) return context.terminal.json(report);
  print(context.terminal, report.text, report.fleet?.verdict);
}

async function ownHealth(
  context: CliContext,
  options: HealthOptions,
  exit: (code: number) => void,
): Promise<void> {
  const { terminal } = context;
  const health = await healthOf(accessOf(context, options).url);
  exit(health.status === 'ok' ? exitCodes.success : exitCodes.failure);
  const fleet =
    health.status === 'ok'
      ? (await clientOf(context, options).health.report.query({ all: true })).fleet
      : undefined;
  if (options.json) return terminal.json({ ...health, fleet });
  terminal.line(`${health.status}, version ${health.version}, up ${formatDuration(health.uptimeMs)}`);
  for (const { name, status, detail } of health.components) {
    terminal.line(
      `  ${name.padEnd(12)} ${terminal.style(status === 'ok' ? 'green' : 'red', status)} ${detail}`.trimEnd(),
    );
  }
  const known = health.components.every(({ name, status }) => name !== 'database' || status === 'ok');
  const countsOf = (record: Parameters<typeof counts>[0]) => (known ? counts(record) : 'not known now');
  terminal.line(`agents      ${countsOf(health.agents)}`);
  if (fleet !== undefined)
    terminal.line(`fleet       ${terminal.style(styles[fleet.verdict], fleet.verdict)}: ${fleet.text}`);
  terminal.line(`executions  ${countsOf(health.executions)}`);
}

/** Milliseconds; the server itself waits two seconds for its database. */
const answerWithinMs = 10_000;

/**
 * Without its database the control plane believes no token, but it still says how it is itself to whoever asks.
 * @throws unavailable
 */
async function healthOf(url: string): Promise<Health> {
  const answer: unknown = await fetch(`${url.replace(/\/+$/, '')}/health`, {
    signal: AbortSignal.timeout(answerWithinMs),
  })
    .then((response) => response.json())
    .catch((cause) => {
      throw unreachable(reasonOf(cause), cause);
    });
  if (isHealth(answer)) return answer;
  throw unreachable('what answers there is no control plane');
}

type Health = AppOutputs['system']['health'];

const isHealth = (answer: unknown): answer is Health =>
  typeof answer === 'object' && answer !== null && 'components' in answer && Array.isArray(answer.components);

type Verdict = NonNullable<AppOutputs['health']['report']['fleet']>['verdict'];

const styles: Readonly<Record<Verdict, Style>> = {
  healthy: 'green',
  degraded: 'yellow',
  unknown: 'yellow',
  unhealthy: 'red',
};

/** The first line in the colour of the verdict. */
function print(terminal: Terminal, text: string, verdict?: Verdict): void {
  const [first = '', ...others] = text.split('\n').map(printable);
  terminal.line(verdict === undefined ? first : terminal.style(styles[verdict], first));
  for (const line of others) terminal.line(line);
}

function days(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !(value > 0 && value <= longestTrendDays))
    throw new InvalidArgumentError(`must be a number of days, at most ${longestTrendDays}`);
  return value;
}

function counts(record: Readonly<Record<string, number | undefined>>): string {
  const parts = Object.entries(record).filter(([, count]) => count !== undefined && count > 0);
  return parts.map(([name, count]) => `${count} ${name.replaceAll('_', ' ')}`).join(', ') || 'none';
}
