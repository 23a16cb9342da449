import { type ChildProcess, spawn } from 'node:child_process';
import { homedir } from 'node:os';
import type { Readable } from 'node:stream';

/** Running a program to its end, with everything about it bounded: time, output, and what it leaves behind. */

export interface ProgramRequest {
  /** The program and its arguments; no shell looks at them. */
  argv: readonly string[];
  environment: Record<string, string>;
  workingDirectory?: string;
  /** Ends the program and all of its process group. */
  signal: AbortSignal;
  /** Bytes kept of each stream. */
  outputLimit: number;
  /** Milliseconds between SIGTERM and SIGKILL. */
  killGraceMs?: number;
  /** Told of everything that the program writes, as it comes. */
  onOutput?: ((stream: 'stdout' | 'stderr', data: Uint8Array) => void) | undefined;
}

export interface ProgramEnd {
  exitCode: number | undefined;
  signal: string | undefined;
  stdout: CapturedOutput;
  stderr: CapturedOutput;
  /** The signal of the request ended it, not the program itself. */
  interrupted: boolean;
}

export interface CapturedOutput {
  data: Uint8Array;
  /** Position of the first byte of data in the whole stream; 0 if absent. */
  offset?: number;
  totalBytes: number;
  truncated: boolean;
}

/** After the program's own end its pipes may be held open by what it left running; quiet for this long ends it. */
const quietMs = 250;
/** The same, where what was left running keeps writing. */
const lingerMs = 2_000;

/** How often a process group that was told to end is looked at. */
const groupCheckMs = 20;

/** The environment of every program that the agent runs. */
export function minimalEnvironment(path = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin') {
  return { PATH: path, HOME: homedir(), LANG: 'C.UTF-8' };
}

/** @throws the system's error where the program cannot be started */
export function runProgram(request: ProgramRequest): Promise<ProgramEnd> {
  const [program = '', ...args] = request.argv;
  const { signal, killGraceMs = 2_000 } = request;
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const child = spawn(program, args, {
      cwd: request.workingDirectory,
      env: request.environment,
      // A process group of its own, so that a kill reaches its descendants too.
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
      shell: false,
    });
    const stdout = capture(child.stdout, request.outputLimit, (data) => onData('stdout', data));
    const stderr = capture(child.stderr, request.outputLimit, (data) => onData('stderr', data));
    const exit: { code?: number; signal?: string; seen: boolean } = { seen: false };
    let interrupted = false;
    let closed = false;
    let killTimer: NodeJS.Timeout | undefined;
    let waitTimer: NodeJS.Timeout | undefined;
    let lingerTimer: NodeJS.Timeout | undefined;

    function interrupt(): void {
      if (exit.seen) return;
      interrupted = true;
      killGroup(child, 'SIGTERM');
      killTimer = setTimeout(kill, killGraceMs);
    }
    function kill(): void {
      killTimer = undefined;
      killGroup(child, 'SIGKILL');
    }
    function wait(ms: number, next: () => void): void {
      clearTimeout(waitTimer);
      waitTimer = setTimeout(next, ms);
    }
    function onData(stream: 'stdout' | 'stderr', data: Uint8Array): void {
      request.onOutput?.(stream, data);
      if (exit.seen && !interrupted) wait(quietMs, finish);
    }
    /** The program has ended by force; nothing tells when the rest of its group has. */
    function waitForGroup(): void {
      if (killTimer === undefined || !groupAlive(child)) {
        // What it wrote last may still be on its way.
        if (closed) finish();
        else wait(quietMs, finish);
        return;
      }
      wait(groupCheckMs, waitForGroup);
    }
    function finish(): void {
      for (const timer of [killTimer, waitTimer, lingerTimer]) clearTimeout(timer);
      signal.removeEventListener('abort', interrupt);
      child.stdout.destroy();
      child.stderr.destroy();
      resolve({
        exitCode: exit.code,
        signal: exit.signal,
        stdout: stdout(),
        stderr: stderr(),
        interrupted,
      });
    }
    child.once('error', (error) => {
      // Only a failed start ends here; a failed kill is the business of the timer.
      if (child.pid === undefined) {
        signal.removeEventListener('abort', interrupt);
        reject(error);
      }
    });
    child.once('exit', (code, endSignal) => {
      exit.seen = true;
      if (code !== null) exit.code = code;
      if (endSignal !== null) exit.signal = endSignal;
      if (interrupted) {
        wait(groupCheckMs, waitForGroup);
        return;
      }
      lingerTimer = setTimeout(finish, lingerMs);
      wait(quietMs, finish);
    });
    child.once('close', () => {
      closed = true;
      if (!interrupted) {
        finish();
        return;
      }
      // Nobody is left who writes: what remains of the group is not worth the whole grace.
      if (killTimer === undefined) return;
      clearTimeout(killTimer);
      killTimer = setTimeout(kill, quietMs);
    });
    signal.addEventListener('abort', interrupt, { once: true });
  });
}

function capture(stream: Readable, limit: number, onData: (data: Uint8Array) => void): () => CapturedOutput {
  const chunks: Buffer[] = [];
  let kept = 0;
  let total = 0;
  stream.on('data', (chunk: Buffer) => {
    total += chunk.byteLength;
    if (kept < limit) {
      const part = chunk.subarray(0, limit - kept);
      chunks.push(part);
      kept += part.byteLength;
    }
    onData(chunk);
  });
  // A pipe that breaks ends the stream; what came before is what there is.
  stream.on('error', () => {});
  return () => ({
    data: new Uint8Array(Buffer.concat(chunks, kept)),
    totalBytes: total,
    truncated: total > kept,
  });
}

function killGroup(child: ChildProcess, name: NodeJS.Signals): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, name);
  } catch {
    // The group is gone already.
  }
}

function groupAlive(child: ChildProcess): boolean {
  if (child.pid === undefined) return false;
  try {
    process.kill(-child.pid, 0);
    return true;
  } catch {
    return false;
  }
}
