import type { KeyObject } from 'node:crypto';
import { ViworksError } from '../../errors.ts';
import { signedInput } from '../signed.ts';
import { cipherKey, decrypt, encrypt } from './primitives.ts';
import { directions, freshChain, keyOfChain, nextChain, type Role } from './secrets.ts';

/**
 * A lane is one direction of a sealed session: its key, the generation of it, and the counter of its frames. Each end
 * has two, and steps them at the same frame.
 */
export interface Lane {
  readonly generation: number;
  /** Frames of the whole session. */
  readonly counter: number;
  /** Frames under the key of now. */
  readonly frames: number;
  /** From here on frames are of this session; before, they are of the handshake. */
  bind(sessionId: string, epoch: bigint): void;
  /** Takes the next key; with a shared value of a fresh agreement from that too. */
  step(shared: Uint8Array | undefined): void;
  seal(content: Uint8Array): SealedFrame;
  /** @throws seal_broken where the frame is not the very next one of this lane, as it was sent */
  open(frame: SealedFrame): Uint8Array;
}

export interface SealedFrame {
  counter: bigint;
  ciphertext: Uint8Array;
  keyGeneration: number;
}

/** What a frame is: WELCOME, or anything after it. */
const kinds = { welcome: 1, session: 2 } as const;

const nonceBytes = 12;
/** Epoch, direction, kind, generation, counter. */
const headerBytes = 22;
const none = new Uint8Array(0);

/** @param chain taken over: it is wiped when the next one is made */
export function createLane(role: Role, chain: Uint8Array): Lane {
  const direction = directions[role];
  const nonce = Buffer.alloc(nonceBytes);
  nonce.writeUInt32BE(direction);
  let key: KeyObject = cipherKey(keyOfChain(chain));
  let generation = 0;
  let counter = 0;
  let steppedAt = 0;
  let aad = additionalData(none, 0n, direction, kinds.welcome);

  /** Both are written over for each frame; the cipher has taken what was there before. */
  function address(next: number): void {
    const high = Math.floor(next / 2 ** 32);
    const low = next >>> 0;
    nonce.writeUInt32BE(high, 4);
    nonce.writeUInt32BE(low, 8);
    const at = aad.length - 12;
    aad.writeUInt32BE(generation, at);
    aad.writeUInt32BE(high, at + 4);
    aad.writeUInt32BE(low, at + 8);
  }

  return {
    get generation() {
      return generation;
    },
    get counter() {
      return counter;
    },
    get frames() {
      return counter - steppedAt;
    },
    bind(sessionId, epoch) {
      aad = additionalData(Buffer.from(sessionId), epoch, direction, kinds.session);
    },
    step(shared) {
      const next = shared === undefined ? nextChain(chain) : freshChain(chain, shared);
      chain.fill(0);
      chain = next;
      key = cipherKey(keyOfChain(chain));
      generation += 1;
      steppedAt = counter;
    },
    seal(content) {
      counter += 1;
      address(counter);
      return {
        counter: BigInt(counter),
        ciphertext: encrypt(key, nonce, aad, content),
        keyGeneration: generation,
      };
    },
    open(frame) {
      if (frame.counter !== BigInt(counter + 1)) {
        throw broken(`Frame ${counter + 1} was expected, and ${frame.counter} came.`);
      }
      if (frame.keyGeneration !== generation) {
        throw broken(`A key of generation ${generation} was expected, and ${frame.keyGeneration} is named.`);
      }
      address(counter + 1);
      const content = decrypt(key, nonce, aad, frame.ciphertext);
      if (content === undefined) throw broken(`Frame ${counter + 1} is not what was sealed.`);
      counter += 1;
      return content;
    },
  };
}

/** The part that stays the same; the generation and the counter are its last twelve bytes. */
function additionalData(session: Uint8Array, epoch: bigint, direction: number, kind: number): Buffer {
  const header = Buffer.alloc(headerBytes);
  header.writeBigUInt64BE(epoch);
  header[8] = direction;
  header[9] = kind;
  // Not a copy: that would be a piece of a pool, and hold on to all of it for as long as the session lasts.
  const { buffer } = signedInput('viworks.sealed.v1', session, header);
  return Buffer.from(buffer);
}

const broken = (message: string) => new ViworksError('seal_broken', message);
