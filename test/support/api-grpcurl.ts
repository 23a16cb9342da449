import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Where grpcurl is on this machine: on the path, or where `go install` puts it. */
export function findGrpcurl(): string | undefined {
  const folders = [...(process.env.PATH ?? '').split(delimiter), join(homedir(), 'go', 'bin')];
  return folders.map((folder) => join(folder, 'grpcurl')).find((file) => existsSync(file));
}

/** Runs grpcurl in clear text and gives what it printed, whichever way it ended. */
export async function grpcurl(binary: string, args: string[]): Promise<{ ok: boolean; output: string }> {
  try {
    const { stdout } = await run(binary, ['-plaintext', '-max-time', '10', ...args]);
    return { ok: true, output: stdout };
  } catch (error) {
    const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string };
    return { ok: false, output: stdout + stderr };
  }
}
