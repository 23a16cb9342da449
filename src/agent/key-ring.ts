import { rm } from 'node:fs/promises';
import { generateKeyPair, type KeyPair, keyPairFromPem, keyPairToPem } from '../protocol/keys.ts';
import { readIfThere, replace, writeDurably } from './files.ts';
import { type AgentIdentity, keyFile, nextKeyFile, storeIdentity } from './identity.ts';

/**
 * The key that is to take the place of the one the agent has. It is stored before anybody hears of it, and it is
 * used from the moment the server has accepted it: a crash in between leaves an agent that proves itself with a
 * key that the server believes.
 */
export interface KeyRing {
  /** The key that is to follow, if there is one. */
  readonly next: KeyPair | undefined;
  /** Makes one, in place of one that was not accepted. */
  make(): Promise<void>;
  /** The next key is the agent's from now on. Answers with the identity that has it. */
  adopt(): Promise<AgentIdentity>;
}

export async function openKeyRing(dir: string, identity: AgentIdentity): Promise<KeyRing> {
  const pem = await readIfThere(nextKeyFile(dir));
  let next = pem === undefined ? undefined : keyPairFromPem(pem);
  let current = identity;
  if (next?.keyId === current.key.keyId) {
    // A crash came between the two steps of adopting it.
    await replace(keyFile(dir), nextKeyFile(dir));
    next = undefined;
  }
  return {
    get next() {
      return next;
    },
    async make() {
      const made = generateKeyPair();
      await rm(nextKeyFile(dir), { force: true });
      await writeDurably(nextKeyFile(dir), keyPairToPem(made));
      next = made;
    },
    async adopt() {
      if (next === undefined) return current;
      const adopted = { ...current, key: next };
      await storeIdentity(dir, adopted);
      current = adopted;
      next = undefined;
      await replace(keyFile(dir), nextKeyFile(dir));
      return current;
    },
  };
}
