import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import type { AppOutputs } from '../../src/api/trpc/router.ts';
import { type Client, createClient } from '../../src/cli/client.ts';
import { readOperatorFile } from '../../src/cli/data-dir.ts';
import { type CliOptions, type CliProcess, dataFolder, startCli } from './process.ts';

/** A control plane and an agent as processes of their own, which a test may kill and start again. */
export interface ProcessRig {
  /** A folder of the test's own, which goes with it. */
  folder: string;
  /** The server's own. */
  dataDir: string;
  apiUrl(): string;
  agentUrl(): string;
  server(): CliProcess;
  agent(): CliProcess;
  /** Resolves when it is ready; on the ports of its first start. */
  startServer(): Promise<void>;
  /** Resolves when the agent is under way; it enrols at its first start. */
  startAgent(options?: Pick<CliOptions, 'fileBytes'>): Promise<void>;
  /** The same agent from another data folder, which has an identity. */
  startAgentIn(folder: string): Promise<CliProcess>;
  /** Further agents, each enrolled and under way. */
  startAgents(ids: readonly string[]): Promise<void>;
  /** Kills a process without a word; resolves when it is gone. */
  kill(process: CliProcess): Promise<void>;
  /** Kills the embedded PostgreSQL; resolves when the server holds its lock again. */
  killPostgres(): Promise<void>;
  client(): Client;
  /** Submits an `exec` of a shell's line. */
  submit(line: string, idempotencyKey?: string): Promise<string>;
  /** Follows a command to its end. */
  finished(commandId: string): Promise<ExecutionView>;
  /** Waits for the execution's first event in the state. */
  reached(commandId: string, state: string): Promise<ExecutionView>;
}

type ExecutionView = AppOutputs['commands']['get']['executions'][number];

export const agentId = 'worker';

export interface ProcessRigOptions {
  /** Lines of the configuration, from its first section of their own on. */
  config?: string;
  /** Of the server. */
  env?: Readonly<Record<string, string>>;
}

export function createProcessRig(options: ProcessRigOptions = {}): ProcessRig {
  const dataDir = dataFolder();
  const folder = join(dataDir, '..');
  const config = join(folder, 'viworks.toml');
  writeFileSync(
    config,
    '[agent_management]\nreconnect_backoff_ms = 50\nreconnect_backoff_max_ms = 200\n[logging]\nlevel = "info"\n' +
      (options.config ?? ''),
  );
  let ports = { VIWORKS_API_PORT: '0', VIWORKS_AGENT_PORT: '0' };
  let apiUrl = '';
  let agentUrl = '';
  let token: string | undefined;
  let server: CliProcess | undefined;
  let agent: CliProcess | undefined;

  const rig: ProcessRig = {
    folder,
    dataDir,
    apiUrl: () => apiUrl,
    agentUrl: () => agentUrl,
    server: () => there(server),
    agent: () => there(agent),
    async startServer() {
      server = startCli(['serve', '--config', config, '--data-dir', dataDir], {
        env: { ...options.env, ...ports },
      });
      const ready = /applications at (\S+), agents at (\S+)/;
      const line = await Promise.any([server.stdout.match(ready), server.stderr.match(ready)]);
      [, apiUrl = '', agentUrl = ''] = ready.exec(line) ?? [];
      ports = { VIWORKS_API_PORT: new URL(apiUrl).port, VIWORKS_AGENT_PORT: new URL(agentUrl).port };
    },
    async startAgent(options = {}) {
      const spec = { site: 'test', labels: {}, uses: 1, lifetimeMs: 60_000 };
      token ??= (await rig.client().tokens.createEnrollment.mutate(spec)).token;
      const access = ['--url', agentUrl, '--id', agentId, '--token', token];
      agent = startCli(['agent', '--data-dir', join(folder, 'agent'), ...access], options);
      await agent.stderr.match(/agent started/);
    },
    async startAgentIn(dir) {
      const other = startCli(['agent', '--data-dir', dir, '--url', agentUrl]);
      await other.stderr.match(/agent started/);
      return other;
    },
    async startAgents(ids) {
      const spec = { site: 'test', labels: {}, uses: ids.length, lifetimeMs: 60_000 };
      const enrolment = await rig.client().tokens.createEnrollment.mutate(spec);
      const access = ['--url', agentUrl, '--token', enrolment.token];
      await Promise.all(
        ids.map((id) =>
          startCli(['agent', '--data-dir', join(folder, id), '--id', id, ...access]).stderr.match(
            /agent started/,
          ),
        ),
      );
    },
    async kill(process) {
      process.kill('SIGKILL');
      await process.exited;
    },
    async killPostgres() {
      const pidFile = join(dataDir, 'postgres', 'data', 'postmaster.pid');
      const pid = Number(readFileSync(pidFile, 'utf8').split('\n')[0]);
      const held = there(server).stderr.next(/instance lock is held again/);
      process.kill(pid, 'SIGKILL');
      await held;
    },
    client() {
      const access = readOperatorFile(dataDir);
      if (access === undefined) throw new Error('the server left no token');
      return createClient(access);
    },
    async submit(line, idempotencyKey) {
      const { command } = await rig.client().commands.submit.mutate({
        verb: 'exec',
        args: { argv: ['/bin/sh', '-c', line] },
        target: { agents: [agentId] },
        idempotencyKey,
      });
      return command.commandId;
    },
    finished: (commandId) => lastOf(rig.client(), commandId, () => false),
    reached: (commandId, state) => lastOf(rig.client(), commandId, (execution) => execution.state === state),
  };
  return rig;
}

async function lastOf(
  client: Client,
  commandId: string,
  enough: (execution: ExecutionView) => boolean,
): Promise<ExecutionView> {
  const stop = new AbortController();
  let last: ExecutionView | undefined;
  try {
    for await (const { data } of client.commands.watch.subscribe({ commandId }, { signal: stop.signal })) {
      last = data.executions.at(-1) ?? last;
      if (last !== undefined && enough(last)) break;
    }
  } finally {
    stop.abort();
  }
  if (last === undefined) throw new Error(`nothing was told of ${commandId}`);
  return last;
}

function there(process: CliProcess | undefined): CliProcess {
  if (process === undefined) throw new Error('it was not started');
  return process;
}

/** A shell's line that waits until the test lets it go on, and tells when it got there. */
export interface Gate {
  /** To be put into the line. */
  line: string;
  /** Resolves when the line is at the gate. */
  reached: Promise<void>;
  /** Lets it go on. */
  open(): Promise<void>;
}

export function createGate(path: string): Gate {
  execFileSync('mkfifo', [path]);
  // A pipe opens for writing when somebody has opened it for reading.
  const writer: Promise<FileHandle> = open(path, 'w');
  let closed: Promise<void> | undefined;
  const close = () => {
    closed ??= writer.then((file) => file.close());
    return closed;
  };
  onTestFinished(async () => {
    // Nobody came: then this end comes.
    const reader = await open(path, 'r+');
    await close();
    await reader.close();
  });
  return { line: `read nothing < '${path}' || true`, reached: writer.then(() => {}), open: close };
}
