import { resolve } from 'node:path';
import type { Command } from 'commander';
import { createLogger } from '../lib/logger.ts';
import { readCertificates, readPins } from './agent.ts';
import { parseLabels } from './agents.ts';
import type { CliContext } from './context.ts';
import { UsageError } from './failure.ts';
import { collect } from './options.ts';
import { listenForShutdown } from './shutdown.ts';

/** `viworks enroll`: gives this machine an identity, for `viworks agent` to run with. */

interface EnrollOptions {
  url?: string;
  token?: string;
  id?: string;
  label?: string[];
  dataDir: string;
  ca?: string;
  serverPin?: string[];
  json?: boolean;
}

export function enrollCommand(program: Command, context: CliContext): void {
  program
    .command('enroll')
    .summary('give this machine an identity')
    .description(
      'Enrols this machine: with a token at once, and without one it asks an operator and waits. Where it is enrolled already, it says as what.',
    )
    .option('--url <url>', 'agent listener of the control plane (VIWORKS_AGENT_URL)')
    .option('--token <token>', 'enrolment token (VIWORKS_ENROLLMENT_TOKEN)')
    .option('--id <agent-id>', "the identity to ask for (default: the host's name)")
    .option('--label <name=value>', 'label to enrol with; repeat for more', collect)
    .option('--data-dir <folder>', 'where identity and key lie', '.viworks/agent')
    .option('--ca <file>', 'PEM file with the certificates to believe instead of the public ones')
    .option('--server-pin <pin>', "the server's key, sha256/…; repeat for more (VIWORKS_SERVER_PIN)", collect)
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
  const url = options.url ?? settings.agentUrl;
  if (url === undefined) throw new UsageError('--url: is missing; for example http://127.0.0.1:8081');
  const shutdown = listenForShutdown(terminal);
  try {
    const [{ enrollMachine }, { fingerprintOf }] = await Promise.all([
      import('../agent/run.ts'),
      import('../agent/identity.ts'),
    ]);
    const identity = await enrollMachine({
      url,
      dataDir: resolve(options.dataDir),
      enrollmentToken: options.token ?? settings.enrollmentToken,
      agentId: options.id,
      labels: options.label === undefined ? undefined : parseLabels(options.label),
      tlsCa: options.ca === undefined ? undefined : readCertificates(options.ca),
      serverPins: readPins(options.serverPin ?? settings.serverPins),
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
  } finally {
    shutdown.dispose();
  }
}
