import type { Command } from 'commander';
import { type CliContext, withServerOptions } from './context.ts';
import type { DoctorOptions, Finding } from './doctor-checks.ts';
import { exitCodes } from './failure.ts';
import type { Style } from './terminal.ts';

/** `viworks doctor`: what is wrong with this set-up, and what to do about it. */

const colors: Record<Finding['status'], Style> = { ok: 'green', warn: 'yellow', fail: 'red' };

export function doctorCommand(program: Command, context: CliContext, exit: (code: number) => void): void {
  withServerOptions(
    program
      .command('doctor')
      .summary('say what is wrong with this set-up')
      .description('Checks this set-up and says how to mend it. Exits 1 if anything fails.'),
  )
    .option('--url <url>', 'address of the server (VIWORKS_URL)')
    .option('--token <token>', 'API token (VIWORKS_TOKEN)')
    .option('--json', 'print JSON for programs')
    .action(async (options: DoctorOptions) => {
      const { terminal } = context;
      const { examine } = await import('./doctor-checks.ts');
      const findings = await examine(context, options);
      exit(findings.some(({ status }) => status === 'fail') ? exitCodes.failure : exitCodes.success);
      if (options.json) return terminal.json(findings);
      for (const { check, status, detail } of findings) {
        terminal.line(`${terminal.style(colors[status], status.padEnd(4))}  ${check.padEnd(18)} ${detail}`);
      }
    });
}
