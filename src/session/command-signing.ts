import {
  type Command,
  CommandSchema,
  type Signature,
  SignatureSchema,
} from '#gen/viworks/agent/v1/command_pb.js';
import { ViworksError } from '../errors.ts';
import type { CommandKeySignature, CommandSigner } from '../identity/command-keys.ts';
import type { Logger } from '../lib/logger.ts';
import { leafOf, rootInput, treeOf } from '../protocol/command-tree.ts';

/**
 * Signs what leaves for agents: all bodies of one tick are the leaves of one hash tree, whose root is signed once.
 * A signature costs as much as thirty leaves, and there is one for each tick instead of one for each command.
 */
export interface CommandSigning {
  /** Hands over the signed command before the tick is over; in the order of the calls. */
  sign(body: Uint8Array, handOver: (command: Command) => void): void;
  /** Hands over now what waits for the end of the tick. */
  flush(): void;
}

/** Each doubling adds 32 bytes to every command, and soon saves nothing more. */
const maximumLeaves = 256;

interface Waiting {
  body: Uint8Array;
  handOver: (command: Command) => void;
}

const signatureType = SignatureSchema.typeName;

/** As `create` would make it, which takes as long as all the hashes of a command. */
const commandOf = (body: Uint8Array, signature: Signature): Command => ({
  $typeName: CommandSchema.typeName,
  body,
  signatures: [signature],
});

export function createCommandSigning({
  signer,
  log,
}: {
  signer: CommandSigner;
  log: Logger;
}): CommandSigning {
  let waiting: Waiting[] = [];
  /** Where signatures take time, they are handed over in the order in which they were asked for. */
  let earlier: Promise<void> = Promise.resolve();

  function flush(): void {
    const batch = waiting;
    if (batch.length === 0) return;
    waiting = [];
    const tree = treeOf(batch.map(({ body }) => leafOf(body)));
    const deliver = ({ keyId, value }: CommandKeySignature) => {
      const treeSize = batch.length === 1 ? 0 : batch.length;
      for (const [leafIndex, { body, handOver }] of batch.entries()) {
        const path = tree.path(leafIndex);
        handOver(commandOf(body, { $typeName: signatureType, keyId, value, leafIndex, treeSize, path }));
      }
    };
    // What is not handed over stays as sent, and its deadline brings it back.
    const failed = (error: unknown) =>
      log.error({ err: ViworksError.from(error), commands: batch.length }, 'commands cannot be signed now');
    let signed: ReturnType<CommandSigner['sign']>;
    try {
      signed = signer.sign(rootInput(tree.root));
    } catch (error) {
      return failed(error);
    }
    if (!(signed instanceof Promise)) return deliver(signed);
    // Heard at once, whether it fails or not, and told in its turn.
    const outcome = signed.then(
      (signature) => () => deliver(signature),
      (error: unknown) => () => failed(error),
    );
    earlier = earlier.then(async () => (await outcome)());
  }

  return {
    sign(body, handOver) {
      // After all promises of this tick, and before its frames are written.
      if (waiting.length === 0) process.nextTick(flush);
      waiting.push({ body, handOver });
      if (waiting.length === maximumLeaves) flush();
    },
    flush,
  };
}
