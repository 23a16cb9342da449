import { open, readFile, rename } from 'node:fs/promises';
import { dirname } from 'node:path';

/** Small files of the agent's data folder: for their owner alone, and whole or not at all. */

export async function readIfThere(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

/** A crash leaves the file that was there before. */
export async function writeDurably(file: string, text: string): Promise<void> {
  await writeBeside(file, text);
  await replace(file);
}

/** Writes what is to take the file's place. When it fails, the file is as it was. */
export async function writeBeside(file: string, text: string): Promise<void> {
  const handle = await open(`${file}.new`, 'w', 0o600);
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Puts it there. When it fails, the disk has the one or the other. */
export async function replace(file: string, from = `${file}.new`): Promise<void> {
  await rename(from, file);
  await syncFolder(file);
}

/** Whatever file is there is there after a loss of power too. */
export async function syncFolder(file: string): Promise<void> {
  const folder = await open(dirname(file), 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
