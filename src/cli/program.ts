import { Command, CommanderError } from 'commander';
import { processEnvironment } from '../config/environment.ts';
import { version } from '../lib/version.ts';
import { agentCommand } from './agent.ts';
import { agentsCommand } from './agents.ts';
import { alertsCommand } from './alerts.ts';
import { auditCommand } from './audit.ts';
import { certsCommand } from './certs.ts';
import { commandsCommand } from './commands.ts';
import { createContext } from './context.ts';
import { doctorCommand } from './doctor.ts';
import { enrollCommand } from './enroll.ts';
import { enrollmentsCommand } from './enrollments.ts';
import { exitCodes, failureOf } from './failure.ts';
import { healthCommand } from './health.ts';
import { jwtKeysCommand } from './jwt-keys.ts';
import { keysCommand } from './keys.ts';
import { migrateCommand } from './migrate.ts';
import { rolloutsCommand } from './rollouts.ts';
import { runCommand } from './run.ts';
import { schedulesCommand } from './schedules.ts';
import { serveCommand } from './serve.ts';
import { startCommand } from './start.ts';
import { telemetryCommand } from './telemetry.ts';
import { templatesCommand } from './templates.ts';
import { tokenCommand } from './token.ts';
import { verbsCommand } from './verbs.ts';

/**
 * The command line: one file for each subcommand, and one place where a failure becomes a line and an exit code.
 * What only the server side needs is loaded by the subcommands that need it, which halves the time of the others.
 * Resolves with the exit code.
 */
export async function runCli(argv: readonly string[]): Promise<number> {
  const context = createContext(processEnvironment());
  let code: number = exitCodes.success;
  const exit = (value: number) => {
    code = value;
  };
  const program = new Command('viworks')
    .description('Delivers typed commands to agents on many machines, durably.')
    .version(version)
    .option('--debug', 'show the cause of an error (VIWORKS_DEBUG)')
    .showSuggestionAfterError()
    .showHelpAfterError('Add --help to see how it is used.')
    .configureHelp({ showGlobalOptions: true })
    .exitOverride();
  program.commandsGroup('Run it:');
  startCommand(program, context);
  serveCommand(program, context);
  agentCommand(program, context);
  enrollCommand(program, context);
  migrateCommand(program, context);
  doctorCommand(program, context, exit);
  program.commandsGroup('Use it:');
  runCommand(program, context, exit);
  agentsCommand(program, context);
  commandsCommand(program, context, exit);
  rolloutsCommand(program, context);
  templatesCommand(program, context);
  schedulesCommand(program, context, exit);
  telemetryCommand(program, context);
  alertsCommand(program, context, exit);
  verbsCommand(program, context);
  tokenCommand(program, context);
  auditCommand(program, context, exit);
  jwtKeysCommand(program, context);
  enrollmentsCommand(program, context);
  keysCommand(program, context);
  certsCommand(program, context);
  healthCommand(program, context, exit);
  program.addHelpText(
    'after',
    `
Examples:
  npm start                                   everything on this machine
  viworks run system.info --all               a command on every agent
  viworks run exec --agent web-1 -- uptime    a program on one`,
  );

  try {
    await program.parseAsync([...argv]);
    return code;
  } catch (error) {
    // Help and version end by an exception as well; commander has printed what there was to print.
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.success : exitCodes.usage;
    const failure = failureOf(error);
    const { terminal, settings } = context;
    terminal.note(`error: ${failure.message}`);
    if (failure.hint !== undefined) terminal.note(`  hint: ${failure.hint}`);
    if (settings.debug || program.opts().debug === true) console.error(error);
    return failure.exitCode;
  }
}
