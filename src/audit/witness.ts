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

type Remembered = Pick<Witness, 'head' | 'lost'>;

/** @throws config_invalid if the file is there and cannot be read */
export async function openWitness(path: string): Promise<Witness> {
  return createWitness(await read(path), async (remembered) => {
    const text = `${JSON.stringify(remembered, null, 2)}\n`;
    await writeFile(`${path}.new`, text, { mode: 0o600 });
    await rename(`${path}.new`, path);
  });
}

/** @param save keeps what is to be remembered; what it throws goes to who told the witness */
export function createWitness(start: Remembered, save: (remembered: Remembered) => Promise<void>): Witness {
  let { head, lost } = start;
  return {
    get head() {
      return head;
    },
    get lost() {
      return lost;
    },
    async saw(seen) {
      head = seen;
      await save({ head, lost });
    },
    async lose() {
      if (head !== undefined) lost = [...lost, head].slice(-maximumLost);
      head = undefined;
      await save({ head, lost });
    },
  };
}

async function read(path: string): Promise<Remembered> {
  let text: string;
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT')
      return { head: undefined, lost: [] };
    throw unreadable(path, error);
  }
  try {
    const { head, lost } = fileSchema.parse(JSON.parse(text));
    return { head, lost };
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
