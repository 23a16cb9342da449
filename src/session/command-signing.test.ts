import { expect, test } from 'vitest';
import type { Command } from '#gen/viworks/agent/v1/command_pb.js';
import { silentLogger } from '../lib/logger.ts';
import { leafOf, rootFrom, rootInput } from '../protocol/command-tree.ts';
import { createCommandSigning } from './command-signing.ts';

const bodyOf = (n: number) => Buffer.from(`body ${n}`);
const nextTurn = () => new Promise((resolve) => setImmediate(resolve));

/** A signer that says what it was asked to sign, and answers with a number. */
function counting() {
  const asked: Uint8Array[] = [];
  const sign = (bytes: Uint8Array) => {
    asked.push(bytes);
    return { keyId: 'k', value: Uint8Array.of(asked.length) };
  };
  return { asked, sign };
}

/** The root that a command's signature leads to. */
function rootOf({ body, signatures }: Command): Uint8Array {
  const [signature] = signatures;
  if (signature === undefined) throw new Error('it is not signed');
  const { leafIndex, treeSize, path } = signature;
  return rootFrom(leafOf(body), leafIndex, treeSize || 1, path) ?? Uint8Array.of();
}

test('what leaves in one tick is signed once, after the promises of the tick, and leaves in order', async () => {
  const signer = counting();
  const signing = createCommandSigning({ signer, log: silentLogger });
  const left: Command[] = [];
  for (let n = 0; n < 10; n++) signing.sign(bodyOf(n), (command) => left.push(command));
  await Promise.resolve().then(() => signing.sign(bodyOf(10), (command) => left.push(command)));
  await nextTurn();
  expect(left.map(({ body }) => Buffer.from(body).toString())).toEqual(
    Array.from({ length: 11 }, (_, n) => `body ${n}`),
  );
  expect(signer.asked.length).toBeLessThanOrEqual(2);
  for (const command of left) {
    const value = command.signatures[0]?.value[0] ?? 0;
    expect(Buffer.from(rootInput(rootOf(command)))).toEqual(Buffer.from(signer.asked[value - 1] ?? []));
  }
});

test('a command alone is a tree of one, and says nothing of a tree', async () => {
  const signing = createCommandSigning({ signer: counting(), log: silentLogger });
  const left: Command[] = [];
  signing.sign(bodyOf(1), (command) => left.push(command));
  signing.flush();
  expect(left[0]?.signatures[0]).toMatchObject({ leafIndex: 0, treeSize: 0, path: Buffer.of() });
  await nextTurn();
  expect(left).toHaveLength(1);
});

test('no tree grows beyond its bound', () => {
  const signer = counting();
  const signing = createCommandSigning({ signer, log: silentLogger });
  const sizes: number[] = [];
  for (let n = 0; n < 600; n++)
    signing.sign(bodyOf(n), ({ signatures }) => sizes.push(signatures[0]?.treeSize ?? 0));
  signing.flush();
  expect(signer.asked).toHaveLength(3);
  expect([...new Set(sizes)]).toEqual([256, 88]);
});

test('a signer that takes its time keeps the order, and one that fails holds up nothing behind it', async () => {
  const answers = [
    Promise.withResolvers<void>(),
    Promise.withResolvers<void>(),
    Promise.withResolvers<void>(),
  ];
  let asked = 0;
  const signer = {
    async sign() {
      await answers[asked++]?.promise;
      return { keyId: 'k', value: Uint8Array.of(1) };
    },
  };
  const signing = createCommandSigning({ signer, log: silentLogger });
  const left: string[] = [];
  for (const n of [0, 1, 2]) {
    signing.sign(bodyOf(n), ({ body }) => left.push(Buffer.from(body).toString()));
    signing.flush();
  }
  answers[2]?.resolve();
  answers[1]?.reject(new Error('the key service is away'));
  await nextTurn();
  expect(left).toEqual([]);
  answers[0]?.resolve();
  await nextTurn();
  expect(left).toEqual(['body 0', 'body 2']);
});

test('a signer that throws loses nothing but these', () => {
  const signer = counting();
  let away = true;
  const signing = createCommandSigning({
    signer: {
      sign(bytes) {
        if (away) throw new Error('no key');
        return signer.sign(bytes);
      },
    },
    log: silentLogger,
  });
  const left: Command[] = [];
  signing.sign(bodyOf(0), (command) => left.push(command));
  signing.flush();
  away = false;
  signing.sign(bodyOf(1), (command) => left.push(command));
  signing.flush();
  expect(left.map(({ body }) => Buffer.from(body).toString())).toEqual(['body 1']);
});
