import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Environment } from '../config/environment.ts';

/** The reference agent that `start` runs beside the control plane, as a process of its own. */
export interface LocalAgent {
  /** Resolves with its id when it has a session; rejects when it ends before. */
  readonly connected: Promise<string>;
  /** Resolves when the process is gone; the text says how. */
  readonly ended: Promise<string>;
  stop(): Promise<void>;
}

export interface LocalAgentOptions {
  url: string;
  dataDir: string;
  /** For the first start only. */
  enrollmentToken: string | undefined;
  /** File with the certificates to believe. */
  ca: string | undefined;
  /** The server's own key, sha256/…. */
  serverPin: string | undefined;
  env: Environment;
  logLevel: string;
}

/** What the agent tells its parent over the IPC channel. */
export interface AgentMessage {
  connected: string;
}

/** Milliseconds in which the agent ends in order; over it, it is killed. */
const stopMs = 4000;
/** Secrets of the control plane that no agent needs. */
const withheld = ['DATABASE_URL', 'REDIS_URL', 'JWT_SECRET', 'VIWORKS_TOKEN'];

export function startLocalAgent(options: LocalAgentOptions): LocalAgent {
  const { url, dataDir, enrollmentToken, ca, serverPin, env, logLevel } = options;
  const program = process.argv[1] ?? '';
  const args = [program, 'agent', '--url', url, '--data-dir', dataDir, '--log-level', logLevel];
  if (ca !== undefined) args.push('--ca', ca);
  if (serverPin !== undefined) args.push('--server-pin', serverPin);
  const child = spawn(process.execPath, args, {
    // The channel closes with this process, however it ends, and the agent then ends too.
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    // A process group of its own: Ctrl-C reaches this process alone, which stops the agent in its turn.
    detached: true,
    env: {
      ...Object.fromEntries(Object.entries(env).filter(([name]) => !withheld.includes(name))),
      // In the environment rather than the arguments, which every user of the machine can read.
      ...(enrollmentToken === undefined ? {} : { VIWORKS_ENROLLMENT_TOKEN: enrollmentToken }),
    },
  });
  const killAtExit = () => child.kill('SIGKILL');
  process.once('exit', killAtExit);
  const ended = endOf(child).finally(() => process.removeListener('exit', killAtExit));
  const connected = Promise.withResolvers<string>();
  child.on('message', (message: AgentMessage) => connected.resolve(message.connected));
  ended.then((how) => connected.reject(new Error(`the local agent ended: ${how}`)));
  // Nobody may be waiting any more when it ends.
  connected.promise.catch(() => {});
  return {
    connected: connected.promise,
    ended,
    async stop() {
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), stopMs);
      await ended;
      clearTimeout(timer);
    },
  };
}

async function endOf(child: ChildProcess): Promise<string> {
  try {
    const [code, signal] = await once(child, 'exit');
    return signal === null ? `exit code ${code}` : `signal ${signal}`;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
