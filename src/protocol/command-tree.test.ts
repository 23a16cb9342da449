import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { hashBytes, leafOf, rootFrom, treeOf } from './command-tree.ts';

const bodies = (count: number) => Array.from({ length: count }, (_, n) => Buffer.from(`command ${n}`));
const sha = (...parts: Uint8Array[]) => createHash('sha256').update(Buffer.concat(parts)).digest();

/** RFC 9162, 2.1.1, as it is written there. */
function rootByDefinition(leaves: readonly Uint8Array[]): Uint8Array {
  const [only] = leaves;
  if (leaves.length === 1 && only !== undefined) return only;
  let split = 1;
  while (split * 2 < leaves.length) split *= 2;
  const [left, right] = [leaves.slice(0, split), leaves.slice(split)];
  return sha(Uint8Array.of(1), rootByDefinition(left), rootByDefinition(right));
}

test('a leaf is the hash of its mark, domain and body, each with its length', () => {
  const domain = Buffer.from('viworks.command.v1');
  const body = Buffer.from('body');
  const lengths = [domain, body].map((part) => Buffer.from([0, 0, 0, part.length]));
  const [first = Buffer.of(), second = Buffer.of()] = lengths;
  expect(Buffer.from(leafOf(body))).toEqual(sha(Uint8Array.of(0), first, domain, second, body));
  const large = Buffer.alloc(100_000, 7);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(large.length);
  expect(Buffer.from(leafOf(large))).toEqual(sha(Uint8Array.of(0), first, domain, length, large));
});

test.each([1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 64, 100, 255])(
  'every one of %d leaves leads to the root',
  (count) => {
    const leaves = bodies(count).map(leafOf);
    const tree = treeOf(leaves);
    expect(Buffer.from(tree.root)).toEqual(Buffer.from(rootByDefinition(leaves)));
    for (const [index, leaf] of leaves.entries()) {
      expect(rootFrom(leaf, index, count, tree.path(index))).toEqual(tree.root);
    }
  },
);

test('no other place, size, path or leaf leads to the root', () => {
  const place = fc.record({ count: fc.integer({ min: 1, max: 40 }), index: fc.nat(39) });
  const change = fc.record({ index: fc.nat(45), size: fc.nat(45), flip: fc.nat(2000) });
  fc.assert(
    fc.property(place, change, ({ count, index }, other) => {
      fc.pre(index < count);
      const leaves = bodies(count).map(leafOf);
      const { root, path } = treeOf(leaves);
      const [leaf, way] = [leaves[index] ?? root, path(index)];
      if (other.index !== index) expect(rootFrom(leaf, other.index, count, way)).not.toEqual(root);
      const altered = Buffer.concat([way]);
      if (altered.length > 0) {
        altered[other.flip % altered.length] = (altered[other.flip % altered.length] ?? 0) ^ 1;
        expect(rootFrom(leaf, index, count, altered)).not.toEqual(root);
        expect(rootFrom(leaf, index, count, way.subarray(hashBytes))).toBeUndefined();
      }
      expect(rootFrom(leaf, index, count, Buffer.concat([way, leaf]))).toBeUndefined();
      expect(rootFrom(leafOf(Buffer.from('another')), index, count, way)).not.toEqual(root);
      expect(() => rootFrom(leaf, other.index, other.size, way)).not.toThrow();
    }),
  );
});

test('a node does not pass for a leaf', () => {
  const [first = Buffer.of(), second = Buffer.of()] = bodies(2).map(leafOf);
  const { root } = treeOf([first, second]);
  // A body of these bytes would be the node, were the marks the same.
  expect(leafOf(Buffer.concat([first, second]))).not.toEqual(root);
});
