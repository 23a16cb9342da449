import { join } from 'node:path';
import { z } from 'zod';
import { ViworksError } from '../errors.ts';
import type { TrustStore } from './command-trust.ts';
import { readIfThere, writeDurably } from './files.ts';

const stored = z.object({ version: z.number().int().nonnegative() });

/** In the agent's data folder. @throws config_invalid where it is damaged */
export async function openTrustStore(dir: string): Promise<TrustStore> {
  const file = join(dir, 'command-keys.json');
  const text = await readIfThere(file);
  let version = 0;
  if (text !== undefined) {
    try {
      version = stored.parse(JSON.parse(text)).version;
    } catch (cause) {
      throw new ViworksError('config_invalid', `${file} is damaged.`, { cause });
    }
  }
  let writing: Promise<void> = Promise.resolve();
  return {
    get version() {
      return version;
    },
    save(newer) {
      version = newer;
      // One after the other: the last one is the one that stays.
      writing = writing
        .catch(() => {})
        .then(() => writeDurably(file, `${JSON.stringify({ version: newer })}\n`));
      return writing;
    },
  };
}
