import { version } from '../../lib/version.ts';
import { minimalEnvironment, runProgram } from '../process.ts';
import { dockerExecutors } from './docker/executors.ts';
import { execExecutor } from './exec.ts';
import { type Executor, type ExecutorSet, executorSet } from './executor.ts';
import { fileReadExecutor } from './file-read.ts';
import { serviceStatusExecutor } from './service-status.ts';
import { systemInfoExecutor } from './system-info.ts';

/** Name and version of this agent, as HELLO and system.info tell it. */
export const software = `viworks-agent/${version}`;

/** A program that does not answer in this time is not there. */
const probeMs = 5_000;

/**
 * The executors that this machine is able to run: system, exec and file always, service where systemctl is,
 * docker where its command reaches a server, compose where docker has that too.
 * @param path where programs are looked for
 * @param plugins executors of plug-ins
 */
export async function loadExecutors(path?: string, plugins: readonly Executor[] = []): Promise<ExecutorSet> {
  const [systemd, docker, compose] = await Promise.all([
    probe(['systemctl', '--version'], path),
    probe(['docker', 'version', '--format={{.Server.Version}}'], path),
    probe(['docker', 'compose', 'version', '--short'], path),
  ]);
  const executors = [systemInfoExecutor(software), execExecutor(path), fileReadExecutor()];
  if (systemd !== undefined) executors.push(serviceStatusExecutor(path));
  if (docker !== undefined) executors.push(...dockerExecutors({ path }, compose !== undefined));
  executors.push(...plugins);
  return executorSet(executors, docker === undefined ? '' : `docker ${docker}`.trim().slice(0, 128));
}

/** The first line of what the program says, or undefined where it is not there or fails. */
async function probe(argv: string[], path: string | undefined): Promise<string | undefined> {
  try {
    const end = await runProgram({
      argv,
      environment: minimalEnvironment(path),
      signal: AbortSignal.timeout(probeMs),
      outputLimit: 4096,
    });
    if (end.interrupted || end.exitCode !== 0) return undefined;
    return new TextDecoder().decode(end.stdout.data).split('\n')[0]?.trim() ?? '';
  } catch {
    return undefined;
  }
}
