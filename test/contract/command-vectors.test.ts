import { readFileSync } from 'node:fs';
import { fromBinary } from '@bufbuild/protobuf';
import { expect, test } from 'vitest';
import { CommandSchema } from '#gen/viworks/agent/v1/command_pb.js';
import { CommandKeysSchema } from '#gen/viworks/agent/v1/handshake_pb.js';
import { makeVectors, vectorsFile } from '../../scripts/make-command-vectors.ts';
import { createCommandTrust } from '../../src/agent/command-trust.ts';
import { silentLogger } from '../../src/lib/logger.ts';

const vectors: ReturnType<typeof makeVectors> = JSON.parse(readFileSync(vectorsFile, 'utf8'));
const bytes = (hex: string) => new Uint8Array(Buffer.from(hex, 'hex'));

test('the vectors are what the code makes', () => {
  expect(vectors, 'run: node scripts/make-command-vectors.ts').toEqual(makeVectors());
});

test('the agent believes every command of the vectors, and none with a flipped bit', () => {
  const { server_key_id: keyId, server_public_key: publicKey } = vectors.keys;
  const trust = createCommandTrust({
    identity: { serverKeys: [{ keyId, publicKey: bytes(publicKey), notAfter: undefined }] },
    log: silentLogger,
    serverNow: () => Date.UTC(2026, 0, 2, 3, 4, 5),
  });
  trust.accept(fromBinary(CommandKeysSchema, bytes(vectors.key_set.command_keys)));
  for (const { commands } of vectors.trees) {
    for (const { command } of commands) {
      const message = fromBinary(CommandSchema, bytes(command));
      expect(() => trust.verify(message)).not.toThrow();
      for (const at of message.body.keys()) {
        const body = message.body.slice();
        body[at] = (body[at] ?? 0) ^ 1;
        expect(() => trust.verify({ ...message, body })).toThrow(/not believed/);
      }
    }
  }
});

test('the worked example of the guide is that of the vectors', () => {
  const guide = readFileSync(new URL('../../docs/agents.md', import.meta.url), 'utf8');
  const blocks = [...guide.matchAll(/^```command-hex (\w+)\n([\s\S]*?)^```/gm)].map(
    ([, name = '', text = '']) => ({
      name,
      value: text.replaceAll(/#.*$/gm, '').replaceAll(/\s+/g, ''),
    }),
  );
  const pair = vectors.trees.find(({ size }) => size === 2);
  const alone = vectors.trees.find(({ size }) => size === 1);
  const named: Record<string, string | undefined> = {
    ...vectors.keys,
    ...vectors.key_set,
    body: alone?.commands[0]?.body,
    leaf: alone?.commands[0]?.leaf,
    root_signed: alone?.root_signed,
    root_signature: alone?.root_signature,
    path: pair?.commands[0]?.path,
    pair_root: pair?.root,
  };
  expect(blocks.map(({ name }) => name)).toEqual(expect.arrayContaining(['key_set_signed', 'body', 'leaf']));
  for (const { name, value } of blocks) expect({ name, value }).toEqual({ name, value: named[name] });
});
