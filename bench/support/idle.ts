import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { builtMain } from './built.ts';
import { residentBytes } from './usage.ts';

/** After the start, until what it left behind is collected. */
const settleMs = 5000;

/** Bytes in memory of `viworks serve` as anybody runs it, without its database, when nothing happens. */
export async function idleMemory(dataDir: string): Promise<number> {
  const { PATH = '', HOME = '' } = process.env;
  const child = spawn(process.execPath, [builtMain, 'serve'], {
    env: {
      PATH,
      HOME,
      VIWORKS_DATA_DIR: dataDir,
      VIWORKS_API_PORT: '0',
      VIWORKS_AGENT_PORT: '0',
      LOG_LEVEL: 'error',
    },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const exited = once(child, 'exit');
  try {
    const told: string[] = [];
    let ready = false;
    for await (const line of createInterface({ input: child.stderr })) {
      told.push(line);
      ready = line.includes('is ready');
      if (ready) break;
    }
    if (!ready) throw new Error(`viworks serve did not start: ${told.join(' ')}`);
    child.stderr.resume();
    await delay(settleMs);
    return await residentBytes(child.pid ?? 0);
  } finally {
    child.kill('SIGTERM');
    await exited;
  }
}
