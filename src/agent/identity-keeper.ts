import type { Logger } from '../lib/logger.ts';
import type { KeyPair } from '../protocol/keys.ts';
import type { Generation } from './generation.ts';
import type { AgentIdentity } from './identity.ts';
import type { KeyRing } from './key-ring.ts';
import type { Session } from './session.ts';
import type { SessionTerms } from './session-terms.ts';

/** What an agent is known by from session to session: its generation, and its key, which changes when it is asked to. */
export interface IdentityKeeper {
  readonly identity: AgentIdentity;
  /** The key that is offered with the next HELLO. */
  readonly nextKey: KeyPair | undefined;
  /** What was stored last. @throws where that cannot be told */
  generation(): Promise<bigint>;
  /** A session is open: stores what it brought, and turns the key where that is asked for. Never throws. */
  opened(session: Session, terms: SessionTerms, offeredKeyId: string | undefined): Promise<void>;
}

export interface IdentityKeeperOptions {
  identity: AgentIdentity;
  generation: Generation | undefined;
  keyRing: KeyRing | undefined;
  log: Logger;
}

export function createIdentityKeeper(options: IdentityKeeperOptions): IdentityKeeper {
  const { generation, keyRing, log } = options;
  let { identity } = options;

  async function keepGeneration(store: Generation, opened: Session, epoch: bigint): Promise<void> {
    try {
      opened.stored(await store.keep(epoch));
    } catch (err) {
      log.error({ err }, 'the generation cannot be stored; a copy of this agent would not be found out');
    }
  }

  /** A new key is told of, and used, in a session of its own. */
  async function turnKey(
    ring: KeyRing,
    opened: Session,
    { rotateKey, acceptedKeyId }: SessionTerms,
    offeredKeyId: string | undefined,
  ): Promise<void> {
    try {
      if (acceptedKeyId !== '' && acceptedKeyId === offeredKeyId) {
        identity = await ring.adopt();
        log.info({ keyId: acceptedKeyId }, 'this agent has a new key');
        opened.close(0);
      } else if (rotateKey) {
        await ring.make();
        // One that was not accepted does not lead to a loop: the next one waits for the next session.
        if (offeredKeyId === undefined) opened.close(0);
      }
    } catch (err) {
      log.error({ err }, 'the new key of this agent cannot be stored');
    }
  }

  return {
    get identity() {
      return identity;
    },
    get nextKey() {
      return keyRing?.next;
    },
    generation: async () => (await generation?.durable()) ?? 0n,
    // One after the other, so that a session which ends for a new key is known to both sides before.
    async opened(session, terms, offeredKeyId) {
      if (generation !== undefined) await keepGeneration(generation, session, terms.epoch);
      if (keyRing !== undefined) await turnKey(keyRing, session, terms, offeredKeyId);
    },
  };
}
