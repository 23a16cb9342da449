import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { globSync, mkdirSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';

/** The example agent in Python as a real process, where this machine has what it needs. */

const root = fileURLToPath(new URL('../../', import.meta.url));
const example = `${root}examples/agents/python`;

export interface Python {
  /** The interpreter, with grpcio, protobuf and cryptography. */
  binary: string;
  /** Makes stubs in the folder, from proto files named in relation to the roots. */
  compile(folder: string): void;
}

/** Where grpcio-tools are too old for proto3's `optional`, protoc and the plugin of gRPC do the same. */
const compilers = [
  (python: string) => ({ file: python, args: ['-m', 'grpc_tools.protoc'] }),
  () => ({ file: 'protoc', args: [`--plugin=protoc-gen-grpc_python=${which('grpc_python_plugin')}`] }),
];

/** Undefined where no interpreter has all of it. */
export function findPython(): Python | undefined {
  for (const binary of [process.env.VIWORKS_TEST_PYTHON, 'python3', '/usr/bin/python3']) {
    if (binary === undefined) continue;
    if (!succeeds(binary, ['-c', 'import grpc, google.protobuf, cryptography'])) continue;
    for (const compiler of compilers) {
      const { file, args } = compiler(binary);
      const [major = 0, minor = 0] = versionOf(file, args);
      // 3.15 was the first with `optional`; later the major version was dropped.
      if (major > 3 || (major === 3 && minor >= 15)) {
        return { binary, compile: (folder) => compile(file, args, folder) };
      }
    }
  }
  return undefined;
}

const succeeds = (file: string, args: string[]) => spawnSync(file, args, { stdio: 'ignore' }).status === 0;
const which = (name: string) => spawnSync('which', [name], { encoding: 'utf8' }).stdout?.trim() ?? '';

function versionOf(file: string, args: string[]): number[] {
  const { stdout } = spawnSync(file, [...args, '--version'], { encoding: 'utf8' });
  return (/libprotoc ([\d.]+)/.exec(stdout ?? '')?.[1] ?? '').split('.').map(Number);
}

function compile(file: string, args: string[], folder: string): void {
  mkdirSync(folder, { recursive: true });
  const files = [
    ...globSync('viworks/{agent,verbs}/v1/*.proto', { cwd: `${root}proto` }),
    'buf/validate/validate.proto',
  ];
  const roots = [`-I${root}proto`, `-I${root}third_party/proto`];
  execFileSync(file, [...args, ...roots, `--python_out=${folder}`, `--grpc_python_out=${folder}`, ...files]);
}

/** Runs a script of the example to its end and gives what it printed. */
export function runPython(python: Python, stubs: string, args: string[]): string {
  const [script = '', ...rest] = args;
  return execFileSync(python.binary, [`${example}/${script}`, ...rest], {
    encoding: 'utf8',
    env: environment(stubs),
  });
}

export interface PythonAgent {
  /** Waits for the next line that matches, passing over others. */
  line(pattern: RegExp): Promise<string>;
  /** All lines so far. */
  readonly lines: readonly string[];
  /** Asks it to end; answers with its exit code. */
  stop(): Promise<number | null>;
}

export function startPythonAgent(python: Python, stubs: string, args: string[]): PythonAgent {
  const child = spawn(python.binary, ['-u', `${example}/agent.py`, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: environment(stubs),
  });
  const closed = once(child, 'close');
  const lines: string[] = [];
  let read = 0;
  let ended = false;
  let wake: (() => void) | undefined;
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on('line', (line) => {
      lines.push(line);
      wake?.();
    });
  }
  closed.then(() => {
    ended = true;
    wake?.();
  });
  onTestFinished(async () => {
    child.kill('SIGKILL');
    await closed;
  });
  return {
    lines,
    async line(pattern) {
      for (;;) {
        while (read < lines.length) {
          const line = lines[read++] ?? '';
          if (pattern.test(line)) return line;
        }
        if (ended) throw new Error(`the agent ended without ${pattern}:\n${lines.join('\n')}`);
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    },
    async stop() {
      child.kill('SIGTERM');
      const [code] = await closed;
      return code;
    },
  };
}

const environment = (stubs: string) => ({
  PATH: process.env.PATH ?? '',
  HOME: process.env.HOME ?? '',
  VIWORKS_STUBS: stubs,
  PYTHONDONTWRITEBYTECODE: '1',
});
