import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { inject, onTestFinished } from 'vitest';

/** The command line as a real process, with its lines and its end as events. */
export interface CliProcess {
  readonly pid: number;
  readonly stdout: Lines;
  readonly stderr: Lines;
  /** When the process is gone and its output is read. */
  readonly exited: Promise<Exit>;
  kill(signal: NodeJS.Signals): void;
}

export interface Exit {
  code: number | null;
  signal: NodeJS.Signals | null;
}

export interface Lines {
  /** All of it so far. */
  text(): string;
  /** The first line that matches, also one that was there before; rejects if the output ends without it. */
  match(pattern: RegExp): Promise<string>;
  /** The first line that matches from here on. */
  next(pattern: RegExp): Promise<string>;
}

export interface CliOptions {
  env?: Readonly<Record<string, string>>;
  cwd?: string;
  /** Bytes that a file of it may have: a write beyond fails, as on a disk that is full. */
  fileBytes?: number;
}

const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

/** Starts `viworks …`; what is left of it is killed when the test ends. */
export function startCli(args: readonly string[], options: CliOptions = {}): CliProcess {
  const cli = spawnCli(args, options);
  onTestFinished(async () => {
    cli.kill('SIGKILL');
    await cli.exited;
  });
  return cli;
}

/** One process, with a data folder of its own, for all the tests of a file. */
export function startSharedCli(args: readonly string[], env: Readonly<Record<string, string>>) {
  const parent = mkdtempSync(join(tmpdir(), 'viworks-test-'));
  const dataDir = join(parent, 'data');
  const cli = spawnCli(args, { env: { ...env, VIWORKS_DATA_DIR: dataDir } });
  return {
    process: cli,
    dataDir,
    /** Ends it in order; fails if it leaves a process behind. */
    async stop() {
      cli.kill('SIGTERM');
      await cli.exited;
      const left = processesWith(parent);
      for (const { pid } of left) process.kill(pid, 'SIGKILL');
      await rm(parent, { recursive: true, force: true });
      if (left.length > 0) throw new Error(`left running: ${left.map(({ command }) => command).join('; ')}`);
    },
  };
}

function spawnCli(args: readonly string[], options: CliOptions): CliProcess {
  const command = [process.execPath, main, ...args];
  const [program = '', ...rest] =
    options.fileBytes === undefined ? command : limited(command, options.fileBytes);
  const child = spawn(program, rest, {
    cwd: options.cwd ?? tmpdir(),
    stdio: ['ignore', 'pipe', 'pipe'],
    // Settings of the person who runs the suite stay out.
    env: {
      PATH: process.env.PATH ?? '',
      HOME: process.env.HOME ?? '',
      // Half of the time of a short process is compiling the same files again.
      ...(options.fileBytes === undefined && { NODE_COMPILE_CACHE: inject('compileCache') }),
      ...options.env,
    },
  });
  /** Everything on both streams, for the message of a failure. */
  const said: string[] = [];
  const exited = once(child, 'close').then(([code, signal]): Exit => ({ code, signal }));
  return {
    pid: child.pid ?? 0,
    stdout: linesOf(child.stdout, said),
    stderr: linesOf(child.stderr, said),
    exited,
    kill: (signal) => void child.kill(signal),
  };
}

/** Blocks of `ulimit -f` are 512 bytes in a POSIX shell. */
const limited = (command: readonly string[], fileBytes: number) => [
  ...['/bin/sh', '-c', `ulimit -f ${Math.floor(fileBytes / 512)}; exec "$@"`, 'sh'],
  ...command,
];

/** Runs `viworks …` to its end. */
export async function runCli(args: readonly string[], options: CliOptions = {}) {
  const cli = startCli(args, options);
  const { code } = await cli.exited;
  return { code, stdout: cli.stdout.text(), stderr: cli.stderr.text() };
}

function linesOf(stream: NodeJS.ReadableStream, said: string[]): Lines {
  const lines: string[] = [];
  const waiting = new Set<{ pattern: RegExp; resolve: (line: string) => void; reject: (e: Error) => void }>();
  let ended = false;
  const reader = createInterface({ input: stream });
  const missing = (pattern: RegExp) => new Error(`the output ended without ${pattern}:\n${said.join('\n')}`);
  reader.on('line', (line) => {
    lines.push(line);
    said.push(line);
    for (const waiter of waiting) {
      if (!waiter.pattern.test(line)) continue;
      waiting.delete(waiter);
      waiter.resolve(line);
    }
  });
  reader.on('close', () => {
    ended = true;
    for (const { pattern, reject } of waiting) reject(missing(pattern));
    waiting.clear();
  });
  const next = (pattern: RegExp): Promise<string> =>
    ended
      ? Promise.reject(missing(pattern))
      : new Promise((resolve, reject) => waiting.add({ pattern, resolve, reject }));
  return {
    text: () => lines.map((line) => `${line}\n`).join(''),
    match(pattern) {
      const found = lines.find((line) => pattern.test(line));
      if (found !== undefined) return Promise.resolve(found);
      return next(pattern);
    },
    next,
  };
}

/**
 * A data folder of its own. When the test ends, processes that still name it in their command line are killed,
 * and the folder is removed.
 */
export function dataFolder(): string {
  const parent = mkdtempSync(join(tmpdir(), 'viworks-test-'));
  const path = join(parent, 'data');
  onTestFinished(async () => {
    for (const { pid } of processesWith(parent)) process.kill(pid, 'SIGKILL');
    await rm(parent, { recursive: true, force: true });
  });
  return path;
}

export interface RunningProcess {
  pid: number;
  command: string;
}

/** The processes that name the text in their command line: what a stop must not leave behind. */
export function processesWith(text: string): RunningProcess[] {
  return allProcesses().filter(({ pid, command }) => pid !== process.pid && command.includes(text));
}

function allProcesses(): RunningProcess[] {
  if (!existsSync('/proc/self/cmdline')) {
    const listing = execFileSync('/bin/ps', ['-axww', '-o', 'pid=,command='], { encoding: 'utf8' });
    return listing.split('\n').map((line) => {
      const [pid = '', ...command] = line.trim().split(' ');
      return { pid: Number(pid), command: command.join(' ') };
    });
  }
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      try {
        return [
          { pid: Number(name), command: readFileSync(`/proc/${name}/cmdline`, 'utf8').replaceAll('\0', ' ') },
        ];
      } catch {
        // It ended between the listing and the reading.
        return [];
      }
    });
}
