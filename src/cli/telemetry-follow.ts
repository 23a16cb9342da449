import type { LiveSampleView } from '../api/schemas/live.ts';
import type { CliContext, ClientOptions } from './context.ts';
import { startLive } from './live.ts';
import { valueText } from './telemetry-units.ts';

/** Prints each sample of agents as it comes, until Ctrl-C: a line for each, or JSON. */
export async function followTelemetry(
  context: CliContext,
  options: ClientOptions,
  agents: readonly string[],
): Promise<void> {
  const { terminal } = context;
  const run = startLive(context, options);
  const width = Math.max(...agents.map((agentId) => agentId.length));
  /** What was printed last of each agent: around a break a sample may come twice. */
  const printed = new Map<string, string>();
  type Samples = { samples: LiveSampleView[]; gone: string[]; skipped: number };
  run.follow<Samples>(
    (resume, handlers) =>
      run.client.live.telemetry.subscribe(
        { selector: { agents: [...agents] }, full: options.json === true, ...resume },
        handlers,
      ),
    ({ samples, gone, skipped }) => {
      for (const sample of samples) {
        const name = `${sample.at} ${sample.number}`;
        if (printed.get(sample.agentId) === name) continue;
        printed.set(sample.agentId, name);
        if (options.json) terminal.json(sample);
        else terminal.line(sampleLine(sample, width));
      }
      if (skipped > 0)
        terminal.note(`${skipped} older ${skipped === 1 ? 'sample was' : 'samples were'} left out`);
      for (const agentId of gone) terminal.note(`${agentId} is gone`);
    },
  );
  await run.over;
}

/** For example `2026-01-31T08:00:00.000Z  web-1  cpu 12.0 %  memory 40.2 %  disk 81.0 %  load 0.52  in 1.2 KiB/s  out 900 B/s`. */
export function sampleLine(sample: LiveSampleView, width = 0): string {
  const { agentId, at, cpu, memory, disk, load, received, sent, late, skewed } = sample;
  const parts = [
    at,
    agentId.padEnd(width),
    `cpu ${valueText('%', cpu)}`,
    `memory ${valueText('%', memory)}`,
    `disk ${valueText('%', disk)}`,
    `load ${valueText('load', load)}`,
    `in ${valueText('B/s', received)}`,
    `out ${valueText('B/s', sent)}`,
    late ? 'late' : '',
    skewed ? 'skewed' : '',
  ];
  return parts.filter(Boolean).join('  ');
}
