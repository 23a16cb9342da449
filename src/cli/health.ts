import type { Command } from 'commander';
import { formatDuration } from '../lib/duration.ts';
import { type CliContext, type ClientOptions, clientOf, withClientOptions } from './context.ts';
import { exitCodes } from './failure.ts';

/** `viworks health`: how the control plane is, from its own report. */
export function healthCommand(program: Command, context: CliContext, exit: (code: number) => void): void {
  const command = program
    .command('health')
    .summary('ask the control plane how it is')
    .description('Asks the control plane how it is. Exits 0 only if all of it works.');
  withClientOptions(command).action(async (options: ClientOptions) => {
    const { terminal } = context;
    const health = await clientOf(context, options).system.health.query();
    exit(health.status === 'ok' ? exitCodes.success : exitCodes.failure);
    if (options.json) return terminal.json(health);
    terminal.line(`${health.status}, version ${health.version}, up ${formatDuration(health.uptimeMs)}`);
    for (const { name, status, detail } of health.components) {
      terminal.line(
        `  ${name.padEnd(12)} ${terminal.style(status === 'ok' ? 'green' : 'red', status)} ${detail}`.trimEnd(),
      );
    }
    terminal.line(`agents      ${counts(health.agents)}`);
    terminal.line(`executions  ${counts(health.executions)}`);
  });
}

function counts(record: Readonly<Record<string, number | undefined>>): string {
  const parts = Object.entries(record).filter(([, count]) => count !== undefined && count > 0);
  return parts.map(([name, count]) => `${count} ${name.replaceAll('_', ' ')}`).join(', ') || 'none';
}
