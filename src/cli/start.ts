import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Command } from 'commander';
import type { App } from '../app.ts';
import type { Config } from '../config/schema.ts';
import { type CliContext, configOf, type ServerOptions, withServerOptions } from './context.ts';
import { operatorFile } from './data-dir.ts';
import { type LocalAgent, startLocalAgent } from './local-agent.ts';
import type { Shutdown } from './shutdown.ts';

/** `viworks start`: everything on this machine, the control plane and one agent, for a person at a terminal. */

/** At a terminal only what needs a person is shown; a setting of the person's own wins. */
const defaults = { 'logging.level': 'warn', 'logging.format': 'text' };
/** Milliseconds that the first line of help waits for the agent. */
const agentWaitMs = 10_000;
const hourMs = 3_600_000;

export function startCommand(program: Command, context: CliContext): void {
  withServerOptions(
    program
      .command('start')
      .summary('run the control plane and one agent on this machine')
      .description(
        'Runs the control plane and one agent on this machine until Ctrl-C; it then drains and stops all of it.',
      ),
  ).action(async (options: ServerOptions) => {
    const config = configOf(context, options, defaults);
    const begun = performance.now();
    const { runControlPlane } = await import('./control-plane.ts');
    await runControlPlane(config, context.terminal, async (app, shutdown) => {
      const agent = await startAgent(context, config, app);
      const agentLine = await firstState(agent, shutdown);
      if (!shutdown.signal.aborted) report(context, config, app, agentLine, performance.now() - begun);
      agent.ended.then((how) => {
        if (!shutdown.signal.aborted)
          context.terminal.note(`The local agent ended (${how}); start again to have it back.`);
      });
      return async () => {
        context.terminal.note('Stopping …');
        await agent.stop();
      };
    });
  });
}

async function startAgent(context: CliContext, config: Config, app: App): Promise<LocalAgent> {
  const { enrolled } = await import('../agent/identity.ts');
  const dataDir = join(config.server.data_dir, 'agent');
  const enrollmentToken = (await enrolled(dataDir)) ? undefined : await enrollmentTokenOf(app);
  return startLocalAgent({
    url: app.agentUrl,
    dataDir,
    enrollmentToken,
    ca: ownAuthority(config.agent_management.tls_certificate_path),
    serverPin: await app.serverPin(),
    env: context.env,
    logLevel: config.logging.level,
  });
}

async function enrollmentTokenOf(app: App): Promise<string> {
  const spec = { site: 'local', labels: {}, uses: 1, lifetimeMs: hourMs };
  return (await app.createEnrollmentToken(spec)).token;
}

/** A certificate that signs itself is its own authority; for any other the system knows whom to believe. */
function ownAuthority(path: string | undefined): string | undefined {
  if (path === undefined) return undefined;
  const certificate = new X509Certificate(readFileSync(path));
  return certificate.checkIssued(certificate) ? path : undefined;
}

async function firstState(agent: LocalAgent, shutdown: Shutdown): Promise<string> {
  const waited = Promise.withResolvers<string>();
  const timer = setTimeout(() => waited.resolve('not connected yet'), agentWaitMs);
  const onAbort = () => waited.resolve('');
  shutdown.signal.addEventListener('abort', onAbort);
  try {
    return await Promise.race([agent.connected, waited.promise]);
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  } finally {
    clearTimeout(timer);
    shutdown.signal.removeEventListener('abort', onAbort);
  }
}

function report({ terminal }: CliContext, config: Config, app: App, agent: string, tookMs: number): void {
  const { data_dir: dataDir } = config.server;
  const database =
    config.database.url === undefined ? 'embedded PostgreSQL' : 'your PostgreSQL (DATABASE_URL)';
  terminal.line(terminal.style('bold', `ViWorkS is ready (${(tookMs / 1000).toFixed(1)} s)`));
  const rows: [string, string][] = [
    ['Applications', app.apiUrl],
    ['Agents', app.agentUrl],
    ['Database', database],
    ['Data', dataDir],
    ['Operator token', operatorFile(dataDir)],
    ['Local agent', agent],
  ];
  for (const [name, value] of rows) terminal.line(`  ${name.padEnd(15)} ${value}`);
  terminal.line();
  // Elsewhere than in the usual place, the command line has to be told where to look.
  const where = dataDir === resolve('.viworks') ? '' : ` --data-dir ${dataDir}`;
  terminal.line(`Try:  ${terminal.style('cyan', `npx viworks run system.info --all${where}`)}`);
  terminal.line('Ctrl-C stops all of it.');
}
