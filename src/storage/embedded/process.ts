import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Launch } from './user.ts';

/** Starts a program of PostgreSQL as the database's user. */
export function launchProcess(
  launch: Launch,
  program: string,
  args: readonly string[],
  cwd: string,
): ChildProcess {
  const [command = program, ...rest] = [...launch.prefix, program, ...args];
  return spawn(command, rest, {
    cwd,
    stdio: ['pipe', 'pipe', 'pipe'],
    // A process group of its own: Ctrl-C at a terminal reaches the control plane alone, which drains first.
    detached: true,
    // Settings of libpq and of the locale in the environment would change what is made.
    env: { LC_ALL: 'C', PATH: '/usr/bin:/bin' },
    ...(launch.user === undefined ? {} : { uid: launch.user.uid, gid: launch.user.gid }),
  });
}

/** Runs a program to its end; the output is its last 64 KiB. */
export async function runToEnd(launch: Launch, program: string, args: readonly string[], input = '') {
  const child = launchProcess(launch, program, args, '/');
  let output = '';
  const collect = (chunk: Buffer) => {
    output = (output + chunk.toString('utf8')).slice(-65_536);
  };
  child.stdout?.on('data', collect);
  child.stderr?.on('data', collect);
  child.stdin?.on('error', () => {});
  child.stdin?.end(input);
  const [code] = await once(child, 'close');
  return { code: Number(code ?? 1), output };
}
