import type { Command } from 'commander';
import { type CliContext, configOf, type ServerOptions, withServerOptions } from './context.ts';
import { operatorFile } from './data-dir.ts';

/** `viworks serve`: the control plane alone, for a machine that does nothing else. */
export function serveCommand(program: Command, context: CliContext): void {
  withServerOptions(
    program
      .command('serve')
      .summary('run the control plane')

      .description(
        'Runs the control plane until SIGINT or SIGTERM; it then drains and stops. SIGHUP has it read its configuration again, where it does not run in a terminal.',
      ),
  ).action(async (options: ServerOptions) => {
    const { terminal } = context;
    const config = configOf(context, options);
    // A terminal that closes says SIGHUP too, and then nobody is there to stop it any more.
    const reload = process.stdin.isTTY ? undefined : () => configOf(context, options);
    const { runControlPlane } = await import('./control-plane.ts');
    await runControlPlane(
      config,
      terminal,
      async (app) => {
        terminal.note(`ViWorkS is ready: applications at ${app.apiUrl}, agents at ${app.agentUrl}`);
        const serverPin = await app.serverPin();
        if (serverPin !== undefined) terminal.note(`agents know it by --server-pin ${serverPin}`);
        terminal.note(`operator token in ${operatorFile(config.server.data_dir)}`);
        return async () => {};
      },
      reload,
    );
  });
}
