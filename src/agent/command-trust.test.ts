import { create, toBinary } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Command, CommandSchema } from '#gen/viworks/agent/v1/command_pb.js';
import { CommandKeySetSchema, CommandKeysSchema } from '#gen/viworks/agent/v1/handshake_pb.js';
import { silentLogger } from '../lib/logger.ts';
import { leafOf, rootInput, treeOf } from '../protocol/command-tree.ts';
import { generateKeyPair, type KeyPair, signBytes } from '../protocol/keys.ts';
import { commandKeysInput } from '../protocol/signed.ts';
import { createCommandTrust, type TrustStore } from './command-trust.ts';

const server = generateKeyPair();
const start = Date.UTC(2026, 0, 1);

function setOf(
  version: number,
  keys: readonly { key: KeyPair; from?: number; to?: number }[],
  signer: KeyPair = server,
) {
  const keySet = toBinary(
    CommandKeySetSchema,
    create(CommandKeySetSchema, {
      version: BigInt(version),
      keys: keys.map(({ key: { keyId, publicKey }, from, to }) => ({
        keyId,
        publicKey,
        ...(from === undefined ? {} : { notBefore: timestampFromMs(from) }),
        ...(to === undefined ? {} : { notAfter: timestampFromMs(to) }),
      })),
    }),
  );
  const signature = signBytes(signer, commandKeysInput(keySet));
  return create(CommandKeysSchema, { keySet, signature, keyId: signer.keyId });
}

function signed(key: KeyPair, texts: readonly string[]): Command[] {
  const bodies = texts.map((text) => Buffer.from(text));
  const { root, path } = treeOf(bodies.map(leafOf));
  const value = signBytes(key, rootInput(root));
  return bodies.map((body, leafIndex) =>
    create(CommandSchema, {
      body,
      signatures: [{ keyId: key.keyId, value, leafIndex, treeSize: bodies.length, path: path(leafIndex) }],
    }),
  );
}
const one = (key: KeyPair) => signed(key, ['one'])[0] ?? create(CommandSchema);

function trustAt(store?: TrustStore) {
  const clock = { now: start };
  const identity = {
    serverKeys: [{ keyId: server.keyId, publicKey: server.publicKey, notAfter: undefined }],
  };
  const trust = createCommandTrust({ identity, store, log: silentLogger, serverNow: () => clock.now });
  const believes = (command: Command) => {
    try {
      trust.verify(command);
      return true;
    } catch (error) {
      expect(error).toMatchObject({ code: 'signature_invalid' });
      return false;
    }
  };
  return { trust, clock, believes };
}

describe('key sets', () => {
  test('count only if a key of the enrolment signed them', () => {
    const [key, stranger] = [generateKeyPair(), generateKeyPair()];
    const { trust, believes } = trustAt();
    expect(believes(one(key))).toBe(false);
    const refusal = expect.objectContaining({ code: 'authentication_failed' });
    expect(() => trust.accept(setOf(1, [{ key }], stranger))).toThrow(refusal);
    const forged = { ...setOf(1, [{ key }], stranger), keyId: server.keyId };
    expect(() => trust.accept(forged)).toThrow(refusal);
    expect(believes(one(key))).toBe(false);
    trust.accept(setOf(1, [{ key }]));
    expect(believes(one(key))).toBe(true);
    expect(believes(one(stranger))).toBe(false);
  });

  test('take effect at once, also for a root that was verified a moment ago', () => {
    const [key, next] = [generateKeyPair(), generateKeyPair()];
    const { trust, believes } = trustAt();
    trust.accept(setOf(1, [{ key }]));
    const [first, second] = signed(key, ['one', 'two']);
    expect(believes(first ?? one(next))).toBe(true);
    trust.accept(setOf(2, [{ key: next }]));
    expect(believes(second ?? one(next))).toBe(false);
    expect(believes(one(next))).toBe(true);
  });

  test('of older versions change nothing', () => {
    const [revoked, key] = [generateKeyPair(), generateKeyPair()];
    const { trust, believes } = trustAt();
    trust.accept(setOf(5, [{ key }]));
    trust.accept(setOf(4, [{ key: revoked }]));
    expect([believes(one(key)), believes(one(revoked))]).toEqual([true, false]);
  });
});

test('a key is believed in its time alone, by the server’s clock', () => {
  const key = generateKeyPair();
  const { trust, clock, believes } = trustAt();
  trust.accept(setOf(1, [{ key, from: start, to: start + 60_000 }]));
  const at = (ms: number) => {
    clock.now = start + ms;
    return believes(one(key));
  };
  expect([-6000, -4000, 0, 59_999, 60_000].map(at)).toEqual([false, true, true, true, false]);
});

test('of several signatures one that holds is enough, and not so many are looked at', () => {
  const [key, other] = [generateKeyPair(), generateKeyPair()];
  const { trust, believes } = trustAt();
  trust.accept(setOf(1, [{ key }]));
  const [good] = one(key).signatures;
  const [bad] = one(other).signatures;
  if (good === undefined || bad === undefined) throw new Error('there is no signature');
  const command = one(key);
  expect(believes({ ...command, signatures: [bad, bad, good] })).toBe(true);
  expect(believes({ ...command, signatures: [bad, bad, bad, bad, good] })).toBe(false);
  expect(believes({ ...command, signatures: [] })).toBe(false);
});

test('nothing that is altered is believed, whichever part of it', () => {
  const key = generateKeyPair();
  const { trust, believes } = trustAt();
  trust.accept(setOf(1, [{ key }]));
  const commands = signed(key, ['a', 'b', 'c', 'd', 'e']);
  const flip = (bytes: Uint8Array, at: number) => {
    const altered = Uint8Array.from(bytes);
    const place = at % Math.max(1, bytes.length);
    altered[place] = (altered[place] ?? 0) ^ (1 << (at % 8));
    return altered;
  };
  fc.assert(
    fc.property(fc.nat(4), fc.nat(4), fc.nat(5000), (index, part, at) => {
      const command = commands[index];
      const [signature] = command?.signatures ?? [];
      if (command === undefined || signature === undefined) throw new Error('there is no such command');
      expect(believes(command)).toBe(true);
      const { body } = command;
      const altered = [
        { ...command, body: flip(body, at) },
        { ...command, signatures: [{ ...signature, value: flip(signature.value, at) }] },
        { ...command, signatures: [{ ...signature, path: flip(signature.path, at) }] },
        { ...command, signatures: [{ ...signature, leafIndex: (index + 1 + (at % 4)) % 5 }] },
        { ...command, signatures: [{ ...signature, path: signature.path.subarray(1) }] },
      ][part];
      if (altered !== undefined) expect(believes(altered)).toBe(false);
    }),
  );
});

test('garbage is refused and harms nothing', () => {
  const key = generateKeyPair();
  const { trust, believes } = trustAt();
  trust.accept(setOf(1, [{ key }]));
  const garbage = fc.record({
    keyId: fc.oneof(fc.string(), fc.constant(key.keyId)),
    value: fc.uint8Array({ maxLength: 80 }),
    leafIndex: fc.nat(0xffff_ffff),
    treeSize: fc.nat(0xffff_ffff),
    path: fc.uint8Array({ maxLength: 1100 }),
  });
  fc.assert(
    fc.property(fc.uint8Array(), fc.array(garbage, { maxLength: 6 }), (body, signatures) => {
      expect(believes(create(CommandSchema, { body, signatures }))).toBe(false);
    }),
  );
});
