import { createPrivateKey } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { create, toBinary } from '@bufbuild/protobuf';
import { durationFromMs, timestampFromMs } from '@bufbuild/protobuf/wkt';
import { ArgsEncoding, CommandBodySchema, CommandSchema } from '#gen/viworks/agent/v1/command_pb.js';
import { CommandKeySetSchema, CommandKeysSchema } from '#gen/viworks/agent/v1/handshake_pb.js';
import { leafOf, rootInput, treeOf } from '../src/protocol/command-tree.ts';
import { keyPairFromPem, signBytes } from '../src/protocol/keys.ts';
import { commandKeysInput } from '../src/protocol/signed.ts';

/**
 * Makes test/vectors/commands.json: a set of command keys, a command that left alone and trees of several, byte by
 * byte, for authors of agents to check their code against. Whoever runs this again gets the same file:
 * `node scripts/make-command-vectors.ts`.
 */

export const vectorsFile = fileURLToPath(new URL('../test/vectors/commands.json', import.meta.url));

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const counted = (length: number, first: number) => Uint8Array.from({ length }, (_, index) => first + index);

/** RFC 8410 section 7: a PKCS#8 private key is this prefix and the 32 bytes of the seed. */
function keyOf(seed: Uint8Array) {
  const der = Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), seed]);
  const key = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
  return keyPairFromPem(key.export({ type: 'pkcs8', format: 'pem' }).toString());
}

const issuedAt = Date.UTC(2026, 0, 2, 3, 4, 5);

function bodyOf(number: number): Uint8Array {
  const body = create(CommandBodySchema, {
    agentId: 'web-1',
    incarnation: 1,
    executionId: `019b7cc1-d588-7000-8000-0000000001${String(number).padStart(2, '0')}`,
    commandId: `019b7cc1-d588-7000-8000-0000000002${String(number).padStart(2, '0')}`,
    attempt: 1,
    verb: 'system.info',
    argsEncoding: ArgsEncoding.PROTOBUF,
    expiresAt: timestampFromMs(issuedAt + 3_600_000),
    timeout: durationFromMs(10_000),
    outputLimit: 262_144,
  });
  return toBinary(CommandBodySchema, body);
}

export function makeVectors() {
  const [serverSeed, commandSeed] = [counted(32, 0x20), counted(32, 0x80)];
  const [server, key] = [keyOf(serverSeed), keyOf(commandSeed)];
  const keySet = toBinary(
    CommandKeySetSchema,
    create(CommandKeySetSchema, {
      version: BigInt(issuedAt),
      issuedAt: timestampFromMs(issuedAt),
      keys: [{ keyId: key.keyId, publicKey: key.publicKey, notBefore: timestampFromMs(issuedAt) }],
    }),
  );
  const keySetSigned = commandKeysInput(keySet);
  const signature = signBytes(server, keySetSigned);
  const trees = [1, 2, 3, 5].map((size) => {
    const bodies = Array.from({ length: size }, (_, number) => bodyOf(number));
    const leaves = bodies.map(leafOf);
    const { root, path } = treeOf(leaves);
    const signed = rootInput(root);
    const value = signBytes(key, signed);
    return {
      size,
      root: hex(root),
      root_signed: hex(signed),
      root_signature: hex(value),
      commands: bodies.map((body, leafIndex) => {
        const way = { leafIndex, treeSize: size === 1 ? 0 : size, path: path(leafIndex) };
        const signatures = [{ keyId: key.keyId, value, ...way }];
        return {
          body: hex(body),
          leaf: hex(leaves[leafIndex] ?? root),
          path: hex(way.path),
          command: hex(toBinary(CommandSchema, create(CommandSchema, { body, signatures }))),
        };
      }),
    };
  });
  return {
    comment: 'All values are lower-case hex, but sizes. Made by scripts/make-command-vectors.ts.',
    keys: {
      server_seed: hex(serverSeed),
      server_public_key: hex(server.publicKey),
      server_key_id: server.keyId,
      command_seed: hex(commandSeed),
      command_public_key: hex(key.publicKey),
      command_key_id: key.keyId,
    },
    key_set: {
      key_set: hex(keySet),
      key_set_signed: hex(keySetSigned),
      key_set_signature: hex(signature),
      command_keys: hex(
        toBinary(CommandKeysSchema, create(CommandKeysSchema, { keySet, signature, keyId: server.keyId })),
      ),
    },
    trees,
  };
}

if (import.meta.main) writeFileSync(vectorsFile, `${JSON.stringify(makeVectors(), null, 2)}\n`);
