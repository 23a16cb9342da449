import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A file, for as long as the work lasts, in which docker says which image or container it made. */
export interface IdFile {
  path: string;
  /** Empty where docker made none. */
  read(): Promise<string>;
}

export async function withIdFile<T>(work: (file: IdFile) => Promise<T>): Promise<T> {
  const dir = await mkdtemp(join(tmpdir(), 'viworks-docker-'));
  const path = join(dir, 'id');
  try {
    return await work({ path, read: async () => (await readFile(path, 'utf8').catch(() => '')).trim() });
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}
