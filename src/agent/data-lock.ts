import { link, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ViworksError } from '../errors.ts';

/** Releases the folder. */
export type Unlock = () => Promise<void>;

/**
 * Keeps a second agent out of a data folder: two processes that write one ledger would each miss what the
 * other began. The lock names its process and when that began, so one that a crash left behind does not count.
 * @throws config_invalid where another agent uses the folder
 */
export async function lockDataFolder(dir: string): Promise<Unlock> {
  const file = join(dir, 'agent.lock');
  const own = `${process.pid} ${await startOf(process.pid)}`;
  const draft = `${file}.${process.pid}`;
  await writeFile(draft, own, { mode: 0o600 });
  try {
    // A link comes about whole, and only where there is none.
    if (await linked(draft, file)) return () => rm(file, { force: true });
    const [holder = '', begun = ''] = (await readFile(file, 'utf8').catch(() => '')).split(' ');
    if (begun !== '' && (await startOf(Number(holder))) === begun) throw inUse(dir, holder);
    await rm(file, { force: true });
    if (await linked(draft, file)) return () => rm(file, { force: true });
    throw inUse(dir, 'unknown');
  } finally {
    await rm(draft, { force: true });
  }
}

async function linked(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to);
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false;
    throw error;
  }
}

/** When the process began, as the kernel counts; empty where it is gone, or there is no /proc. */
async function startOf(pid: number): Promise<string> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
    // The name in parentheses may hold anything; state is the first field after it, the start the twentieth.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' || fields[0] === 'X' ? '' : (fields[19] ?? '');
  } catch {
    return '';
  }
}

const inUse = (dir: string, holder: string) =>
  new ViworksError(
    'config_invalid',
    `The data folder ${dir} is in use by another agent (process ${holder}).`,
  );
