import { resolve } from 'node:path';
import { type Command, Option } from 'commander';
import type { SealingChoice } from '../agent/handshake.ts';
import type { ReferenceAgent } from '../agent/run.ts';
import { createLogger } from '../lib/logger.ts';
import { type EnrolmentOptions, enrolmentOf, withEnrolmentOptions } from './agent-options.ts';
import {
  type AgentTelemetryOptions,
  agentTelemetryOf,
  withAgentTelemetryOptions,
} from './agent-telemetry.ts';
import type { CliContext } from './context.ts';
import { UsageError } from './failure.ts';
import type { AgentMessage } from './local-agent.ts';
import { collect } from './options.ts';
import { aborted, listenForShutdown } from './shutdown.ts';

/** `viworks agent`: the reference agent on this machine. */

interface AgentOptions extends EnrolmentOptions, AgentTelemetryOptions {
  plugin?: string[];
  sealing?: SealingChoice;
  logLevel: string;
  logFormat: 'json' | 'text';
}

const sealingChoices: readonly SealingChoice[] = ['off', 'on', 'required'];
const levels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'];
/** Milliseconds that work under way is given at a stop. */
const graceMs = 3000;

export function agentCommand(program: Command, context: CliContext): void {
  withAgentTelemetryOptions(
    withEnrolmentOptions(program.command('agent'), 'identity, key, ledger and waiting telemetry'),
  )
    .summary('run an agent on this machine')
    .description(
      'Runs an agent on this machine until SIGINT or SIGTERM. It enrols at its first start: with a token at once, and without one it asks an operator and waits.',
    )
    .option(
      '--plugin <file>',
      'module that runs further verbs; repeat for more (VIWORKS_AGENT_PLUGINS)',
      collect,
    )
    .addOption(
      new Option(
        '--sealing <mode>',
        'encrypt inside of TLS: off, on (where the server does), or required (VIWORKS_AGENT_SEALING)',
      ).choices([...sealingChoices]),
    )
    .addOption(new Option('--log-level <level>', 'how much to say').choices(levels).default('info'))
    .addOption(new Option('--log-format <format>', 'json or text').choices(['json', 'text']).default('text'))
    .addHelpText(
      'after',
      `
Examples:
  viworks token enroll --site berlin                    # on the side of the control plane
  viworks agent --url https://control.example:8081 --token TOKEN --id web-1`,
    )
    .action((options: AgentOptions) => runAgent(context, options));
}

async function runAgent({ settings, env, terminal }: CliContext, options: AgentOptions): Promise<void> {
  const enrolment = enrolmentOf({ settings }, options);
  const log = createLogger({ level: options.logLevel, format: options.logFormat });
  const shutdown = listenForShutdown(terminal);
  // Started by `start`: the channel closes with the parent, and there is nothing to serve any more.
  const onDisconnect = () => shutdown.request();
  process.once('disconnect', onDisconnect);
  let agent: ReferenceAgent | undefined;
  try {
    const { startReferenceAgent } = await import('../agent/run.ts');
    const started = startReferenceAgent({
      ...enrolment,
      ...agentTelemetryOf({ settings }, options),
      path: env.PATH,
      sealing: options.sealing ?? sealingOf(settings.agentSealing),
      plugins: (options.plugin ?? settings.agentPlugins).map((file) => resolve(file)),
      log,
      signal: shutdown.signal,
      onState: (state) => {
        if (state.name === 'open')
          started.then(
            ({ agentId }) => tellParent({ connected: agentId }),
            () => {},
          );
      },
    });
    agent = await started;
    log.info({ agent: agent.agentId, url: enrolment.url }, 'agent started');
    await aborted(shutdown.signal);
  } finally {
    await agent?.stop(graceMs);
    process.removeListener('disconnect', onDisconnect);
    if (process.connected) process.disconnect();
    shutdown.dispose();
  }
}

function sealingOf(text: string | undefined): SealingChoice | undefined {
  if (text === undefined) return undefined;
  const choice = sealingChoices.find((known) => known === text);
  if (choice === undefined) {
    throw new UsageError(`VIWORKS_AGENT_SEALING: must be one of ${sealingChoices.join(', ')}`);
  }
  return choice;
}

function tellParent(message: AgentMessage): void {
  if (process.connected) process.send?.(message, undefined, undefined, () => {});
}
