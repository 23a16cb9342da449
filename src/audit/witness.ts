import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { z } from 'zod';
import { ViworksError } from '../errors.ts';

/**
 * What this instance remembers of the end of the chain, outside of the database: whoever cuts off the end there, or
 * brings back an old copy of all of it, is found out by this.
 */
export interface Witness {
  /** The last block that was seen. */
  head: WitnessedHead | undefined;
  /** Ends that were seen and are not in the chain any more; somebody who knows why deletes them from the file. */
  lost: readonly WitnessedHead[];
  /** @throws what the file system throws */
  saw(head: WitnessedHead): Promise<void>;
  /** The last block that was seen is not there any more. */
  lose(): Promise<void>;
}

export interface WitnessedHead {
  number: number;
  /** Lower-case hex. */
  hash: string;
}

const headSchema = z.object({ number: z.int().positive(), hash: z.string().regex(/^[0-9a-f]{64}$/) });
const fileSchema = z.object({ head: headSchema.optional(), lost: z.array(headSchema).default([]) });

const maximumLost = 100;

/** @throws config_invalid if the file is there and cannot be read */
export async function openWitness(path: string): Promise<Witness> {
  let { head, lost } = await read(path);

  async function save(): Promise<void> {
    const text = `${JSON.stringify({ head, lost }, null, 2)}\n`;
    await writeFile(`${path}.new`, text, { mode: 0o600 });
    await rename(`${path}.new`, path);
  }

  return {
    get head() {
      return head;
    },
    get lost() {
      return lost;
    },
    async saw(seen) {
      head = seen;
      await save();
    },
    async lose() {
      if (head !== undefined) lost = [...lost, head].slice(-maximumLost);
      head = undefined;
      await save();
    },
  };
}

async function read(path: string): Promise<z.output<typeof fileSchema>> {
  let text: string;
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return { lost: [] };
    throw unreadable(path, error);
  }
  try {
    return fileSchema.parse(JSON.parse(text));
  } catch (error) {
    throw unreadable(path, error);
  }
}

const unreadable = (path: string, cause: unknown) =>
  new ViworksError(
    'config_invalid',
    `server.data_dir: ${path}, which remembers the end of the audit log, cannot be read or written`,
    { cause },
  );

/** For tests and tools: a witness that is forgotten with the process. */
export function createMemoryWitness(): Witness {
  let head: WitnessedHead | undefined;
  let lost: WitnessedHead[] = [];
  return {
    get head() {
      return head;
    },
    get lost() {
      return lost;
    },
    async saw(seen) {
      head = seen;
    },
    async lose() {
      if (head !== undefined) lost = [...lost, head];
      head = undefined;
    },
  };
}
