import { type App, startApp } from '../app.ts';
import type { Config } from '../config/schema.ts';
import { ViworksError } from '../errors.ts';
import { lockDataDir, prepareDataDir, writeOperatorFile } from './data-dir.ts';
import { checkDatabase, checkPorts } from './preflight.ts';
import { aborted, listenForShutdown, type Shutdown } from './shutdown.ts';
import type { Terminal } from './terminal.ts';

/** A control plane as a process runs it: checks, lock, start, and a stop in reverse whatever happens. */

const dayMs = 86_400_000;
/** The operator token is renewed daily, so a copy of it dies within a week. */
const operatorTokenLifetimeMs = 7 * dayMs;

/**
 * Runs until it is asked to stop.
 * @param whileRunning called when both listeners are open; what it returns is called first at the stop
 * @param reload reads the configuration again at SIGHUP, which stops everything where there is none
 * @throws config_invalid, database_unavailable, database_in_use, and what ended it by itself
 */
export async function runControlPlane(
  config: Config,
  terminal: Terminal,
  whileRunning: (app: App, shutdown: Shutdown) => Promise<() => Promise<void>>,
  reload?: () => Config,
): Promise<void> {
  const { data_dir: dataDir } = config.server;
  const shutdown = listenForShutdown(terminal, reload === undefined ? undefined : 'SIGHUP');
  // Run in reverse, each one even if another fails.
  const undo: (() => void | Promise<void>)[] = [() => shutdown.dispose()];
  let running: App | undefined;
  if (reload !== undefined) undo.push(onHangup(terminal, () => running?.reconfigure(reload())));
  let failure: unknown;
  try {
    prepareDataDir(dataDir);
    const lock = lockDataDir(dataDir);
    undo.push(() => lock.release());
    await checkPorts(config);
    await checkDatabase(config);
    const app = await startApp(config, { onFatal: (error) => shutdown.request(error) });
    undo.push(() => app.stop());
    running = app;
    if (!shutdown.signal.aborted) {
      undo.push(await leaveOperatorToken(app, dataDir));
      undo.push(await whileRunning(app, shutdown));
    }
    await aborted(shutdown.signal);
    failure = shutdown.failure;
  } catch (error) {
    failure = error;
  }
  for (const step of undo.reverse()) {
    try {
      await step();
    } catch (error) {
      failure ??= error;
    }
  }
  if (failure !== undefined) throw failure;
}

/** What is wrong with the configuration changes nothing. */
function onHangup(terminal: Terminal, reload: () => void): () => void {
  const onSignal = () => {
    try {
      reload();
    } catch (error) {
      terminal.note(`The configuration stays as it is: ${ViworksError.from(error).message}`);
    }
  };
  process.on('SIGHUP', onSignal);
  return () => void process.removeListener('SIGHUP', onSignal);
}

async function leaveOperatorToken(app: App, dataDir: string): Promise<() => void> {
  const write = async () => {
    const token = await app.issueToken({
      subject: 'operator',
      role: 'admin',
      lifetimeMs: operatorTokenLifetimeMs,
    });
    writeOperatorFile(dataDir, { url: app.apiUrl, token });
  };
  await write();
  // A failed renewal is tried again the next day, long before the token ends.
  const renew = () => void write().catch(() => {});
  const timer = setInterval(renew, dayMs);
  // Whoever revoked the token here, or its key, goes on with another one.
  const unsubscribe = app.onTokensRevoked(renew);
  return () => {
    unsubscribe();
    clearInterval(timer);
  };
}
