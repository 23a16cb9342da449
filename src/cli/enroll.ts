import type { Command } from 'commander';
import { createLogger } from '../lib/logger.ts';
import { type EnrolmentOptions, enrolmentOf, withEnrolmentOptions } from './agent-options.ts';
import type { CliContext } from './context.ts';
import { listenForShutdown } from './shutdown.ts';

/** `viworks enroll`: gives this machine an identity, for `viworks agent` to run with. */

interface EnrollOptions extends EnrolmentOptions {
  json?: boolean;
}

export function enrollCommand(program: Command, context: CliContext): void {
  withEnrolmentOptions(program.command('enroll'), 'identity and key')
    .summary('give this machine an identity')
    .description(
      'Enrols this machine: with a token at once, and without one it asks an operator and waits. Where it is enrolled already, it says as what.',
    )
    .option('--json', 'print JSON for programs')
    .addHelpText(
      'after',
      `
Examples:
  viworks enroll --url https://control.example:8081 --id web-1            # asks an operator
  viworks enroll --url https://control.example:8081 --id web-1 --token TOKEN
  viworks enrollments                                                     # on the side of the operator`,
    )
    .action((options: EnrollOptions) => enroll(context, options));
}

async function enroll({ settings, terminal }: CliContext, options: EnrollOptions): Promise<void> {
  const enrolment = enrolmentOf({ settings }, options);
  const shutdown = listenForShutdown(terminal);
  try {
    const [{ enrollMachine }, { enrolled, fingerprintOf }] = await Promise.all([
      import('../agent/run.ts'),
      import('../agent/identity.ts'),
    ]);
    const before = await enrolled(enrolment.dataDir);
    const identity = await enrollMachine({
      ...enrolment,
      log: createLogger({ level: 'warn', format: 'text' }),
      signal: shutdown.signal,
      onPending(fingerprint) {
        terminal.note(`Waiting for an operator. The fingerprint of this machine's key is ${fingerprint}`);
        terminal.note('  on the control plane: viworks enrollments');
      },
    });
    const { agentId, incarnation, site, key } = identity;
    if (options.json) terminal.json({ agentId, incarnation, site, keyId: key.keyId });
    else {
      terminal.line(`Enrolled as ${agentId} at site ${site} (incarnation ${incarnation}).`);
      terminal.line(`Key ${fingerprintOf(key.keyId)}`);
    }
    if (before && (enrolment.enrollmentToken !== undefined || (options.id ?? agentId) !== agentId))
      terminal.note(
        `That is what ${enrolment.dataDir} holds; to enrol anew, give an empty folder (--data-dir).`,
      );
  } finally {
    shutdown.dispose();
  }
}
