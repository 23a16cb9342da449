import type { Command } from 'commander';
import { type CliContext, configOf, type ServerOptions, withServerOptions } from './context.ts';

/** `viworks migrate`: brings the schema up to date without serving. */
export function migrateCommand(program: Command, context: CliContext): void {
  withServerOptions(
    program
      .command('migrate')
      .summary('bring the database schema up to date')
      .description('Brings the database schema up to date. `serve` and `start` do this too.')
      .option('--json', 'print JSON for programs'),
  ).action(async (options: ServerOptions & { json?: boolean }) => {
    const config = configOf(context, options, { 'logging.level': 'warn', 'logging.format': 'text' });
    const { migrateDatabase } = await import('./migration.ts');
    await migrateDatabase(config);
    if (options.json) context.terminal.json({ migrated: true });
    else context.terminal.line('The schema is up to date.');
  });
}
