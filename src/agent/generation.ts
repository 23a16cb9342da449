import { join } from 'node:path';
import { z } from 'zod';
import { ViworksError } from '../errors.ts';
import { readIfThere, replace, syncFolder, writeBeside } from './files.ts';
import type { AgentIdentity } from './identity.ts';

/**
 * The generation is the epoch of the newest session that the agent has stored. It says it in its next HELLO, and so
 * never says one that a copy of its data folder could have stored as well.
 */
export interface Generation {
  /** What HELLO says: it is on the disk for sure. @throws unavailable where that cannot be brought about */
  durable(): Promise<bigint>;
  /** Resolves with the epoch when it is stored. @throws the system's error; the generation before stays then */
  keep(epoch: bigint): Promise<bigint>;
}

/** What is done with the file, so that tests can make it fail where a disk may. */
export interface GenerationFiles {
  writeBeside(file: string, text: string): Promise<void>;
  replace(file: string): Promise<void>;
  syncFolder(file: string): Promise<void>;
}

const stored = z.object({
  agentId: z.string(),
  incarnation: z.number().int(),
  generation: z.string().regex(/^\d{1,18}$/),
});

/** @throws config_invalid where the file is damaged */
export async function openGeneration(
  dir: string,
  { agentId, incarnation }: Pick<AgentIdentity, 'agentId' | 'incarnation'>,
  files: GenerationFiles = { writeBeside, replace, syncFolder },
): Promise<Generation> {
  const file = join(dir, 'generation.json');
  let value = await read(file, agentId, incarnation);
  /** What is read now may be another one after a loss of power: a process before may have failed to sync it. */
  let uncertain = true;
  /** One write after the other. */
  let last: Promise<unknown> = Promise.resolve();

  async function write(next: bigint): Promise<bigint> {
    const text = `${JSON.stringify({ agentId, incarnation, generation: String(next) })}\n`;
    await files.writeBeside(file, text);
    uncertain = true;
    await files.replace(file);
    value = next;
    uncertain = false;
    return next;
  }

  function inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = last.then(work, work);
    last = done.catch(() => {});
    return done;
  }

  return {
    keep: (epoch) => inTurn(() => write(epoch)),
    durable: () =>
      inTurn(async () => {
        if (!uncertain) return value;
        try {
          await files.syncFolder(file);
          value = await read(file, agentId, incarnation);
          uncertain = false;
          return value;
        } catch (cause) {
          throw new ViworksError('unavailable', `${file} cannot be read for certain.`, { cause });
        }
      }),
  };
}

async function read(file: string, agentId: string, incarnation: number): Promise<bigint> {
  const text = await readIfThere(file);
  if (text === undefined) return 0n;
  try {
    const found = stored.parse(JSON.parse(text));
    // That of an enrolment before counts no more.
    const own = found.agentId === agentId && found.incarnation === incarnation;
    return own ? BigInt(found.generation) : 0n;
  } catch (cause) {
    throw new ViworksError('config_invalid', `${file} is damaged; enrol the agent anew.`, { cause });
  }
}
