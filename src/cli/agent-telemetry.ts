import { resolve } from 'node:path';
import type { Command } from 'commander';
import { maximumServices, servicePattern } from '../agent/telemetry/service-names.ts';
import { defaultSpoolBounds } from '../agent/telemetry/spool.ts';
import { parseDuration } from '../lib/duration.ts';
import type { CliContext } from './context.ts';
import { UsageError } from './failure.ts';
import { collect } from './options.ts';

/** What `viworks agent` measures besides the machine itself, and how much of it waits for the control plane. */

export interface AgentTelemetryOptions {
  service?: string[];
  metricsDir?: string;
  bufferSize?: string;
  bufferAge?: string;
}

export const withAgentTelemetryOptions = (command: Command): Command =>
  command
    .option(
      '--service <name>',
      'service of systemd whose state is told; repeat for more (VIWORKS_AGENT_SERVICES)',
      collect,
    )
    .option(
      '--metrics-dir <folder>',
      'folder with *.metrics files of lines "name value" (VIWORKS_AGENT_METRICS_DIR; default: metrics in the data folder)',
    )
    .option(
      '--buffer-size <megabytes>',
      'telemetry that waits on the disk, at most (VIWORKS_AGENT_BUFFER_SIZE; default: 32)',
    )
    .option(
      '--buffer-age <duration>',
      'how long telemetry waits on the disk, for example 12h (VIWORKS_AGENT_BUFFER_AGE; default: 7d)',
    );

/** For agent/run.ts. */
export function agentTelemetryOf({ settings }: Pick<CliContext, 'settings'>, options: AgentTelemetryOptions) {
  const metricsDir = options.metricsDir ?? settings.agentMetricsDir;
  return {
    services: servicesOf(options.service, settings.agentServices),
    metricsDir: metricsDir === undefined ? undefined : resolve(metricsDir),
    spoolBounds: {
      maximumBytes: boundOf(
        ['--buffer-size', options.bufferSize],
        ['VIWORKS_AGENT_BUFFER_SIZE', settings.agentBufferSize],
        defaultSpoolBounds.maximumBytes,
        (text) => (/^\d+$/.test(text) ? Number(text) * megabyte : undefined),
        {
          least: megabyte,
          most: 65_536 * megabyte,
          words: 'must be a whole number of megabytes from 1 to 65536',
        },
      ),
      maximumAgeMs: boundOf(
        ['--buffer-age', options.bufferAge],
        ['VIWORKS_AGENT_BUFFER_AGE', settings.agentBufferAge],
        defaultSpoolBounds.maximumAgeMs,
        parseDuration,
        {
          least: 60_000,
          most: 366 * 86_400_000,
          words: 'must be a duration from 1m to 366d, for example 12h',
        },
      ),
    },
  };
}

const megabyte = 1024 * 1024;

function servicesOf(flags: string[] | undefined, settings: readonly string[]): string[] {
  const source = flags === undefined ? 'VIWORKS_AGENT_SERVICES' : '--service';
  const names = [...new Set(flags ?? settings)];
  const wrong = names.find((name) => !servicePattern.test(name));
  if (wrong !== undefined) throw new UsageError(`${source}: ${wrong} is no name of a service`);
  if (names.length > maximumServices) throw new UsageError(`${source}: must be at most ${maximumServices}`);
  return names;
}

type Named = readonly [name: string, text: string | undefined];

/** The first of both that is given. */
function boundOf(
  flag: Named,
  setting: Named,
  otherwise: number,
  parse: (text: string) => number | undefined,
  { least, most, words }: { least: number; most: number; words: string },
): number {
  const [name, text] = flag[1] === undefined ? setting : flag;
  if (text === undefined) return otherwise;
  const value = parse(text);
  if (value === undefined || value < least || value > most) throw new UsageError(`${name}: ${words}`);
  return value;
}
